"""A run folder from the authors' published weights, for `evaluate` and `report` to take as one of ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file, write_json
from data_cache.base.locks import run_lock
from data_cache.base.tensors import content_hash, load_tensors, save_tensors
from data_cache.parts.cache import require_fingerprint
from reid.model.checkpoint import network_tensors
from reid.model.official import OfficialNetwork, read_official
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST

IDENTITY_WEIGHT = {"vehicleid": 1.0}  # lambda in the authors' configuration; 2 on their other data sets


@dataclass(frozen=True, eq=False)
class ImportedWeights:
    """What was read from `source`, and the checkpoint that it became; `written` is False where it lay there before."""

    source: Path
    checkpoint: Path
    official: OfficialNetwork
    recipe: ReidRecipe
    written: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain JSON values; vehicles is null where the file holds no classifier."""
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


def import_official(source: Path, folder: Path, dataset: str, *, parts: int) -> ImportedWeights:
    """Write the authors' weights `source` and their recipe into the run `folder`, for `parts` (D) part boxes an image.

    Raises UserError where `source` is anything else, and where `folder` holds another network: that is never lost.
    """
    official = read_official(source)
    recipe = official_recipe(official.recipe, dataset, parts)
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
        "epoch": None,  # the file does not tell
        "best": None,
    }
    with run_lock(folder):
        there = _is_there(folder, tensors, metadata)
        if not there:
            write_json(folder / "recipe.json", metadata["recipe"])
            save_tensors(folder / BEST, tensors, metadata)
    return ImportedWeights(source, folder / BEST, official, recipe, written=not there)


def official_recipe(read: ReidRecipe, dataset: str, parts: int) -> ReidRecipe:
    """Return the recipe of the authors' network: trunk and 2C' are those of `read`, the rest is their configuration.

    These are lambda, 1 on VehicleID and 2 elsewhere, no vehicles held out, and what `ReidRecipe` has by default:
    temperature 10, 224 pixels, flip, erasing, batch and schedule. D is 8 there, `parts` here. Their seed is not known.
    """
    weight = IDENTITY_WEIGHT.get(dataset, 2.0)
    return ReidRecipe.model_validate({**read.model_dump(), "lambda": weight, "holdout": 0.0, "parts": parts})


def _is_there(folder: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bool:
    """Whether `folder` holds this very import. Raises UserError where it holds another network."""
    remedy = f"delete {folder}, or choose another --name"
    if (folder / LAST).exists():
        raise UserError(f"{folder}: a network was trained there; {remedy}")
    if not (folder / BEST).exists():
        return False
    _, found, content = load_tensors(folder / BEST, remedy)
    wanted = {**metadata, "tensors": content_hash(tensors, metadata)}
    require_fingerprint({**found, "tensors": content}, wanted, folder / BEST, remedy)
    return True
