"""The layout of the runs folder, and the run that `--run` chooses.

RUNS/DATASET/parts.h5                       part cache of the data set
RUNS/DATASET/decoded-SIZE.safetensors       decoded training images; -without-PARTS if some are hidden
RUNS/DATASET/NAME/                          a run: checkpoints, log, results; NAME is the recipe's unless given
RUNS/DATASET/ablation/                      tables of the ablation
RUNS/DATASET/ablation/NAME/                 a run of the ablation
"""

import glob
import re
from collections.abc import Sequence
from pathlib import Path

import click

from data_cache.base.config import SUFFIXES, recipe_label
from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sorted_glob
from data_cache.base.options import command_file, command_line, read_command, remedy_command
from data_cache.parts.names import CACHE_FILE
from reid import shipped

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
METRICS = "metrics.json"  # in the folder of each test, RUN/SPLIT
ABLATION = "ablation"


def run_folder(runs: Path, dataset: str, recipe: str) -> Path:
    """Return the folder of a recipe's run on a data set; see `recipe_label`."""
    return runs / dataset / recipe_label(recipe)


def ablation_folder(runs: Path, dataset: str) -> Path:
    """Return the folder of the ablation's tables and runs on a data set."""
    return runs / dataset / ABLATION


def parts_path(runs: Path, dataset: str) -> Path:
    """Return the path of a data set's part cache."""
    return runs / dataset / CACHE_FILE


def decoded_path(runs: Path, dataset: str, size: int | tuple[int, int], hide: Sequence[str] = ()) -> Path:
    """Return the path of a data set's decoded training images, in which the parts `hide` are covered.

    `size` is the side of a square, or height and width.
    """
    height, width = (size, size) if isinstance(size, int) else size
    sides = height if height == width else f"{height}x{width}"
    without = "-without-" + "-".join(re.sub("[^a-z0-9]+", "_", part.lower()) for part in hide) if hide else ""
    return runs / dataset / f"decoded-{sides}{without}.safetensors"


def in_ablation(run: Path) -> bool:
    """Return whether a run's folder is one of the ablation."""
    return run.parent.name == ABLATION


def run_name(run: Path) -> str:
    """Return the name of a run's folder as `--run` takes it: NAME, or ablation/NAME."""
    return f"{ABLATION}/{run.name}" if in_ablation(run) else run.name


def dataset_folder(run: Path) -> Path:
    """Return the folder RUNS/DATASET that contains a run's folder."""
    return run.parents[1 if in_ablation(run) else 0]


def checkpoint_to_continue(run: Path) -> Path | None:
    """Return the checkpoint that training resumes from, or None.

    It is the last one; the previous one if training was killed between renaming that and writing the last.
    """
    return next((path for name in (LAST, PREVIOUS) if path_exists(path := run / name)), None)


def is_path(run: str) -> bool:
    """Return whether `--run` is the path of a run's folder, not a name: it has a slash, unless it is ablation/NAME.

    >>> is_path("runs/veri/pgan"), is_path("./pgan"), is_path("pgan"), is_path("ablation/grid")
    (True, True, False, False)
    """
    return "/" in run and not run.startswith(f"{ABLATION}/") and Path(run).suffix not in SUFFIXES


def trained_runs(runs: Path, dataset: str = "*") -> list[Path]:
    """Return the folders of the trained runs on a data set, by default on all, without the ablation's; newest last."""
    found = sorted_glob(runs, f"{dataset}/*/{BEST}")
    return [best.parent for best in sorted(found, key=lambda best: best.stat().st_mtime)]


def scored_folders(runs: Path, dataset: str = "*") -> list[Path]:
    """Return the folders with scores but no network, newest last: features of another system, and direct transfer."""
    found = sorted_glob(runs, f"{dataset}/*/*/{METRICS}")
    newest_last = sorted(found, key=lambda metrics: metrics.stat().st_mtime, reverse=True)
    folders = list(dict.fromkeys(metrics.parents[1] for metrics in newest_last))[::-1]
    return [folder for folder in folders if folder.name != ABLATION and not (folder / BEST).exists()]


def chosen_run(runs: Path, dataset: str, run: str | None, *, scored: bool = False) -> Path:
    """Return the folder of a trained run: by its name on a data set, by its path (see `is_path`), or the newest.

    A name is NAME, ablation/NAME, or the YAML file of the recipe that named it. The shipped network, once imported, is
    the newest only if nothing was trained. With `scored` it may be one of the `scored_folders` instead, the newest if
    there is no network. Raises UserError if there is none.
    """
    if run is not None and is_path(run):
        if not (Path(run) / BEST).exists() and not (scored and _has_scores(Path(run))):
            _refuse_scores_alone(Path(run))
            raise UserError(f"{run}: no trained network there (no {BEST}); {remedy_command('runs')} lists them")
        return Path(run)
    trained = trained_runs(runs, glob.escape(dataset))
    others = scored_folders(runs, glob.escape(dataset)) if scored else []
    if run is None:
        if not trained and not others:
            raise UserError(f"{runs / dataset}: no trained network; train one with {_training(dataset)}")
        return ([folder for folder in trained if folder.name != shipped.NAME] or trained or others)[-1]
    trained += [best.parent for best in sorted_glob(runs / dataset / ABLATION, f"*/{BEST}")]
    folder = runs / dataset / run if run.startswith(f"{ABLATION}/") else run_folder(runs, dataset, run)
    if folder not in (*trained, *others):
        names = ", ".join(run_name(other) for other in (*trained, *others)) or "none"
        if scored:
            raise UserError(f"{folder}: no trained network there, and no scores of features (on {dataset}: {names})")
        _refuse_scores_alone(folder)
        remedy = f"train it with {_training(dataset)}"
        raise UserError(f"{folder}: no trained network there (trained on {dataset}: {names}); {remedy}")
    return folder


def _training(dataset: str) -> str:
    """Return the command that trains on the data set of a label, which may not be that of the running command."""
    from data_cache.datasets.catalogue import dataset_label

    context = click.get_current_context(silent=True)
    own = None if context is None else context.params.get("dataset")
    return remedy_command("train", {} if own is not None and dataset_label(own) == dataset else {"--dataset": dataset})


def _has_scores(run: Path) -> bool:
    return bool(sorted_glob(run, f"*/{METRICS}"))


def _refuse_scores_alone(run: Path) -> None:
    if _has_scores(run):  # the callers found no checkpoint
        raise UserError(f"{run}: holds scores, of another system's features or of direct transfer, but no network")


def commands_for_parts(weights_sha256: str | None, folder: Path, parts_file: str | None = None) -> list[str]:
    """Return the commands that trained the detector, if it was trained here, and that made a part cache.

    The cache is that of the folder RUNS/DATASET unless `parts_file` names another; `weights_sha256` is the detector of
    the boxes that were used. What was made without storing a command, by an earlier version, is a comment.
    """
    cache = folder / CACHE_FILE if parts_file is None else Path(parts_file)
    command = read_command(command_file(cache))
    if not command or command.get("weights_sha256") != weights_sha256:
        return [f"# {cache}: made by a command that is not known"]
    detector = folder.parent / "detector" / str(command["options"].get("--detector"))
    return [*_stored(detector), command_line(command["command"], command["options"])]


def commands_for_training(run: Path) -> list[str]:
    """Return the command that made a run's checkpoint; none for a run of `ablate`, whose tables name it."""
    if in_ablation(run):
        return []
    return _stored(run) or [f"# {run}: made by a command that is not known"]


def _stored(folder: Path) -> list[str]:
    command = read_command(command_file(folder))
    return [command_line(command["command"], command["options"])] if command else []
