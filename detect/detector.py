"""The part detector at work: a batch of images in, the parts of each out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from detect.adapter import IMAGENET_MEAN, IMAGENET_STD, build_network
from detect.augment import whole
from detect.postprocess import RawParts, finish
from detect.recipes import DetectorRecipe
from detect.weights import load_weights, read_recipe


class Detector:
    """An SSD with its weights. Its answer for an image does not depend on the batch, but for rounding."""

    def __init__(self, network: nn.Module, recipe: DetectorRecipe, device: str) -> None:
        self.recipe, self.device = recipe, device
        self.network = network.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)
        self.anchors: Tensor | None = None

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[RawParts]:
        """Return the parts of each image (H, W, 3) uint8 RGB, boxes in its own pixels."""
        if not images:
            return []
        resized = np.stack([resize(image, self.recipe.input_size) for image in images])
        sizes = np.array([(image.shape[1], image.shape[0]) for image in images])
        return self.detect(torch.from_numpy(resized), sizes)

    @torch.inference_mode()
    def detect(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> list[RawParts]:
        """Return the parts of images resized to `pixels` (B, S, S, 3) uint8; `sizes` (B, 2) are their own (W, H)."""
        inputs = pixels.to(self.device).permute(0, 3, 1, 2)  # channels-last in memory without a copy
        inputs = (inputs.float() - self.mean) / self.std
        with torch.autocast(self.device, dtype=torch.bfloat16):
            logits, offsets = self.network.bbox_head(self.network.extract_feat(inputs))
        boxes, scores, labels = self._candidates(logits, offsets)
        scale = torch.from_numpy(np.tile(sizes, 2)).float()[:, None] / self.recipe.input_size
        batch = zip((boxes.cpu() * scale).numpy(), scores.cpu().numpy(), labels.cpu().numpy(), sizes, strict=True)
        return [finish(RawParts(b, s, c), int(w), int(h), self.recipe) for b, s, c, (w, h) in batch]

    def _candidates(self, logits: Sequence[Tensor], offsets: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best boxes (B, N, 4) in input pixels, scores and labels (B, N) of the levels' raw outputs."""
        head, classes = self.network.bbox_head, self.network.bbox_head.cls_out_channels
        if self.anchors is None:
            grids = [tuple(level.shape[-2:]) for level in logits]
            self.anchors = torch.cat(head.prior_generator.grid_priors(grids, device=self.device))
        batch = len(logits[0])
        flat = torch.cat([level.permute(0, 2, 3, 1).reshape(batch, -1, classes) for level in logits], 1)
        moves = torch.cat([level.permute(0, 2, 3, 1).reshape(batch, -1, 4) for level in offsets], 1).float()
        chances = flat.float().softmax(-1)[..., :-1]  # the last class is the background
        count = min(self.recipe.candidates, chances[0].numel())
        scores, places = chances.flatten(1).topk(count)
        anchor = places // (classes - 1)
        chosen = moves.gather(1, anchor[..., None].expand(-1, -1, 4))
        boxes = head.bbox_coder.decode(self.anchors[anchor].flatten(0, 1), chosen.flatten(0, 1))
        return boxes.view(batch, count, 4), scores, places % (classes - 1)


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return `image` (H, W, 3) as the network's input, (size, size, 3): the aspect is not kept, as in SSD."""
    return whole(image).pixels(image, size)


def load_detector(weights: Path, device: str) -> Detector:
    """Return the detector of a weights file. Raises UserError where the file is missing, damaged or no detector."""
    recipe = read_recipe(weights)
    network = build_network(recipe)
    load_weights(weights, network)
    return Detector(network, recipe, device)
