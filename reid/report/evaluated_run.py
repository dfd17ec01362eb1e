"""An evaluated run with everything needed to show it: scores, features and part boxes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol
from data_cache.parts.cache import PartBoxes
from reid.data.vehicle_images import part_cache, vehicle_images
from reid.evaluation.metrics_file import METRICS, read_metrics
from reid.features.file import Features, read_features
from reid.model.checkpoint import read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.report.heatmaps import Heatmaps, compute_heatmaps
from reid.runs import BEST

REMEDY = "run `python cli.py evaluate` again"


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """The run in `folder`, evaluated on one test: content of metrics.json, the scored features, and the part boxes.

    Raises UserError if metrics, features and boxes belong to different data sets, checkpoints or part caches.
    """

    folder: Path
    dataset: Dataset
    metrics: Mapping[str, Any]
    features: Features
    parts: PartBoxes

    def __post_init__(self) -> None:
        """Raise UserError if metrics, features and boxes do not belong together."""
        if "trained" not in self.metrics["scores"]:
            raise UserError(f"{METRICS}: it has no scores of a trained network; {REMEDY}")
        if self.metrics["dataset"] != self.dataset.name:
            raise UserError(f"{METRICS} is of data set {self.metrics['dataset']}, not {self.dataset.name}")
        features_checkpoint = self.features.provenance.get("weights")
        if features_checkpoint and self.checkpoint_hash and features_checkpoint != self.checkpoint_hash:
            raise UserError(f"the features are from another checkpoint than {METRICS}; {REMEDY}")
        if self.features.provenance.get("parts", self.parts.fingerprint) != self.parts.fingerprint:
            raise UserError(f"{self.folder}: evaluated with another part cache; pass that cache with --parts")

    @property
    def name(self) -> str:
        """The recipe name of the run."""
        return str(self.metrics.get("recipe_name", self.folder.name))

    @property
    def test_folder(self) -> Path:
        """The folder with the results of the test."""
        return self.folder / str(self.metrics["split"])

    @property
    def checkpoint_hash(self) -> str | None:
        """The SHA-256 of the evaluated checkpoint, None if metrics.json has none."""
        sha256: str | None = self.metrics.get("checkpoint", {}).get("sha256")
        return sha256

    @property
    def attends_to_parts(self) -> bool:
        """Whether the network's attention is over part boxes."""
        return attends_to_parts(self.parts, self.features)

    def protocol(self) -> Protocol:
        """Return the protocol of the test with the first of its draws."""
        seed = self.metrics["scores"]["trained"]["seed"]
        return self.dataset.protocol(self.metrics["split"], draws=1, seed=seed or 0)

    def heatmaps(self, names: list[str], *, device: str) -> dict[str, Heatmaps]:
        """Return the heatmaps of images by name. Raises UserError if the checkpoint changed since the evaluation."""
        checkpoint = read_checkpoint(self.folder / BEST)
        if checkpoint.sha256 != self.checkpoint_hash:
            raise UserError(f"{checkpoint.path} has changed since it was evaluated; {REMEDY}")
        recipe = checkpoint.recipe
        images = vehicle_images(self.dataset, self.parts, names, top_d=recipe.parts, size=recipe.image_size)
        return dict(zip(names, compute_heatmaps(trained_network(checkpoint), images, device=device), strict=True))


def read_evaluated_run(folder: Path, dataset: Dataset, split: str, runs: Path, parts_file: Path | None) -> EvaluatedRun:
    """Return the run in `folder` as evaluated on a test; with `parts_file` None, on the data set's own part cache.

    Raises UserError if it was not evaluated on that test, or by another version.
    """
    dataset.protocol(split, draws=1)  # raises UserError for an unknown test
    path = folder / split / METRICS
    if not path_exists(path):
        raise UserError(f"{path}: not evaluated on {split}; run `python cli.py evaluate --split {split}` on it first")
    metrics = read_metrics(path)
    try:
        recipe = ReidRecipe(**metrics["recipe"])
        features = folder / metrics["features"]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: made by another version; {REMEDY}") from error
    return EvaluatedRun(
        folder, dataset, metrics, read_features(features), part_cache(dataset, recipe, runs, parts_file)
    )


def attends_to_parts(parts: PartBoxes, features: Features) -> bool:
    """Return whether the attention is over part boxes: a grid has more cells than boxes, a baseline no attention."""
    return 0 < features.attention.shape[1] <= parts.labels.shape[1]
