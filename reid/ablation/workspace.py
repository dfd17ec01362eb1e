"""Where the runs of an ablation are made: their data set, part boxes and folder, and how far each has come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.files import read_json_lines, sha256_of_names
from data_cache.base.tensors import read_entry, read_metadata
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes, require_fingerprint
from data_cache.parts.source_files import made_by
from reid.ablation.boxes import BoxKind, random_boxes, rarest_boxes, shifted_boxes, true_boxes
from reid.ablation.plan import Run
from reid.data.loader import pk_sampler, split_vehicles
from reid.data.vehicle_images import part_arrays, part_cache
from reid.evaluation.evaluate import TRAINED, names_of
from reid.evaluation.metrics_file import METRICS, read_metrics
from reid.evaluation.scoring import Scoring
from reid.runs import BEST, ablation_folder, checkpoint_to_continue
from reid.training.log import LOG

TRUE: dict[BoxKind, Callable[[Dataset], PartBoxes]] = {"truth": true_boxes, "rarest": rarest_boxes}
REMEDY = "give the options it was made with, delete {folder} to train it anew, or choose another --runs folder"


@dataclass(frozen=True)
class Material:
    """What a run trains on: images, vehicles, images of one epoch (some twice), and the hash of names and vehicles."""

    images: int
    vehicles: int
    images_per_epoch: int
    sha256: str


@dataclass(frozen=True)
class Standing:
    """How far a run has come: epochs done, and its metrics.json once it is trained and evaluated."""

    epochs: int
    metrics: Mapping[str, Any] | None = None


class Place:
    """A data set, its part boxes, and the folder of its runs, RUNS/DATASET/ablation. What is read is kept in memory."""

    def __init__(self, dataset: Dataset, runs: Path, parts_file: Path | None, split: str) -> None:
        """Keep data set, runs folder, part cache (None: the data set's own), and the test to evaluate on."""
        self.dataset, self.runs, self.parts_file, self.split = dataset, runs, parts_file, split
        self.folder = ablation_folder(runs, dataset.name)
        self._boxes: dict[object, PartBoxes] = {}
        self._material: dict[tuple[float, ...], Material] = {}

    def folder_of(self, run: Run) -> Path:
        """Return where a run lies."""
        return self.folder / run.folder

    def boxes_of(self, run: Run) -> PartBoxes:
        """Return the boxes that a run looks at. Raises UserError where they cannot be read."""
        if run.boxes in TRUE:
            if run.boxes not in self._boxes:
                self._boxes[run.boxes] = TRUE[run.boxes](self.dataset)
            return self._boxes[run.boxes]
        looks = run.recipe.attention, run.recipe.parts == 0  # what `part_cache` goes by
        if looks not in self._boxes:
            self._boxes[looks] = part_cache(self.dataset, run.recipe, self.runs, self.parts_file)
        found = self._boxes[looks]
        if run.boxes == "detector":
            return found
        return shifted_boxes(found) if run.boxes == "shifted" else random_boxes(found, seed=run.recipe.seed)

    def material(self, run: Run) -> Material:
        """Return what a run trains on. Raises UserError where the training set cannot fill a batch."""
        recipe = run.recipe
        key = (recipe.seed, recipe.holdout, recipe.vehicles_per_batch, recipe.images_per_vehicle)
        if key not in self._material:
            split = split_vehicles(self.dataset, recipe)
            listed = split.train[["name", "vehicle_id"]]
            sampler = pk_sampler(recipe, split)
            self._material[key] = Material(
                images=len(listed),
                vehicles=len(split.vehicle_ids),
                images_per_epoch=len(sampler) * sampler.batch_size,
                sha256=sha256_of_names(listed.to_numpy().tolist()),
            )
        return self._material[key]

    def require_boxes(self, run: Run) -> None:
        """Raise UserError where a run's boxes do not serve its recipe: too few places, an image missing or failed."""
        trained = self.dataset.table["name"][self.dataset.table["split"] == "train"]
        part_arrays(self.boxes_of(run), [*trained, *names_of(self.dataset, [self.split])], run.recipe.parts)

    def standing(self, run: Run) -> Standing:
        """Return how far a run has come. Raises UserError where its folder holds another recipe, or other data."""
        folder = self.folder_of(run)
        path = checkpoint_to_continue(folder)
        if path is None:
            return Standing(0)
        remedy = REMEDY.format(folder=folder)
        told = read_metadata(path, f"delete {folder}")
        for wanted in self._identity(run):
            require_fingerprint({name: told.get(name) for name in wanted}, wanted, path, remedy)
        metrics = folder / self.split / METRICS
        if told["epoch"] < run.recipe.epochs or not (folder / BEST).exists() or not metrics.exists():
            return Standing(int(told["epoch"]))
        found = read_metrics(metrics)
        return Standing(run.recipe.epochs, found if self._is_own(found, folder, told["parts"]) else None)

    def _is_own(self, found: Mapping[str, Any], folder: Path, parts: Mapping[str, Any]) -> bool:
        """Whether metrics are those of the best epoch, on a run's own boxes, scored as the ablation does.

        `evaluate` may have written over them with other draws, another form of precision or other boxes.
        """
        _, sha256 = read_entry(folder / BEST, f"delete {folder}")
        told, wanted = found["scores"].get(TRAINED, {}), Scoring()
        drawn = self.dataset.protocol(self.split, draws=wanted.draws, seed=wanted.seed)
        scored = (told.get("precision"), told.get("trials"), told.get("seed"))
        same = scored == (wanted.form, len(drawn.trials), drawn.seed)
        return same and found.get("checkpoint", {}).get("sha256") == sha256 and found.get("parts", parts) == parts

    def _identity(self, run: Run) -> list[dict[str, Any]]:
        """Return what `train` writes of a run into its checkpoint; the recipe apart, to be compared first."""
        parts = made_by(self.boxes_of(run))
        told = {"dataset": self.dataset.name, "images": self.material(run).sha256, "parts": parts}
        return [{"recipe": run.recipe.model_dump(mode="json")}, told]

    def seconds_of(self, run: Run) -> float:
        """Return how long the training of a run's logged epochs took, without the scoring of held-out vehicles."""
        images = self.material(run).images_per_epoch
        return float(sum(images / line["images_per_second"] for line in read_json_lines(self.folder_of(run) / LOG)))


def chosen_split(dataset: Dataset, split: str | None) -> str:
    """Return the test that `--split` names, by default the largest. Raises UserError for others."""
    if split is not None:
        dataset.protocol(split, draws=1)
    return split or dataset.default_split()
