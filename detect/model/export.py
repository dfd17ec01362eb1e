"""A trained detector as a program: from the pixels of images to their parts, doubles suppressed, without this code."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_cache.base.errors import UserError
from data_cache.base.export import Exported, Program, Run, require_onnx, trace, write_program
from data_cache.base.files import sha256_of_file
from data_cache.parts.names import PART_NAMES
from detect.model.detector import Detector, load_detector
from detect.model.ssd import quiet
from detect.model.weights import KIND, PACKAGES
from detect.recipes import DetectorRecipe

log = logging.getLogger(__name__)

FOLDER, NAME = "export", "detector"
LEAST_ALIKE = 0.9  # of the boxes; rounding may exchange two that score alike
PIXELS, SCORE = 0.5, 1e-3  # what two alike boxes may differ by, in an image of a thousand pixels


class ExportedDetector(nn.Module):
    """The detector's own steps on the CPU, in float32, as one module."""

    def __init__(self, detector: Detector) -> None:
        """Share the detector's network, with batch norms folded into its convolutions."""
        super().__init__()
        self.network = detector.network
        self.detector = detector

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (B, K, 4), scores (B, K) and labels (B, K) for the inputs that `described_inputs` tells of."""
        answer = self.network.bbox_head(self.network.extract_feat(self.detector.normalised(images)))
        found = self.detector.finish(*self.detector.candidates(*answer), sizes.float())
        return found.boxes, found.scores, found.labels


def described_inputs(recipe: DetectorRecipe) -> dict[str, str]:
    """Return what the program takes, in order; every input has a row for each image of the batch."""
    side = recipe.input_size
    return {
        "images": f"uint8 (batch, {side}, {side}, 3), RGB, resized with a bilinear filter, the aspect not kept",
        "sizes": "int64 (batch, 2), width and height of each image before it was resized",
    }


def described_outputs(recipe: DetectorRecipe) -> dict[str, str]:
    """Return what the program gives, in order."""
    places = recipe.top_k
    return {
        "boxes": f"float32 (batch, {places}, 4), x0 y0 x1 y1 in pixels of the image as it was, 0 in empty places",
        "scores": f"float32 (batch, {places}), falling, 0 in empty places",
        "labels": f"int64 (batch, {places}), into part_names, -1 in empty places",
    }


def export_detector(weights: Path, kind: str) -> Exported:
    """Write the detector of a weights file as "pt2" or "onnx" into the folder `export` beside it.

    What was written is run and compared with PyTorch in float32 before it takes its name. Raises UserError where the
    weights are damaged, the extra `onnx` is missing, or the two differ.
    """
    if kind == "onnx":
        require_onnx()
    path = weights.parent / FOLDER / f"{NAME}.{kind}"
    detector = load_detector(weights, "cpu")
    detector.number_type = torch.float32  # of what the program is compared with
    log.info(f"exporting {weights}: on a busy machine this takes minutes")
    with quiet():
        traced = trace(ExportedDetector(detector), random_inputs(detector.recipe, 2))
    metadata = described(weights, detector.recipe)
    program = Program(traced, list(metadata["outputs"]), metadata)
    comparison = write_program(path, kind, program, lambda run: compared(path, run, detector))
    return Exported((path,), metadata["weights_sha256"], comparison)


def described(weights: Path, recipe: DetectorRecipe) -> dict[str, Any]:
    """Return what an exported file tells: its network, recipe, parts, inputs and outputs, and what made it."""
    return {
        "kind": KIND,
        "weights_sha256": sha256_of_file(weights),
        "recipe_name": weights.parent.name,
        "recipe": recipe.model_dump(mode="json"),
        "part_names": list(PART_NAMES),
        "inputs": described_inputs(recipe),
        "outputs": described_outputs(recipe),
        "versions": {package: version(package) for package in PACKAGES},
    }


def random_inputs(recipe: DetectorRecipe, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Return images of coloured clouds, `count` of them, in which a detector finds something, and their sizes."""
    random = torch.Generator().manual_seed(seed)
    colours = 255 * torch.rand(count, 3, 16, 16, generator=random)
    images = functional.interpolate(colours, (recipe.input_size, recipe.input_size), mode="bilinear")
    sizes = torch.randint(300, 1000, (count, 2), generator=random)
    return {"images": images.to(torch.uint8).permute(0, 2, 3, 1).contiguous(), "sizes": sizes}


def compared(path: Path, run: Run, detector: Detector) -> dict[str, float]:
    """Run a program beside `detector` on one image and on eight; return how they agree.

    Raises UserError, naming `path`, where less than `LEAST_ALIKE` of the places of boxes are alike.
    """
    alike = min(_share_alike(run, detector, random_inputs(detector.recipe, count, seed=count)) for count in (1, 8))
    if not alike >= LEAST_ALIKE:
        raise UserError(
            f"{path}: not written, because the exported detector is not the trained one: {alike:.0%} of its boxes are "
            "PyTorch's"
        )
    return {"least_share_of_boxes_alike": alike}


def _share_alike(run: Run, detector: Detector, inputs: Mapping[str, Tensor]) -> float:
    """Return the share of places that hold the same label, nearly the same score, and a box within half a pixel."""
    boxes, scores, labels = run(inputs)
    wanted = detector.find(inputs["images"], inputs["sizes"].numpy())
    near = ((boxes - wanted.boxes).abs() <= PIXELS).all(-1) & ((scores - wanted.scores).abs() <= SCORE)
    return float((near & (labels == wanted.labels)).float().mean())
