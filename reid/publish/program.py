"""A trained network as an exported program: pixels and part boxes in, features out, without this code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from data_cache.base.errors import UserError
from data_cache.base.export import FOLDER, Exported, Run, write_program
from data_cache.parts.names import PART_NAMES
from reid.data.vehicle_images import normalised, normalised_crops
from reid.data.views import MARGIN
from reid.evaluation.metrics_file import environment
from reid.model.checkpoint import Checkpoint, TrainedNetwork, trained_network
from reid.model.pgan_plus import PGANPlus
from reid.recipes import ReidRecipe

NAME = "network"
OUTPUTS = {
    "feature": "float32 (batch, C) of length 1; the cosine of two features is the similarity of their vehicles",
    "attention": "float32 (batch, D): the weight of each part, 0 if absent; of each cell for grid attention",
}
TRAINING_ONLY = ("classifier", "refine_global", "refine_part", "slot_classifier")
MIN_COSINE, MAX_DIFFERENCE = 0.99999, 1e-4


class ExportedNetwork(nn.Module):
    """The network for inference: pixels as read from an image file in, features of length 1 out."""

    def __init__(self, network: TrainedNetwork) -> None:
        """Take over `network`, which loses the modules used only in training and its weight norm."""
        super().__init__()
        for part in (network, network.whole) if isinstance(network, PGANPlus) else (network,):
            for name in TRAINING_ONLY:
                if hasattr(part, name):
                    setattr(part, name, nn.Identity())
        for module in network.modules():  # a deep copy would share the classes that parametrization creates
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
        self.network = network.eval()

    def forward(self, images: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return feature (B, 2C') and attention, see `OUTPUTS`, for the inputs of `program_metadata`."""
        feature, attention = self.network.embed(*network_inputs(images, boxes, present))
        return functional.normalize(feature), attention


