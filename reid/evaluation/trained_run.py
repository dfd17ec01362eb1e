"""A trained run to evaluate: which network, with which changes, on which images, and its features."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command
from data_cache.datasets.catalogue import dataset_label
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import TURNED, PartBoxes
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.merging import IMAGE_KEYS
from reid.data.vehicle_images import part_cache
from reid.features.extraction import FeatureSource, cached_features, current_features
from reid.features.file import Features
from reid.model.checkpoint import Checkpoint, TrainedNetwork, read_checkpoint, trained_network
from reid.recipes import ReidRecipe
from reid.retrieval.ranking import Labels
from reid.retrieval.transforms import Whitening, joined
from reid.runs import BEST, chosen_run, is_path

log = logging.getLogger(__name__)

FEATURES, ALL = "features.safetensors", "all"
NOT_THE_DETECTOR = (*IMAGE_KEYS, *TURNED, "limit", "versions", "hidden")  # in a part cache's fingerprint


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A trained network and the data set to evaluate it on: part boxes of its images, folder for the results.

    `changes` are options of its recipe that concern the input alone, with other values than in training: `hide`,
    `flip_test`.
    """

    dataset: Dataset
    parts: PartBoxes
    checkpoint: Checkpoint
    folder: Path
    changes: Mapping[str, Any] = field(default_factory=dict)

    def source(self, splits: Sequence[str]) -> FeatureSource:
        """Return the source of the features of all images of the tests."""
        names = image_names(self.dataset, splits)
        return FeatureSource(self.dataset, names, self.parts, self.recipe, self.checkpoint.sha256)

    @property
    def recipe(self) -> ReidRecipe:
        """The recipe of its training, with the changes."""
        return self.checkpoint.recipe.model_copy(update=dict(self.changes))

    @property
    def change(self) -> str:
        """The changes in words, as "plate hidden"; empty without."""
        hidden = [part for part in self.recipe.hide if part not in self.checkpoint.recipe.hide]
        words = [f"{' and '.join(hidden)} hidden"] if hidden else []
        return ", ".join([*words, *(["flip test"] if "flip_test" in self.changes else [])])

    def network(self) -> TrainedNetwork:
        """Return the trained network. Raises UserError as `trained_network`."""
        network = trained_network(self.checkpoint)
        network.flip_test = self.recipe.flip_test
        return network


def find_run(
    dataset: Dataset,
    runs: Path,
    run: str | None,
    trained_on: str | None,
    parts_file: Path | None,
    *,
    hide: Sequence[str] = (),
    flip_test: bool = False,
) -> TrainedRun:
    """Return a run to evaluate on a data set, as `chosen_run` finds it.

    With `trained_on`, or by the path of a run on another data set, it is direct transfer, with a results folder of its
    own. `parts_file` replaces the data set's part cache. `hide` and `flip_test` change the recipe. Raises UserError if
    run or part cache is missing, if the checkpoint was trained on a third data set, if the part cache is from another
    detector than in training, or if the recipe has the changes anyway.
    """
    source = dataset.name if trained_on is None else dataset_label(trained_on)
    folder = chosen_run(runs, source, run)
    checkpoint = read_checkpoint(folder / BEST)
    if trained_on is None and run is not None and is_path(run):
        source = str(checkpoint.metadata.get("dataset"))
    remedy = f"run {remedy_command('train', {'--dataset': source})}"
    require_fingerprint({"dataset": checkpoint.metadata.get("dataset")}, {"dataset": source}, checkpoint.path, remedy)
    changes = _changes(checkpoint, hide, flip_test)
    parts = part_cache(dataset, checkpoint.recipe.model_copy(update=changes), runs, parts_file)
    if parts_file is None:  # --parts asks for other boxes; metrics.json records them
        require_trained_boxes(checkpoint, parts)
    if source != dataset.name:
        folder = runs / dataset.name / f"from-{source}-{folder.name}"
    return TrainedRun(dataset, parts, checkpoint, folder, changes)


