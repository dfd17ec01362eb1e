"""The part detector for inference: a batch of images in, their parts out."""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from detect.model.inference import inference_dtype, network_for_inference
from detect.model.nms import PartBatch, postprocess
from detect.model.ssd import IMAGENET_MEAN, IMAGENET_STD, build_network
from detect.model.weights import load_weights, read_recipe
from detect.recipes import DetectorRecipe

IMAGES_AT_ONCE = {"cpu": 4, "cuda": 256}  # per forward pass; on a CPU, 32 take up to 1.7 times as long per image
MAX_STREAMS = 8  # more would wait for each other in Python
Piece = TypeVar("Piece")
Result = TypeVar("Result")


def load_detector(weights: Path, device: str, dtype: torch.dtype | None = None) -> "Detector":
    """Return the detector of a weights file. Raises UserError if the file is missing, damaged or no detector."""
    recipe = read_recipe(weights)
    network = build_network(recipe)
    load_weights(weights, network)
    return Detector(network, recipe, device, dtype)


class Detector:
    """An SSD network for inference. Its results do not depend on the batch, except for rounding."""

    def __init__(
        self, network: nn.Module, recipe: DetectorRecipe, device: str, dtype: torch.dtype | None = None
    ) -> None:
        """Copy `network` to `device`: "cpu", or "cuda" for the current GPU. The original is not changed.

        It computes in `dtype`, by default in the fastest that the device has.
        """
        self.recipe, self.device, self.dtype = recipe, device, dtype or inference_dtype(device)
        self.network: Any = network_for_inference(network, device, self.dtype)
        # repeated for a whole row of pixels, because broadcasting over three channels is slow
        self.mean = torch.tensor(IMAGENET_MEAN, device=device).repeat(recipe.input_size)
        self.std = torch.tensor(IMAGENET_STD, device=device).repeat(recipe.input_size)
        self.images_at_once = IMAGES_AT_ONCE[device]
        self.anchors = self._anchors()

    def with_top_k(self, top_k: int) -> "Detector":
        """Return a detector with the same network that keeps up to `top_k` boxes per image."""
        other = copy.copy(self)
        other.recipe = self.recipe.model_copy(update={"top_k": top_k})
        return other

    @torch.inference_mode()
    def detect(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> PartBatch:
        """Return the parts of images resized to `pixels` (B, S, S, 3) uint8; `sizes` (B, 2) are the original (W, H).

        Boxes are in original pixels. The work is queued on the device; this call does not wait for it.
        """
        pieces = torch.split(pixels, self.images_at_once)
        results = in_streams(self._candidates, pieces) if self.device == "cpu" else map(self._candidates, pieces)
        anchors, deltas, scores, labels = (torch.cat(tensors) for tensors in zip(*results, strict=True))
        original = torch.from_numpy(np.asarray(sizes, dtype=np.float32)).to(self.device, non_blocking=True)
        return self.postprocess(anchors, deltas, scores, labels, original)

    @torch.inference_mode()
    def _candidates(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.candidates(*self.forward(self.normalise(pixels)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Return the network's input (B, 3, S, S) float32, channels last, from `pixels` (B, S, S, 3) uint8."""
        rows = pixels.to(self.device, non_blocking=True).flatten(2).float().sub_(self.mean).div_(self.std)
        return rows.view(pixels.shape).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def forward(self, inputs: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Return the network's output per level: logits (B, A * 17, h, w) and box deltas (B, A * 4, h, w)."""
        logits, deltas = self.network.bbox_head(self.network.extract_feat(inputs.to(self.dtype)))
        return logits, deltas

    def candidates(self, logits: Sequence[Tensor], deltas: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the `recipe.candidates` (N) most confident pairs of anchor and label in the output of `forward`.

        These are anchors and box deltas (B, N, 4), not yet decoded, with scores and labels (B, N).
        """
        classes = self.network.bbox_head.cls_out_channels
        logits_by_class = _flatten_levels(logits, classes).transpose(1, 2).contiguous().float()
        probabilities = logits_by_class.softmax(1)[:, :-1]  # without background
        # The best pairs belong to the anchors with the best labels: two small searches are faster than a large one.
        anchors = probabilities.amax(1).topk(min(self.recipe.candidates, probabilities.shape[2])).indices
        pairs = probabilities.gather(2, anchors[:, None].expand(-1, classes - 1, -1)).flatten(1)
        scores, best = pairs.topk(min(self.recipe.candidates, pairs.shape[1]))
        chosen = anchors.gather(1, best % anchors.shape[1])
        chosen_deltas = _flatten_levels(deltas, 4).gather(1, chosen[..., None].expand(-1, -1, 4)).float()
        return self.anchors[chosen], chosen_deltas, scores, best // anchors.shape[1]

    def postprocess(self, anchors: Tensor, deltas: Tensor, scores: Tensor, labels: Tensor, sizes: Tensor) -> PartBatch:
        """Return the parts of images of `sizes` (B, 2) float32 (W, H), from the output of `candidates`."""
        decoded = self.network.bbox_head.bbox_coder.decode(anchors.flatten(0, 1), deltas.flatten(0, 1))
        boxes = decoded.view_as(deltas) * (sizes.repeat(1, 2)[:, None] / self.recipe.input_size)
        return postprocess(PartBatch(boxes, scores, labels), sizes, self.recipe)

    def _anchors(self) -> Tensor:
        """Return the anchors (A, 4) of all levels, in pixels of the input."""
        side = self.recipe.input_size
        logits, _ = self.forward(self.normalise(torch.zeros(1, side, side, 3, dtype=torch.uint8)))
        grids = [tuple(level.shape[-2:]) for level in logits]
        return torch.cat(self.network.bbox_head.prior_generator.grid_priors(grids, device=self.device))


def _flatten_levels(levels: Sequence[Tensor], width: int) -> Tensor:
    """Return levels (B, A * width, h, w) as one tensor (B, anchors, width), in the order of the anchors."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, width) for level in levels], dim=1)


def in_streams(call: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """Return `call(piece)` for each piece, in order, running as many calls at a time as torch has threads.

    Each call then runs on one thread. Sharing every operator among all threads makes them wait for each other after
    each operator: a fifth of the time of SSDLite on two idle cores, and far more if another process uses one of them.
    """
    threads = torch.get_num_threads()
    streams = min(threads, MAX_STREAMS, len(pieces))
    if streams < 2:
        return [call(piece) for piece in pieces]
    try:
        with ThreadPoolExecutor(streams, initializer=torch.set_num_threads, initargs=(threads // streams,)) as pool:
            return list(pool.map(call, pieces))
    finally:
        torch.set_num_threads(threads)  # a worker's setting also applies to threads started later