class ExportedPlus(ExportedNetwork):
    """The same for PGAN+."""

    def forward(  # type: ignore[override]
        self, images: Tensor, boxes: Tensor, labels: Tensor, crops: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return feature and attention, as `ExportedNetwork.forward`."""
        feature, attention = self.network.embed(*network_inputs(images, boxes, labels, crops))
        return functional.normalize(feature), attention


def network_inputs(images: Tensor, boxes: Tensor, parts: Tensor, crops: Tensor | None = None) -> list[Tensor]:
    """Return the inputs of a program as those of its network: pixels (..., H, W, 3) uint8 normalised."""
    inputs = [normalised(images.permute(0, 3, 1, 2)), boxes, parts]
    if crops is None:
        return inputs
    return [*inputs, normalised_crops(crops.permute(0, 1, 4, 2, 3))]


def exported_network(network: TrainedNetwork) -> ExportedNetwork:
    """Return a network as it is exported; the network is not usable afterwards."""
    return ExportedPlus(network) if isinstance(network, PGANPlus) else ExportedNetwork(network)


def export_program(checkpoint: Checkpoint, kind: str) -> Exported:
    """Write a checkpoint's network as "pt2" or "onnx" into the folder `export` beside it.

    The written program is first compared with PyTorch in float32. Raises UserError if they differ, or if the extra
    `onnx` is missing.
    """
    path, recipe = checkpoint.path.parent / FOLDER / f"{NAME}.{kind}", checkpoint.recipe
    exported, network = exported_network(trained_network(checkpoint)), trained_network(checkpoint)
    comparison = write_program(
        path,
        exported,
        random_inputs(recipe, 2),
        program_metadata(checkpoint),
        lambda run: compare_with_pytorch(path, run, network, recipe),
    )
    return Exported((path,), checkpoint.sha256, comparison)


def program_metadata(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the metadata of an exported file: network, recipe, data set, inputs, outputs, versions."""
    recipe, made_with = checkpoint.recipe, environment("cpu")
    (height, width), top_d = recipe.input_size, recipe.parts
    order = "the most confident first" if recipe.uses_parts else "not used by this network"
    covered = (
        f", boxes of {' and '.join(recipe.hide)} covered as reid/data/hiding.py does, then" if recipe.hide else ","
    )
    without = f", none of {' and '.join(recipe.hide)}" if recipe.hide and recipe.uses_parts else ""
    return {
        "kind": checkpoint.metadata["kind"],
        "checkpoint_sha256": checkpoint.sha256,
        "recipe_name": checkpoint.path.parent.name,
        "recipe": recipe.model_dump(mode="json"),
        "dataset": checkpoint.metadata["dataset"],
        "inputs": {
            "images": f"uint8 (batch, {height}, {width}, 3), RGB{covered} resized with a bilinear filter",
            "boxes": f"float32 (batch, {top_d}, 4), x0 y0 x1 y1 in [0, 1] of the image, {order}{without}",
            **_parts_inputs(recipe),
        },
        "outputs": OUTPUTS,
        "versions": made_with["versions"],
        "commit": made_with["commit"],
    }


def _parts_inputs(recipe: ReidRecipe) -> dict[str, str]:
    top_d, side = recipe.parts, recipe.part_crops
    if not side:
        return {"present": f"bool (batch, {top_d}), false if there is no box"}
    return {
        "labels": f"int64 (batch, {top_d}), the number of the part in {', '.join(PART_NAMES)}; -1 if there is no box",
        "crops": f"uint8 (batch, {top_d}, {side}, {side}, 3), RGB: each box with {MARGIN} of its width and height on "
        "each side, inside the image, cut out of it and resized with a bilinear filter; black if there is no box",
    }


def random_inputs(recipe: ReidRecipe, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Return `count` random images with random parts, some absent; the first image has no part."""
    random = torch.Generator().manual_seed(seed)
    shape = (count, *recipe.input_size, 3)
    present = torch.rand(count, recipe.parts, generator=random) < 0.7
    present[0] = False
    inputs = {
        "images": torch.randint(0, 256, shape, dtype=torch.uint8, generator=random),
        "boxes": torch.rand(count, recipe.parts, 2, 2, generator=random).sort(dim=2).values.flatten(2),
    }
    if not recipe.part_crops:
        return {**inputs, "present": present}
    kinds = torch.randint(0, len(PART_NAMES), present.shape, generator=random)
    shape = (*present.shape, recipe.part_crops, recipe.part_crops, 3)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    return {**inputs, "labels": torch.where(present, kinds, -1), "crops": crops}


def compare_with_pytorch(path: Path, run: Run, network: TrainedNetwork, recipe: ReidRecipe) -> dict[str, float]:
    """Return how closely a program agrees with `network`, on one image without parts and on a batch of eight.

    Raises UserError, naming `path`, if the features or the attention differ.
    """
    inputs = [random_inputs(recipe, count, seed=count) for count in (1, 8)]
    cosines, differences = np.transpose([agreement(run(batch), run_in_pytorch(network, batch)) for batch in inputs])
    lowest, largest = float(cosines.min()), float(differences.max())
    if not (lowest >= MIN_COSINE and largest <= MAX_DIFFERENCE):  # NaN, which NumPy's extremes keep, is not
        raise UserError(
            f"{path}: not written, the exported network differs from the trained one: lowest cosine of the features "
            f"{lowest:.6f}, largest difference of the attention {largest:.1e}"
        )
    return {"lowest_cosine_of_features": lowest, "largest_difference_of_attention": largest}


def run_in_pytorch(network: TrainedNetwork, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Return feature (B, 2C'), not normalised, and attention of the network in float32."""
    with torch.inference_mode():
        return list(network.embed(*network_inputs(*inputs.values())))


def agreement(outputs: list[Tensor], expected: list[Tensor]) -> tuple[float, float]:
    """Return the lowest cosine between features (B, C) and the largest difference of attention (B, D)."""
    cosines = functional.cosine_similarity(outputs[0].double(), expected[0].double())
    differences = (outputs[1] - expected[1]).abs()
    return float(cosines.min()), float(differences.max()) if differences.numel() else 0.0
