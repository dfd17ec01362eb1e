"""Export of a trained detector as a program, .pt2 or ONNX, that runs without this code: from pixels to parts."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_cache.base.errors import UserError
from data_cache.base.export import FOLDER, Exported, Run, write_program
from data_cache.base.files import sha256_of_file
from data_cache.parts.names import PART_NAMES
from detect.model.detector import Detector, load_detector
from detect.model.weights import KIND, PACKAGES, write_half_precision
from detect.recipes import DetectorRecipe

log = logging.getLogger(__name__)

NAME = "detector"
MIN_SHARE_EQUAL = 0.9  # of the boxes; rounding may swap two boxes of nearly equal score
BOX_TOLERANCE, SCORE_TOLERANCE = 0.5, 1e-3  # boxes in pixels, of images of up to a thousand pixels


def export_detector(weights: Path, kind: str, folder: Path) -> Exported:
    """Export the detector of a weights file as "safetensors", "pt2" or "onnx" into the folder `export` of `folder`.

    Safetensors are the same weights in float16, as the package ships them. A written program is run and compared with
    PyTorch in float32 before it is renamed into place. Raises UserError if the weights are damaged, the extra `onnx` is
    missing, or the two differ.
    """
    path = folder / FOLDER / f"{NAME}.{kind}"
    if kind == "safetensors":
        write_half_precision(weights, path)
        log.info(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256_of_file(path)}")
        return Exported((path,), sha256_of_file(weights))
    detector = load_detector(weights, "cpu", torch.float32)
    metadata, example = describe(weights, detector.recipe), random_inputs(detector.recipe, 2)
    module = ExportedDetector(detector)
    comparison = write_program(path, module, example, metadata, lambda run: compare(path, run, detector))
    return Exported((path,), metadata["weights_sha256"], comparison)


class ExportedDetector(nn.Module):
    """The detector's steps on the CPU in float32, as one module."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.network = detector.network
        self.detector = detector

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (B, K, 4), scores (B, K) and labels (B, K); `describe` has the details."""
        output = self.network.bbox_head(self.network.extract_feat(self.detector.normalise(images)))
        parts = self.detector.postprocess(*self.detector.candidates(*output), sizes.float())
        return parts.boxes, parts.scores, parts.labels


def describe(weights: Path, recipe: DetectorRecipe) -> dict[str, Any]:
    """Return the metadata of an exported file; inputs and outputs are in the order of the program's."""
    side, slots = recipe.input_size, recipe.top_k
    return {
        "kind": KIND,
        "weights_sha256": sha256_of_file(weights),
        "recipe_name": weights.parent.name,
        "recipe": recipe.model_dump(mode="json"),
        "part_names": list(PART_NAMES),
        "inputs": {
            "images": f"uint8 (batch, {side}, {side}, 3), RGB, resized with a bilinear filter, aspect ratio not kept",
            "sizes": "int64 (batch, 2), width and height of each image before it was resized",
        },
        "outputs": {
            "boxes": f"float32 (batch, {slots}, 4), x0 y0 x1 y1 in pixels of the original image, 0 in empty slots",
            "scores": f"float32 (batch, {slots}), descending, 0 in empty slots",
            "labels": f"int64 (batch, {slots}), indices into part_names, -1 in empty slots",
        },
        "versions": {package: version(package) for package in PACKAGES},
    }


def random_inputs(recipe: DetectorRecipe, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Return `count` images of blurred random colours, in which a detector finds parts, and their sizes."""
    random = torch.Generator().manual_seed(seed)
    colours = 255 * torch.rand(count, 3, 16, 16, generator=random)
    images = functional.interpolate(colours, (recipe.input_size, recipe.input_size), mode="bilinear")
    sizes = torch.randint(300, 1000, (count, 2), generator=random)
    return {"images": images.to(torch.uint8).permute(0, 2, 3, 1).contiguous(), "sizes": sizes}


def compare(path: Path, run: Run, detector: Detector) -> dict[str, float]:
    """Run the program and `detector` on one image and on eight; return the lower share of equal boxes.

    Raises UserError, naming `path`, if it is below MIN_SHARE_EQUAL.
    """
    share = min(_share_equal(run, detector, random_inputs(detector.recipe, count, seed=count)) for count in (1, 8))
    if not share >= MIN_SHARE_EQUAL:
        raise UserError(f"{path}: not written, because only {share:.0%} of its boxes equal those of the detector")
    return {"lowest_share_of_equal_boxes": share}


def _share_equal(run: Run, detector: Detector, inputs: Mapping[str, Tensor]) -> float:
    """Return the share of slots with the same label, and score and box within the tolerances."""
    boxes, scores, labels = run(inputs)
    expected = detector.detect(inputs["images"], inputs["sizes"].numpy())
    near = ((boxes - expected.boxes).abs() <= BOX_TOLERANCE).all(-1)
    near &= (scores - expected.scores).abs() <= SCORE_TOLERANCE
    return float((near & (labels == expected.labels)).float().mean())