def _changes(checkpoint: Checkpoint, hide: Sequence[str], flip_test: bool) -> dict[str, Any]:
    """Return the changes of a recipe. Raises UserError if it has one of them anyway."""
    recipe, changes = checkpoint.recipe, dict[str, Any]()
    if hide:
        changes["hide"] = tuple(sorted({*recipe.hide, *hide}))
        if changes["hide"] == recipe.hide:
            raise UserError(f"{checkpoint.path}: its recipe hides {', '.join(hide)}, so that every score is without")
    if flip_test:
        changes["flip_test"] = True
        if recipe.flip_test:
            raise UserError(f"{checkpoint.path}: its recipe has flip_test, so that every score is with it")
    return changes


def require_trained_boxes(checkpoint: Checkpoint, parts: PartBoxes) -> None:
    """Raise UserError, naming the first difference, if `parts` come from another detector than in training.

    Other images and other package versions are no difference. Imported weights record no detector and pass, and so does
    a network that was trained without boxes: they can only hide parts from it.
    """
    trained = checkpoint.metadata.get("parts")
    if trained is None or not checkpoint.recipe.reads_boxes:
        return
    if isinstance(trained, Mapping) and "control" in trained:
        raise UserError(f"{checkpoint.path}: was trained on boxes that the ablation chose; `ablate` scores it")
    remedy = "name its own boxes by --parts, or train it on these"
    require_fingerprint(_detector(trained), _detector(parts.fingerprint), checkpoint.path, remedy)


def _detector(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    return {f"parts.{name}": value for name, value in fingerprint.items() if name not in NOT_THE_DETECTOR}


def features_of_run(run: TrainedRun, splits: Sequence[str], compute: Compute) -> tuple[Path, Features]:
    """Return the features of all images of the tests, and their file: in the folder of the test, or `all` for several.

    A single test takes the features in `all` if they are up to date.
    """
    shared = run.folder / ALL / FEATURES
    if len(splits) == 1 and shared.exists() and not run.changes:
        features = current_features(shared, run.source(list(run.dataset.splits)).provenance())
        if features is not None:
            log.info(f"{shared}: features of all tests are up to date")
            return shared, features
    path = features_path(run.folder, splits)
    if run.changes:
        path = path.with_name(f"{path.stem}-{run.change.replace(', ', '-').replace(' ', '_')}{path.suffix}")
    return path, cached_features(path, run.network(), run.source(splits), compute)


def mean_of_runs(features: Features, runs: Sequence[TrainedRun], splits: Sequence[str], compute: Compute) -> Features:
    """Return the features of a run joined with those of other runs, so that cosines are means over all of them.

    They are those of the tests' images, of which `features` may have more.
    """
    names = image_names(runs[0].dataset, splits)
    others = [features_of_run(other, splits, compute)[1].of(names) for other in runs]
    rows = features.rows(names)
    matrix = joined([features.matrix[rows], *others])
    return Features(tuple(names), matrix, features.attention[rows], features.provenance)


def whitening(run: TrainedRun, compute: Compute) -> Whitening:
    """Return the whitening that the vehicles of a run's training give. Raises UserError as `Whitening.fit`."""
    run.dataset.require_training_images()
    train = run.dataset.training_images
    source = FeatureSource(run.dataset, list(train["name"]), run.parts, run.recipe, run.checkpoint.sha256)
    features = cached_features(run.folder / "features-train.safetensors", run.network(), source, compute)
    return Whitening.fit(features.of(train["name"]), Labels.of_table(train).vehicle)


def features_path(folder: Path, splits: Sequence[str]) -> Path:
    """Return the file of the features of the tests: in the folder of the test, or `all` for several."""
    return folder / (ALL if len(splits) > 1 else splits[0]) / FEATURES


def image_names(dataset: Dataset, splits: Sequence[str]) -> list[str]:
    """Return the names of all images of the tests, in any draw, sorted."""
    protocols = [dataset.protocol(split, draws=1) for split in splits]
    return sorted({name for protocol in protocols for name in dataset.table["name"].iloc[protocol.rows()]})
