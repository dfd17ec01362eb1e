"""Flip at test time: the feature of an image is the mean of its own and of its mirror image's."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Embed = Callable[..., tuple[Tensor, Tensor]]


def mirrored(images: Tensor, boxes: Tensor, parts: Tensor, *crops: Tensor) -> tuple[Tensor, ...]:
    """Return the inputs of a network mirrored left to right, where `parts`, which are present or their labels, stay.

    images (B, 3, H, W), boxes (B, D, 4) xyxy in [0, 1], crops (B, D, 3, S, S).
    """
    other = images.flip(3).contiguous(memory_format=torch.channels_last)
    turned = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], dim=-1)
    return other, turned, parts, *(crop.flip(4) for crop in crops)


def embed_with_mirror(embed: Embed, *inputs: Tensor, columns: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean of the unit features of images and mirror images, (B, C), and of their attention.

    Unit features, so that both count the same. `columns` are those of a grid of cells, whose attention is turned back;
    the attention of parts needs no turning, as a box keeps its place in the list.
    """
    feature, attention = embed(*inputs)
    other, other_attention = embed(*mirrored(*inputs))
    if columns is not None:
        other_attention = other_attention.view(attention.shape[0], -1, columns).flip(2).flatten(1)
    mean = (functional.normalize(feature.float()) + functional.normalize(other.float())) / 2
    return mean, (attention + other_attention) / 2
