"""The workspace of an ablation: data set, part boxes and run folders, and how far each run has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, read_json_lines
from data_cache.base.tensors import read_entry, read_metadata
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.source_files import run_fingerprint
from reid.ablation.boxes import TRUE_BOXES, random_boxes, shifted_boxes
from reid.ablation.plan import Run
from reid.data.hiding import network_parts
from reid.data.loader import pk_sampler, split_vehicles
from reid.data.vehicle_images import part_arrays, part_cache
from reid.evaluation.metrics_file import TRAINED, read_metrics
from reid.evaluation.trained_run import image_names
from reid.retrieval.scoring import Scoring
from reid.runs import BEST, METRICS, ablation_folder, checkpoint_to_continue
from reid.training.log import LOG, is_cleaned
from reid.training.validation import holdout_labels

REMEDY = "use the options it was made with, delete {folder} to train it again, or choose another --runs folder"


@dataclass(frozen=True)
class TrainingSet:
    """Numbers of images, vehicles, and images per epoch (with repeats); SHA-256 of image names and vehicles."""

    images: int
    vehicles: int
    images_per_epoch: int
    sha256: str


@dataclass(frozen=True)
class RunState:
    """The finished epochs of a run, and its metrics.json once it is trained and evaluated."""

    epochs: int
    metrics: Mapping[str, Any] | None = None


class Workspace:
    """A data set, its part boxes, and the run folders RUNS/DATASET/ablation; loaded boxes are kept in memory."""

    def __init__(self, dataset: Dataset, runs: Path, parts_file: Path | None, split: str) -> None:
        """Set the data set, the runs folder, the part cache (None: the data set's own), and the test."""
        self.dataset, self.runs, self.parts_file, self.split = dataset, runs, parts_file, split
        self.folder = ablation_folder(runs, dataset.name)
        self._boxes: dict[object, PartBoxes] = {}
        self._training_sets: dict[tuple[float, ...], TrainingSet] = {}

    def folder_of(self, run: Run) -> Path:
        """Return the folder of a run."""
        return self.folder / run.folder

    def boxes_of(self, run: Run) -> PartBoxes:
        """Return the part boxes of a run. Raises UserError if they cannot be read."""
        recipe = run.recipe
        if run.boxes in TRUE_BOXES:
            if run.boxes not in self._boxes:
                self._boxes[run.boxes] = TRUE_BOXES[run.boxes](self.dataset)
            return network_parts(self._boxes[run.boxes], recipe)
        choice = None if recipe.box_choice.is_by_confidence else recipe.box_choice
        key = recipe.uses_parts, recipe.part_crops > 0, choice, recipe.hide  # all that `network_parts` depends on
        if key not in self._boxes:
            self._boxes[key] = part_cache(self.dataset, recipe, self.runs, self.parts_file)
        boxes = self._boxes[key]
        if run.boxes == "detector":
            return boxes
        return shifted_boxes(boxes) if run.boxes == "shifted" else random_boxes(boxes, seed=recipe.seed)

    def training_set(self, run: Run) -> TrainingSet:
        """Return the size of a run's training set.

        Raises UserError if it cannot fill a batch, or if what is held out of it cannot be scored.
        """
        recipe = run.recipe
        batch = (recipe.vehicles_per_batch, recipe.images_per_vehicle, recipe.across_cameras)
        key = (recipe.seed, recipe.holdout, *batch)
        if key not in self._training_sets:
            split = split_vehicles(self.dataset, recipe)
            sampler = pk_sampler(recipe, split)
            if recipe.holdout:
                holdout_labels(self.dataset, split.held_out)
            self._training_sets[key] = TrainingSet(
                images=len(split.train),
                vehicles=len(split.vehicle_ids),
                images_per_epoch=len(sampler) * sampler.batch_size,
                sha256=split.sha256,
            )
        return self._training_sets[key]

    def require_boxes(self, run: Run) -> None:
        """Raise UserError if a run's boxes do not fit its recipe: too few slots, an image missing or failed."""
        training = self.dataset.training_images["name"]
        part_arrays(self.boxes_of(run), [*training, *image_names(self.dataset, [self.split])], run.recipe.parts)

    def state_of(self, run: Run) -> RunState:
        """Return how far a run has come. Raises UserError if its folder holds another recipe or other data."""
        folder = self.folder_of(run)
        checkpoint = checkpoint_to_continue(folder)
        cleaned = checkpoint is None and is_cleaned(folder, run.recipe.epochs)
        if cleaned:
            checkpoint = folder / BEST
        if checkpoint is None:
            return RunState(0)
        try:
            metadata = read_metadata(checkpoint, f"delete {folder}")
        except UserError:
            if path_exists(checkpoint):
                raise
            return self.state_of(run)  # its training, in another process, is just replacing it
        for expected in self._expected_metadata(run):
            found = {name: metadata.get(name) for name in expected}
            require_fingerprint(found, expected, checkpoint, REMEDY.format(folder=folder))
        metrics_path = folder / self.split / METRICS
        epoch = run.recipe.epochs if cleaned else int(metadata["epoch"])
        if epoch < run.recipe.epochs or not (folder / BEST).exists() or not metrics_path.exists():
            return RunState(epoch)
        metrics = read_metrics(metrics_path)
        return RunState(run.recipe.epochs, metrics if self._is_valid(metrics, folder, metadata["parts"]) else None)

    def training_seconds(self, run: Run) -> float:
        """Return the duration of a run's logged epochs, without the scoring of held-out vehicles."""
        images = self.training_set(run).images_per_epoch
        return float(sum(images / line["images_per_second"] for line in read_json_lines(self.folder_of(run) / LOG)))

    def _is_valid(self, metrics: Mapping[str, Any], folder: Path, parts: Mapping[str, Any]) -> bool:
        """Return whether metrics are of the best epoch, on the run's own boxes, with the ablation's scoring.

        A manual `evaluate` may have overwritten them with other draws, another form of precision or other boxes.
        """
        _, sha256 = read_entry(folder / BEST, f"delete {folder}")
        scores, scoring = metrics["scores"].get(TRAINED, {}), Scoring()
        protocol = scoring.protocol(self.dataset, self.split)
        expected = (scoring.form, len(protocol.trials), protocol.seed)
        same_scoring = (scores.get("precision"), scores.get("trials"), scores.get("seed")) == expected
        same_checkpoint = metrics.get("checkpoint", {}).get("sha256") == sha256
        return same_scoring and same_checkpoint and metrics.get("parts", parts) == parts

    def _expected_metadata(self, run: Run) -> list[dict[str, Any]]:
        """Return what `train` writes about a run into its checkpoint; the recipe is compared first."""
        parts = run_fingerprint(self.boxes_of(run))
        data = {"dataset": self.dataset.name, "images": self.training_set(run).sha256, "parts": parts}
        return [{"recipe": run.recipe.model_dump(mode="json")}, data]
