"""A trained detector on disk: one tensor file with its weights, its recipe and the part names it was taught."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from data_cache.base.errors import UserError, printable
from data_cache.base.tensors import load_tensors, not_finite, read_metadata, save_tensors
from data_cache.parts.names import PART_NAMES
from detect.recipes import DetectorRecipe

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGES = ("torch", "torchvision", "onedl-mmdetection")
KIND = "part detector"
REMEDY = "train a detector with `python cli.py parts train`"


def write_weights(path: Path, network: "nn.Module", recipe: DetectorRecipe) -> None:
    """Write the state of `network`, with `recipe` and part names, as a whole or not at all."""
    metadata = {"kind": KIND, "recipe": recipe.model_dump(mode="json"), "part_names": PART_NAMES}
    save_tensors(path, network.state_dict(), metadata)


def read_recipe(path: Path) -> DetectorRecipe:
    """Return the recipe inside a weights file, without torch. Raises UserError where it is no detector of ours."""
    return _recipe(path, read_metadata(path, REMEDY))


def load_weights(path: Path, network: "nn.Module") -> None:
    """Put the weights of `path` into `network`. Raises UserError where they are damaged, not finite, or do not fit."""
    tensors, metadata, _ = load_tensors(path, REMEDY)
    _recipe(path, metadata)
    if broken := not_finite(tensors):
        raise UserError(f"{path}: {broken[0]} is not finite, its training failed; {REMEDY}")
    put_in(path, network, tensors)


def _recipe(path: Path, metadata: Mapping[str, Any]) -> DetectorRecipe:
    if metadata.get("kind") != KIND:
        raise UserError(f"{path}: not the weights of a part detector; {REMEDY}")
    if metadata.get("part_names") != [*PART_NAMES]:
        raise UserError(f"{path}: was taught other parts ({printable(metadata.get('part_names'))[:200]}); {REMEDY}")
    try:
        return DetectorRecipe.model_validate(metadata.get("recipe"))
    except ValidationError as error:
        raise UserError(f"{path}: made by another version, whose recipe is not understood here; {REMEDY}") from error


def put_in(path: Path, network: "nn.Module", state: "Mapping[str, Tensor]") -> None:
    """Put `state`, read from `path`, into `network`. Raises UserError unless every tensor has its place and shape."""
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: does not fit the network of its recipe ({first})") from error
