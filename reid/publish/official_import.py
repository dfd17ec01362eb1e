"""A run folder from the authors' published weights, used by `evaluate` and `report` like a trained one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file, write_json
from data_cache.base.locks import run_lock
from data_cache.base.options import command_file
from data_cache.base.tensors import content_hash, load_tensors, save_tensors
from data_cache.parts.fingerprints import require_fingerprint
from reid.model.checkpoint import network_tensors
from reid.model.official import OfficialNetwork, read_official
from reid.recipes import ReidRecipe, dataset_options
from reid.runs import BEST, LAST


@dataclass(frozen=True, eq=False)
class ImportedWeights:
    """The network read from `source` and its checkpoint; `written` is False if that existed before."""

    source: Path
    checkpoint: Path
    official: OfficialNetwork
    recipe: ReidRecipe
    written: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain JSON values; vehicles is null if the file has no classifier."""
        return {
            "output": str(self.checkpoint),
            "trunk": self.recipe.trunk,
            "features": self.recipe.features,
            "vehicles": self.official.vehicles,
            "parts": self.recipe.parts,
            "tensors": self.official.used,
            "remarks": list(self.official.remarks),
            "written": self.written,
        }

    def line(self) -> str:
        """Return the summary as one line."""
        vehicles = "no classifier" if self.official.vehicles is None else f"{self.official.vehicles} vehicles"
        sizes = f"{self.recipe.trunk}, 2C' = {self.recipe.features}, {vehicles}, D = {self.recipe.parts}"
        return f"{self.checkpoint}: {sizes}; all {self.official.used} tensors of {self.source.name} are used"


def import_official(
    source: Path, folder: Path, dataset: str, *, top_d: int, command: Mapping[str, Any] | None = None
) -> ImportedWeights:
    """Write the authors' weights `source` and their recipe, for `top_d` part boxes per image, into the run `folder`.

    `command` (see `running_command`) is kept beside them, to say how to make it again.
    Raises UserError if `source` is any other file, or if `folder` holds another network, which is never overwritten.
    """
    official = read_official(source)
    # image size, augmentation, batch and schedule of the authors are the defaults; their seed is unknown
    own = {**dataset_options(dataset), "holdout": 0.0, "parts": top_d}
    recipe = ReidRecipe.model_validate(official.recipe.model_dump() | own)
    tensors = network_tensors(official.network)
    metadata = {
        "kind": "re-identification",
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset,
        "vehicles": official.network.classifier.out_features,
        "source": {
            "weights": "of PGAN's authors",
            "sha256": sha256_of_file(source),
            "classifier": official.vehicles is not None,
        },
        "epoch": None,  # not in the file
        "best": None,
    }
    written = write_imported(folder, tensors, metadata, command, f"delete {folder}, or choose another --name")
    return ImportedWeights(source, folder / BEST, official, recipe, written=written)


def write_imported(
    folder: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    command: Mapping[str, Any] | None,
    remedy: str,
) -> bool:
    """Write a network that was not trained here as the run `folder`; return False if it was there already.

    Raises UserError, ending with `remedy`, if `folder` holds another network.
    """
    with run_lock(folder):
        exists = _is_imported(folder, tensors, metadata, remedy)
        if not exists:
            write_json(folder / "recipe.json", metadata["recipe"])
            if command is not None:
                write_json(command_file(folder), command)
            save_tensors(folder / BEST, tensors, metadata)
    return not exists


def _is_imported(folder: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], remedy: str) -> bool:
    """Return whether `folder` already holds this import. Raises UserError if it holds another network."""
    if (folder / LAST).exists():
        raise UserError(f"{folder}: contains a trained network; {remedy}")
    if not (folder / BEST).exists():
        return False
    _, found, content = load_tensors(folder / BEST, remedy)
    expected = {**metadata, "tensors": content_hash(tensors, metadata)}
    require_fingerprint({**found, "tensors": content}, expected, folder / BEST, remedy)
    return True
