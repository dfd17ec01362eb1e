"""An evaluated run with all that is needed to show it: its scores, its features, and the part boxes it looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import is_there
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol
from data_cache.parts.cache import PartBoxes
from reid.data.vehicle_images import vehicle_images
from reid.evaluation.metrics_file import METRICS, read_metrics
from reid.features.file import Features, read_features
from reid.model.checkpoint import read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.report.heatmaps import Heat, heat_of
from reid.report.tiles import attends_to_parts
from reid.runs import BEST, part_cache

AGAIN = "run `python cli.py evaluate` again"


@dataclass(frozen=True, eq=False)
class ShownRun:
    """A run in `folder`, evaluated on a test: metrics.json as it stands there, the features that it scored, part boxes.

    Raises UserError where metrics, features and boxes are not of one data set, test, checkpoint and part cache.
    """

    folder: Path
    dataset: Dataset
    metrics: Mapping[str, Any]
    features: Features
    parts: PartBoxes

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        if not {"dataset", "split", "scores"} <= set(self.metrics) or "trained" not in self.metrics["scores"]:
            raise UserError(f"{METRICS}: no scores of a trained network in it; {AGAIN}")
        if self.metrics["dataset"] != self.dataset.name:
            raise UserError(f"{METRICS} is of data set {self.metrics['dataset']}, not {self.dataset.name}")
        made_by = self.features.provenance.get("weights")
        if made_by and self.checkpoint_hash and made_by != self.checkpoint_hash:
            raise UserError(f"the features are of another checkpoint than {METRICS}; {AGAIN}")
        if self.features.provenance.get("parts", self.parts.fingerprint) != self.parts.fingerprint:
            raise UserError(
                f"{self.folder}: evaluated with other part boxes than those of this part cache; name its own by --parts"
            )

    @property
    def name(self) -> str:
        """The run's name, as --recipe takes it."""
        return str(self.metrics.get("recipe_name", self.folder.name))

    @property
    def test_folder(self) -> Path:
        """Where the results of the test lie."""
        return self.folder / str(self.metrics["split"])

    @property
    def checkpoint_hash(self) -> str | None:
        """The SHA-256 of the checkpoint that was evaluated, None where it is not told."""
        told = self.metrics.get("checkpoint", {}).get("sha256")
        return None if told is None else str(told)

    @property
    def weighs_parts(self) -> bool:
        """Whether the network's attention is over part boxes."""
        return attends_to_parts(self.parts, self.features)

    def protocol(self) -> Protocol:
        """Return the test, with the first of its draws."""
        seed = self.metrics["scores"]["trained"]["seed"]
        return self.dataset.protocol(self.metrics["split"], draws=1, seed=seed or 0)

    def heat(self, names: list[str], *, device: str) -> dict[str, Heat]:
        """Return the heatmaps of images by name. Raises UserError where the checkpoint is not the one evaluated."""
        checkpoint = read_checkpoint(self.folder / BEST)
        if checkpoint.sha256 != self.checkpoint_hash:
            raise UserError(f"{checkpoint.path} has changed since it was evaluated; {AGAIN}")
        recipe = checkpoint.recipe
        images = vehicle_images(self.dataset, self.parts, names, depth=recipe.parts, size=recipe.image_size)
        return dict(zip(names, heat_of(trained_network(checkpoint), images, device=device), strict=True))


def evaluated_run(folder: Path, dataset: Dataset, split: str, runs: Path, parts_file: Path | None) -> ShownRun:
    """Return the run in `folder` as it was evaluated on a test; `parts_file` None is the data set's own part cache.

    Raises UserError where it was not evaluated on that test, or not by this version.
    """
    dataset.protocol(split, draws=1)  # refuses a test that the data set does not have
    path = folder / split / METRICS
    if not is_there(path):
        raise UserError(f"{path}: not evaluated on {split}; run `python cli.py evaluate --split {split}` on it first")
    metrics = read_metrics(path)
    try:
        recipe = ReidRecipe(**metrics["recipe"])
        features = folder / metrics["features"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: made by another version; {AGAIN}") from error
    return ShownRun(folder, dataset, metrics, read_features(features), part_cache(dataset, recipe, runs, parts_file))
