"""An evaluated run with everything needed to show it: scores, features and, of a network, its part boxes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sha256_of_file
from data_cache.base.options import remedy_command
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol
from data_cache.parts.cache import PartBoxes, empty_cache
from reid.data.vehicle_images import VehicleImages, part_cache, vehicle_images
from reid.evaluation.metrics_file import EXTERNAL, TRAINED, again, not_evaluated, plain_row, read_metrics
from reid.evaluation.trained_run import image_names
from reid.features.external import read_external_features
from reid.features.file import Features, read_features
from reid.model.checkpoint import TrainedNetwork, read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.report.pictures.covering import Covering, covering_effects
from reid.report.pictures.heatmaps import Heatmaps, compute_heatmaps
from reid.retrieval.ranked_lists import Choice, RankedList, ranked_lists
from reid.retrieval.score_by_part import PartScore, score_by_part
from reid.runs import BEST, METRICS, dataset_folder, run_folder


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """The run in `folder`, evaluated on one test: content of metrics.json, the scored features, and the part boxes.

    Features of another system have no network: no boxes, no attention and no heatmaps. Raises UserError if metrics,
    features and boxes belong to different data sets, checkpoints or part caches.
    """

    folder: Path
    dataset: Dataset
    metrics: Mapping[str, Any]
    features: Features
    parts: PartBoxes

    def __post_init__(self) -> None:
        """Raise UserError if metrics, features and boxes do not belong together."""
        plain_row(self.metrics, self.test_folder / METRICS)
        if self.metrics["dataset"] != self.dataset.name:
            raise UserError(f"{METRICS} is of data set {self.metrics['dataset']}, not {self.dataset.name}")
        features_checkpoint = self.features.provenance.get("weights")
        if features_checkpoint and self.checkpoint_hash and features_checkpoint != self.checkpoint_hash:
            raise UserError(f"the features are from another checkpoint than {METRICS}; {again()}")
        if self.features.provenance.get("parts", self.parts.fingerprint) != self.parts.fingerprint:
            raise UserError(f"{self.folder}: evaluated with another part cache; pass that cache with --parts")

    @property
    def name(self) -> str:
        """The recipe name of the run."""
        return str(self.metrics.get("recipe_name", self.folder.name))

    @property
    def has_network(self) -> bool:
        """Whether a network of this system was evaluated, not features of another one."""
        return TRAINED in self.metrics["scores"]

    @property
    def scores(self) -> Mapping[str, Any]:
        """The scores of the run itself, without re-ranking and expansion of queries."""
        row: Mapping[str, Any] = self.metrics["scores"][TRAINED if self.has_network else EXTERNAL]
        return row

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

    def score_by_part(self, first: str, second: str) -> list[PartScore]:
        """Return what the score of two images is the sum of, see `score_by_part`; empty for most networks.

        Raises UserError if an image has no feature.
        """
        recipe = self.features.provenance.get("recipe")
        if recipe is None:
            return []
        return score_by_part(ReidRecipe.model_validate(recipe), *self.features.of([first, second]))

    def protocol(self) -> Protocol:
        """Return the protocol of the test with the first of its draws."""
        return self.dataset.protocol(self.metrics["split"], draws=1, seed=self.scores["seed"] or 0)

    def heatmaps(self, names: list[str], *, device: str) -> dict[str, Heatmaps]:
        """Return the heatmaps of images by name.

        Raises UserError if the checkpoint changed since the evaluation, or if there is no network.
        """
        if not self.has_network:
            raise UserError(f"{self.folder}: features of another system, and no network to draw heatmaps of")
        network, images = self._network_with(names)
        return dict(zip(names, compute_heatmaps(network, images, device=device), strict=True))

    def coverings(self, pairs: Sequence[tuple[str, str]], *, device: str) -> dict[tuple[str, str], Covering]:
        """Return what covering regions of the first image of each pair does to its score with the second.

        Empty without a network. Raises UserError if the checkpoint changed since the evaluation.
        """
        if not self.has_network:
            return {}
        network, images = self._network_with([name for name, _ in pairs])
        references = self.features.of(other for _, other in pairs)
        return dict(zip(pairs, covering_effects(network, images, references, device=device), strict=True))

    def margin_effects(self, triples: Sequence[tuple[str, ...]], *, device: str) -> list[Covering]:
        """Return what covering the part boxes of queries does to their margins; a triple is query, match, wrong image.

        The `score` is the margin: the cosine with the match less that with the wrong image. There are no squares.
        Raises UserError without a network, or if the checkpoint changed since the evaluation.
        """
        network, images = self._network_with([query for query, *_ in triples])
        match, wrong = (self.features.of(triple[which] for triple in triples) for which in (1, 2))
        return covering_effects(network, images, match - wrong, device=device, grid=0)

    def best_true_match(self, query: RankedList) -> str | None:
        """Return the query's match in the gallery with the highest score, None if it has none."""
        if not query.positives:
            return None
        choice = Choice(names=(query.query,))
        (ranked,) = ranked_lists(self.features, self.dataset, self.protocol(), choice, top_k=query.first_hit_rank)
        return next(image.name for image in ranked.images if image.right)

    def _network_with(self, names: Sequence[str]) -> tuple[TrainedNetwork, VehicleImages]:
        checkpoint = read_checkpoint(self._checkpoint_path())
        if checkpoint.sha256 != self.checkpoint_hash:
            raise UserError(f"{checkpoint.path} has changed since it was evaluated; {again()}")
        recipe = checkpoint.recipe
        images = vehicle_images(
            self.dataset, self.parts, names, top_d=recipe.parts, size=recipe.input_size, crop=recipe.part_crops
        )
        return trained_network(checkpoint), images

    def _checkpoint_path(self) -> Path:
        """Return the path of the network: in the run's folder, or, after direct transfer, where it was trained."""
        folder = self.metrics.get("checkpoint", {}).get("folder")
        if folder is not None:
            return Path(os.path.normpath(self.folder / folder)) / BEST
        trained_on = str(self.metrics.get("trained_on") or self.dataset.name)  # direct transfer before version 0.6
        if trained_on == self.dataset.name:
            return self.folder / BEST
        return run_folder(dataset_folder(self.folder).parent, trained_on, self.name) / BEST


