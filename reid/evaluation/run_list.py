"""What is in a runs folder: its runs with their scores, and the files that finished runs do not need."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sorted_glob
from data_cache.base.locks import Locked, run_lock
from data_cache.base.tensors import read_metadata
from reid.evaluation.metrics_file import plain_row, read_metrics
from reid.runs import ABLATION, BEST, LAST, METRICS, PREVIOUS, dataset_folder, run_name, scored_folders, trained_runs

REMEDY = "delete it and train again"


@dataclass(frozen=True)
class Run:
    """A run as `runs` lists it; what is not known is None.

    `epochs` are the finished ones of the `planned`; `score` is the mAP of the `test` scored last, in [0, 1].
    """

    folder: str
    dataset: str
    name: str
    network: str | None  # attention, or slots, and backbone
    epochs: int | None
    planned: int | None
    test: str | None
    score: float | None
    cmc1: float | None
    megabytes: float
    changed: str  # time of the newest file, UTC

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def list_runs(runs: Path) -> list[Run]:
    """Return the runs below a runs folder, with the ablation's and those of features, the oldest first.

    Raises UserError if a file of a run is damaged.
    """
    unfinished = [last.parent for last in sorted_glob(runs, f"*/*/{LAST}") if not path_exists(last.with_name(BEST))]
    ablation = [best.parent for best in sorted_glob(runs, f"*/{ABLATION}/*/{BEST}")]
    folders = {*trained_runs(runs), *scored_folders(runs), *unfinished, *ablation}
    return sorted((_run(folder) for folder in folders), key=lambda run: (run.changed, run.folder))


def _run(folder: Path) -> Run:
    recipe, epochs = {}, None
    for name in (LAST, PREVIOUS, BEST):  # the newest state of the training; a cleaned run has the best only
        if path_exists(folder / name):
            metadata = read_metadata(folder / name, REMEDY)
            recipe, epochs = metadata.get("recipe", {}), metadata.get("epoch")
            break
    tests = sorted(sorted_glob(folder, f"*/{METRICS}"), key=lambda path: path.stat().st_mtime)
    metrics = read_metrics(tests[-1]) if tests else None
    scores = metrics["scores"][plain_row(metrics, tests[-1])] if metrics else {}
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    newest = max((file.st_mtime for file in files), default=0.0)
    attention = "slots" if recipe.get("part_crops") else recipe.get("attention")  # any version's recipe
    return Run(
        folder=str(folder),
        dataset=dataset_folder(folder).name,
        name=run_name(folder),
        network=f"{attention}, {recipe['trunk']}" if {"attention", "trunk"} <= set(recipe) else None,
        epochs=epochs,
        planned=recipe.get("epochs"),
        test=metrics["split"] if metrics else None,
        score=scores.get("mAP"),
        cmc1=scores.get("cmc1"),
        megabytes=round(sum(file.st_size for file in files) / 1e6, 1),
        changed=datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True)
class Unneeded:
    """A file that nothing needs any more, and why."""

    path: Path
    megabytes: float
    reason: str


def unneeded_files(runs: Path, folders: list[Path] | None = None) -> list[Unneeded]:
    """Return the files that finished runs do not need, of `folders` or of all runs and data sets below `runs`.

    These are the checkpoints to resume from, and decoded images once no training on the data set is unfinished. Scores,
    features, galleries and the best checkpoint stay. Raises UserError if a checkpoint is damaged.
    """
    wanted = folders
    if wanted is None:
        lasts = (*sorted_glob(runs, f"*/*/{LAST}"), *sorted_glob(runs, f"*/{ABLATION}/*/{LAST}"))
        wanted = sorted(last.parent for last in lasts)
    finished = {folder: is_finished(folder) for folder in wanted}
    found = {
        folder / name: "to resume from; the training is finished"
        for folder in wanted
        for name in (LAST, PREVIOUS)
        if finished[folder] and path_exists(folder / name)
    }
    if folders is None:
        busy = {dataset_folder(folder) for folder in wanted if not finished[folder]}
        found |= {
            path: "decoded images; `train --decoded-cache` makes them again"
            for path in sorted_glob(runs, "*/decoded-*.safetensors")
            if path.parent not in busy
        }
    return [Unneeded(path, path.stat().st_size / 1e6, reason) for path, reason in found.items()]


def is_finished(folder: Path) -> bool:
    """Return whether a training has its last epoch and its best checkpoint. Raises UserError if one is damaged."""
    if not path_exists(folder / LAST) or not path_exists(folder / BEST):
        return False
    metadata = read_metadata(folder / LAST, REMEDY)
    return bool(metadata.get("epoch") == metadata.get("recipe", {}).get("epochs"))


def remove_unneeded(files: list[Unneeded]) -> tuple[list[Unneeded], list[str]]:
    """Remove files; return those that are gone, and why others stayed: another run is writing to their folder."""
    removed, refused = [], []
    for file in files:
        try:
            with run_lock(file.path.parent):
                file.path.unlink(missing_ok=True)
        except Locked as error:
            refused.append(str(error))
            continue
        except OSError as error:
            raise UserError(f"{file.path}: cannot be removed ({error.strerror or error})") from error
        removed.append(file)
    return removed, refused
