"""Detector weights on disk: one tensor file that also holds the recipe and the part names."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from data_cache.base.errors import UserError, printable
from data_cache.base.tensors import load_tensors, non_finite_names, read_metadata, save_tensors
from data_cache.parts.names import PART_NAMES
from detect.recipes import DetectorRecipe

if TYPE_CHECKING:
    from torch import nn

PACKAGES = ("torch", "torchvision", "onedl-mmdetection")  # their versions enter fingerprints
KIND = "part detector"
REMEDY = "train a detector with `python cli.py parts train`"


def write_weights(path: Path, network: "nn.Module", recipe: DetectorRecipe) -> None:
    """Write the network's state, its recipe and the part names atomically."""
    metadata = {"kind": KIND, "recipe": recipe.model_dump(mode="json"), "part_names": PART_NAMES}
    save_tensors(path, network.state_dict(), metadata)


def read_recipe(path: Path) -> DetectorRecipe:
    """Return the recipe in a weights file, without importing torch. Raises UserError if it is no detector."""
    return _recipe(path, read_metadata(path, REMEDY))


def load_weights(path: Path, network: "nn.Module") -> None:
    """Load a weights file into `network`. Raises UserError if it is damaged, not finite, or does not fit."""
    tensors, metadata, _ = load_tensors(path, REMEDY)
    _recipe(path, metadata)
    if broken := non_finite_names(tensors):
        raise UserError(f"{path}: {broken[0]} is not finite, its training failed; {REMEDY}")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: does not fit the network of its recipe ({first})") from error


def _recipe(path: Path, metadata: Mapping[str, Any]) -> DetectorRecipe:
    if metadata.get("kind") != KIND:
        raise UserError(f"{path}: not the weights of a part detector; {REMEDY}")
    if metadata.get("part_names") != [*PART_NAMES]:
        raise UserError(f"{path}: trained on other parts ({printable(metadata.get('part_names'))[:200]}); {REMEDY}")
    try:
        return DetectorRecipe.model_validate(metadata.get("recipe"))
    except ValidationError as error:
        raise UserError(f"{path}: its recipe is of another version and cannot be read; {REMEDY}") from error