def read_evaluated_run(folder: Path, dataset: Dataset, split: str, runs: Path, parts_file: Path | None) -> EvaluatedRun:
    """Return the run in `folder` as evaluated on a test; with `parts_file` None, on the data set's own part cache.

    Raises UserError if it was not evaluated on that test, or by another version.
    """
    dataset.protocol(split, draws=1)  # raises UserError for an unknown test
    path = folder / split / METRICS
    if not path_exists(path):
        raise not_evaluated(path, split)
    metrics = read_metrics(path)
    if EXTERNAL in metrics["scores"]:
        features = _external_features(folder, path, metrics, dataset)
        return EvaluatedRun(folder, dataset, metrics, features, empty_cache(dataset.names()))
    try:
        recipe = ReidRecipe(**metrics["recipe"])
        features = read_features(folder / metrics["features"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: made by another version; {again()}") from error
    return EvaluatedRun(folder, dataset, metrics, features, part_cache(dataset, recipe, runs, parts_file))


def _external_features(folder: Path, path: Path, metrics: Mapping[str, Any], dataset: Dataset) -> Features:
    """Return the copy of the other system's features; version 0.3 kept only the path of its file, and a hash."""
    stored = metrics.get("features")
    if isinstance(stored, str):
        return read_features(folder / stored)
    source = Path(metrics.get("arguments", {}).get("--features", "FEATURES.npz"))
    sha256 = stored.get("sha256") if isinstance(stored, dict) else None
    if not source.is_file() or sha256_of_file(source) != sha256:
        remedy = remedy_command("evaluate", {"--features": str(source), "--name": folder.name})
        raise UserError(f"{path}: the features scored then, {source}, are gone; score them again by {remedy}")
    return read_external_features(source, image_names(dataset, [metrics["split"]]))


def attends_to_parts(parts: PartBoxes, features: Features) -> bool:
    """Return whether the attention is over part boxes: a grid has more cells than boxes, a baseline no attention."""
    return 0 < features.attention.shape[1] <= parts.labels.shape[1]
