"""The part detector at work: a batch of images in, the parts of each out."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from data_cache.base.devices import has_bfloat16
from detect.model.mmcv_ops import supply_operators
from detect.model.nms import PartBatch, RawParts, finish
from detect.model.ssd import IMAGENET_MEAN, IMAGENET_STD, build_network
from detect.model.weights import load_weights, read_recipe
from detect.recipes import DetectorRecipe

IMAGES_AT_ONCE = {"cpu": 4, "cuda": 256}  # through the network; on a CPU, 32 take up to 1.7 x the time an image of 4
Piece = TypeVar("Piece")
Answer = TypeVar("Answer")
MOST_STREAMS = 8  # more would wait for each other in Python


def in_streams(call: Callable[[Piece], Answer], pieces: Sequence[Piece]) -> list[Answer]:
    """Return the answer of `call` to each of `pieces`, in order, as many at a time as torch has threads.

    An operator then has a thread of its own instead of all of them. That saves the meeting of the threads after every
    operator: a fifth of the time of SSDLite on two idle cores, and nearly all of it where another process is at work on
    one of them, which every operator would wait for.
    """
    threads = torch.get_num_threads()
    streams = min(threads, MOST_STREAMS, len(pieces))
    if streams < 2:
        return [call(piece) for piece in pieces]
    own = threads // streams
    try:
        with ThreadPoolExecutor(streams, initializer=torch.set_num_threads, initargs=(own,)) as pool:
            return list(pool.map(call, pieces))
    finally:
        torch.set_num_threads(threads)  # a thread sets it for those that begin later, too


class Detector:
    """An SSD with its weights. Its answer for an image does not depend on the batch, but for rounding."""

    def __init__(self, network: nn.Module, recipe: DetectorRecipe, device: str) -> None:
        """Copy `network`, which keeps its mode and weights, to `device`: "cpu", or "cuda" for the current GPU."""
        self.recipe, self.device, self.number_type = recipe, device, fast_type(device)
        folded = fold_batch_norm(network)
        self.network = folded.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # a whole row of pixels, because three channels at a time are slow to broadcast
        self.mean = torch.tensor(IMAGENET_MEAN, device=device).repeat(recipe.input_size)
        self.std = torch.tensor(IMAGENET_STD, device=device).repeat(recipe.input_size)
        self.images_at_once = IMAGES_AT_ONCE[device]
        self.anchors = self._anchors()

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[RawParts]:
        """Return the parts of each image (H, W, 3) uint8 RGB, boxes in its own pixels."""
        if not images:
            return []
        pixels = torch.stack([resize(image, self.recipe.input_size) for image in images])
        return self.detect(pixels, np.array([(image.shape[1], image.shape[0]) for image in images]))

    def keeping(self, places: int) -> "Detector":
        """Return the same detector, its network shared, that keeps up to `places` boxes of an image."""
        other = copy.copy(self)
        other.recipe = self.recipe.model_copy(update={"top_k": places})
        return other

    def detect(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> list[RawParts]:
        """Return the parts of each image as `find` does, on the host and without empty places."""
        return self.find(pixels, sizes).split()

    @torch.inference_mode()
    def find(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> PartBatch:
        """Return the parts of images resized to `pixels` (B, S, S, 3) uint8; `sizes` (B, 2) are their own (W, H).

        Boxes are in the images' own pixels. All work is queued on the device; nothing waits for it here.
        """
        pieces = torch.split(pixels, self.images_at_once)
        answers = in_streams(self._candidates, pieces) if self.device == "cpu" else map(self._candidates, pieces)
        anchors, moves, scores, labels = (torch.cat(parts) for parts in zip(*answers, strict=True))
        own = torch.from_numpy(np.asarray(sizes, dtype=np.float32)).to(self.device, non_blocking=True)
        return self.finish(anchors, moves, scores, labels, own)

    def finish(self, anchors: Tensor, moves: Tensor, scores: Tensor, labels: Tensor, sizes: Tensor) -> PartBatch:
        """Return the parts of images of `sizes` (B, 2) float32 (W, H), from what `candidates` gives."""
        decoded = self.network.bbox_head.bbox_coder.decode(anchors.flatten(0, 1), moves.flatten(0, 1)).view_as(moves)
        boxes = decoded * (sizes.repeat(1, 2)[:, None] / self.recipe.input_size)
        return finish(PartBatch(boxes, scores, labels), sizes, self.recipe)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return the network's input (B, 3, S, S) float32, channels last, of `pixels` (B, S, S, 3) uint8."""
        rows = pixels.to(self.device, non_blocking=True).flatten(2).float().sub_(self.mean).div_(self.std)
        return rows.view(pixels.shape).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def raw(self, inputs: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Return the network's answer, a tensor a level: logits (B, A * 17, h, w) and offsets (B, A * 4, h, w)."""
        with torch.autocast(self.device, dtype=self.number_type, enabled=self.number_type != torch.float32):
            logits, offsets = self.network.bbox_head(self.network.extract_feat(inputs))
        return logits, offsets

    def _anchors(self) -> Tensor:
        """Return the anchors (boxes, 4) of the grids that the network answers in."""
        side = self.recipe.input_size
        logits, _ = self.raw(self.normalised(torch.zeros(1, side, side, 3, dtype=torch.uint8)))
        grids = [tuple(level.shape[-2:]) for level in logits]
        return torch.cat(self.network.bbox_head.prior_generator.grid_priors(grids, device=self.device))

    @torch.inference_mode()
    def _candidates(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.candidates(*self.raw(self.normalised(pixels)))

    def candidates(self, logits: Sequence[Tensor], offsets: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the `recipe.candidates` (N) most confident pairs of box and label in what `raw` answers.

        They are anchors and their offsets, both (B, N, 4) and not yet decoded, with scores and labels (B, N).
        """
        classes = self.network.bbox_head.cls_out_channels
        chances = _rows(logits, classes).transpose(1, 2).contiguous().float().softmax(1)[:, :-1]  # without background
        # the best pairs are among the boxes whose best label is best: two small searches instead of a large one
        boxes = chances.amax(1).topk(min(self.recipe.candidates, chances.shape[2])).indices
        pairs = chances.gather(2, boxes[:, None].expand(-1, classes - 1, -1)).flatten(1)
        scores, places = pairs.topk(min(self.recipe.candidates, pairs.shape[1]))
        chosen = boxes.gather(1, places % boxes.shape[1])
        moves = _rows(offsets, 4).gather(1, chosen[..., None].expand(-1, -1, 4)).float()
        return self.anchors[chosen], moves, scores, places // boxes.shape[1]


def _rows(levels: Sequence[Tensor], width: int) -> Tensor:
    """Return the levels (B, A * width, h, w) as one tensor (B, boxes, width), in the order of the anchors."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, width) for level in levels], dim=1)


def fast_type(device: str) -> torch.dtype:
    """Return what the network is computed in: bfloat16 where "cpu" or "cuda" has it, else float32 or float16."""
    if has_bfloat16(device):
        return torch.bfloat16
    return torch.float16 if device == "cuda" else torch.float32


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy for inference whose batch norms are folded into the convolutions before them: equal but rounding.

    It takes two thirds of the time of SSDLite on a CPU.
    """
    supply_operators()
    from mmcv.cnn import fuse_conv_bn

    with torch.no_grad():
        folded: nn.Module = fuse_conv_bn(copy.deepcopy(network).eval())
    return folded


def resize(image: NDArray[np.uint8], size: int) -> Tensor:
    """Return `image` (H, W, 3) as the network's input, (size, size, 3) uint8: the aspect is not kept, as in SSD.

    Pillow's bilinear filter, as in training, in a third of its time: a pixel in a thousand differs, by one level.
    """
    planes = torch.tensor(image)[None].permute(0, 3, 1, 2)
    resized = functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0)


def load_detector(weights: Path, device: str) -> Detector:
    """Return the detector of a weights file. Raises UserError where the file is missing, damaged or no detector."""
    recipe = read_recipe(weights)
    network = build_network(recipe)
    load_weights(weights, network)
    return Detector(network, recipe, device)
