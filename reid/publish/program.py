"""A trained network as a program: from the pixels of images and their part boxes to features, without this code."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from data_cache.base.errors import UserError
from data_cache.base.export import Exported, Program, Run, require_onnx, trace, write_program
from reid.data.vehicle_images import normalised
from reid.evaluation.metrics_file import circumstances
from reid.model.checkpoint import Checkpoint, trained_network
from reid.model.pgan import PGAN
from reid.recipes import ReidRecipe

log = logging.getLogger(__name__)

FOLDER, NAME = "export", "network"
OUTPUTS = {
    "feature": "float32 (batch, 2C') of length 1: the cosine of two is how alike their vehicles are",
    "attention": "float32 (batch, D): the weight of each part, 0 where absent; of each cell for grid attention",
}
ONLY_FOR_TRAINING = ("classifier", "refine_global", "refine_part")
LEAST_COSINE, MOST_DIFFERENCE = 0.99999, 1e-4


class ExportedNetwork(nn.Module):
    """The network as it is used: pixels as an image file gives them come in, features of length 1 go out."""

    def __init__(self, network: PGAN) -> None:
        """Take `network` over: what training alone looks at is put out of it, and weight norm is worked out once."""
        super().__init__()
        for name in ONLY_FOR_TRAINING:
            if hasattr(network, name):
                setattr(network, name, nn.Identity())
        for module in network.modules():  # a copy of the network would share this with it: parametrizing makes classes
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
        self.network = network.eval()

    def forward(self, images: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return feature (B, 2C') and attention, of which `OUTPUTS` tells, for the inputs of `described_inputs`."""
        output = self.network(normalised(images.permute(0, 3, 1, 2)), boxes, present)
        return functional.normalize(output.feature), output.attention


def described_inputs(recipe: ReidRecipe) -> dict[str, str]:
    """Return what the program takes, in order; every input has a row for each image of the batch."""
    side, places = recipe.image_size, recipe.parts
    looks = "" if recipe.looks_at_parts else "; this network looks at none"
    return {
        "images": f"uint8 (batch, {side}, {side}, 3), RGB, resized with a bilinear filter",
        "boxes": f"float32 (batch, {places}, 4), x0 y0 x1 y1 in [0, 1] of the image, the most confident first{looks}",
        "present": f"bool (batch, {places}), false where there is no box",
    }


def export_program(checkpoint: Checkpoint, kind: str) -> Exported:
    """Write a checkpoint's network as "pt2" or "onnx" into the folder `export` beside it.

    What was written is run and compared with PyTorch in float32 before it takes its name. Raises UserError where the
    extra `onnx` is missing, or where the two differ.
    """
    if kind == "onnx":
        require_onnx()
    path = checkpoint.path.parent / FOLDER / f"{NAME}.{kind}"
    log.info(f"exporting {checkpoint.path}: on a busy machine this takes minutes")
    recipe = checkpoint.recipe
    traced = trace(ExportedNetwork(trained_network(checkpoint)), random_inputs(recipe, 2))
    program = Program(traced, list(OUTPUTS), described(checkpoint))
    network = trained_network(checkpoint)
    comparison = write_program(path, kind, program, lambda run: compared(path, run, network, recipe))
    return Exported((path,), checkpoint.sha256, comparison)


def described(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what an exported file tells: its network, recipe, data, inputs and outputs, and what made it."""
    made_with = circumstances("cpu")
    return {
        "kind": checkpoint.metadata["kind"],
        "checkpoint_sha256": checkpoint.sha256,
        "recipe_name": checkpoint.path.parent.name,
        "recipe": checkpoint.recipe.model_dump(mode="json"),
        "dataset": checkpoint.metadata["dataset"],
        "inputs": described_inputs(checkpoint.recipe),
        "outputs": OUTPUTS,
        "versions": made_with["versions"],
        "commit": made_with["commit"],
    }


def random_inputs(recipe: ReidRecipe, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Return noise for images, `count` of them, with random boxes of which some are absent; the first has no part."""
    random = torch.Generator().manual_seed(seed)
    shape = (count, recipe.image_size, recipe.image_size, 3)
    present = torch.rand(count, recipe.parts, generator=random) < 0.7
    present[0] = False
    return {
        "images": torch.randint(0, 256, shape, dtype=torch.uint8, generator=random),
        "boxes": torch.rand(count, recipe.parts, 2, 2, generator=random).sort(dim=2).values.flatten(2),
        "present": present,
    }


def compared(path: Path, run: Run, network: PGAN, recipe: ReidRecipe) -> dict[str, float]:
    """Run a program beside `network` on one image without parts and on eight; return how they agree.

    Raises UserError, naming `path`, where a feature or an attention is not the network's.
    """
    found = []
    for count in (1, 8):
        inputs = random_inputs(recipe, count, seed=count)
        found.append(agreement(run(inputs), in_pytorch(network, inputs)))
    lowest, largest = min(cosine for cosine, _ in found), max(difference for _, difference in found)
    if not (lowest >= LEAST_COSINE and largest <= MOST_DIFFERENCE):
        raise UserError(
            f"{path}: not written, because the exported network is not the trained one: its features have a cosine of "
            f"{lowest:.6f} to PyTorch's, and its attention differs by {largest:.1e}"
        )
    return {"lowest_cosine_of_features": lowest, "largest_difference_of_attention": largest}


def in_pytorch(network: PGAN, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Return feature (B, 2C'), not normalised, and attention of the network itself, in float32."""
    images, boxes, present = inputs.values()
    with torch.inference_mode():
        output = network(normalised(images.permute(0, 3, 1, 2)), boxes, present)
    return [output.feature, output.attention]


def agreement(found: list[Tensor], wanted: list[Tensor]) -> tuple[float, float]:
    """Return the lowest cosine of two lists' features (B, C), and the largest difference of their attention (B, D)."""
    cosines = functional.cosine_similarity(found[0].double(), wanted[0].double())
    differences = (found[1] - wanted[1]).abs()
    return float(cosines.min()), float(differences.max()) if differences.numel() else 0.0
