"""Detector weights on disk: one tensor file that also holds the recipe and the part names."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from data_cache.base.errors import UserError, printable
from data_cache.base.tensors import half_precision, load_tensors, non_finite_names, read_metadata, save_tensors
from data_cache.base.weights.fitting import weight_differences
from data_cache.parts.names import PART_NAMES
from detect.recipes import DetectorRecipe

if TYPE_CHECKING:
    from torch import nn

PACKAGES = ("torch", "torchvision", "onedl-mmdetection")  # their versions enter fingerprints
KIND = "part detector"
REMEDY = "choose another with --detector, such as shipped"


def write_weights(path: Path, network: "nn.Module", recipe: DetectorRecipe) -> None:
    """Write the network's state, its recipe and the part names atomically."""
    metadata = {"kind": KIND, "recipe": recipe.model_dump(mode="json"), "part_names": PART_NAMES}
    save_tensors(path, network.state_dict(), metadata)


def write_half_precision(source: Path, target: Path) -> None:
    """Write the detector of a weights file with half the bytes: its matrices in float16, its vectors as they are.

    Raises UserError if `source` is no detector, or has a value that float16 does not reach.
    """
    tensors, metadata, _ = load_tensors(source, REMEDY)
    trunk = _recipe(source, metadata).trunk_weights
    if trunk is not None:  # of a path only the file's name: the written file is for others
        metadata = {**metadata, "recipe": {**metadata["recipe"], "trunk_weights": Path(trunk).name}}
    save_tensors(target, half_precision(source, tensors, REMEDY), metadata)


def read_recipe(path: Path) -> DetectorRecipe:
    """Return the recipe in a weights file, without importing torch. Raises UserError if it is no detector."""
    return _recipe(path, read_metadata(path, REMEDY))


def load_weights(path: Path, network: "nn.Module", remedy: str = REMEDY) -> None:
    """Load a weights file into `network`; tensors in float16 become float32, as those of the network are.

    Raises UserError, ending with `remedy`, if it is damaged, not finite, or does not fit.
    """
    tensors, metadata, _ = load_tensors(path, remedy)
    _recipe(path, metadata)
    if broken := non_finite_names(tensors):
        raise UserError(f"{path}: {broken[0]} is not finite, its training failed; {remedy}")
    if (differences := weight_differences(tensors, network.state_dict())) is not None:
        raise UserError(f"{path}: its tensors do not fit the network of the recipe ({differences}); {remedy}")
    network.load_state_dict(tensors, strict=False)  # only counters of batch norm may be missing


def fits(path: Path, network: "nn.Module") -> bool:
    """Return whether a weights file has the tensors of `network`, by names and shapes. Raises UserError if damaged."""
    tensors, _, _ = load_tensors(path, REMEDY)
    needed = {name: value.shape for name, value in network.state_dict().items()}
    return {name: value.shape for name, value in tensors.items()} == needed


def _recipe(path: Path, metadata: Mapping[str, Any]) -> DetectorRecipe:
    if metadata.get("kind") != KIND:
        raise UserError(f"{path}: not the weights of a part detector; {REMEDY}")
    if metadata.get("part_names") != [*PART_NAMES]:
        raise UserError(f"{path}: trained on other parts ({printable(metadata.get('part_names'))[:200]}); {REMEDY}")
    try:
        return DetectorRecipe.model_validate(metadata.get("recipe"))
    except ValidationError as error:
        raise UserError(f"{path}: its recipe is of another version and cannot be read; {REMEDY}") from error
