"""Run folders of detector training, RUNS/detector/RECIPE: their files, and the trained detector that options name."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data_cache.base.config import recipe_label, resolve_recipe
from data_cache.base.errors import UserError, printable
from data_cache.base.files import path_exists, read_json, remove, remove_temporary_files, sorted_glob
from data_cache.base.locks import run_lock
from data_cache.parts.fingerprints import first_difference, require_fingerprint
from detect.model.weights import read_recipe
from detect.recipes import PRESETS, DetectorRecipe, default_recipe

log = logging.getLogger(__name__)

WEIGHTS, RECIPE, METRICS = "weights.safetensors", "recipe.json", "metrics.json"
LOG, STATE, CURVES, SCRATCH = "log.jsonl", "state.pt", "curves.png", ".scratch"


def detector_folder(runs: Path, recipe: str) -> Path:
    """Return the folder of a recipe's training; see `recipe_label`."""
    return runs / "detector" / recipe_label(recipe)


def trained_weights(runs: Path, recipe: str | None, device: str) -> Path:
    """Return the weights that `parts train` wrote for `recipe`; by default the device's default, or the only ones.

    If the recipe is a file that has changed since, the difference is logged. Raises UserError with the remedy if there
    is no such detector.
    """
    trained = {path.parent.name: path.parent / WEIGHTS for path in sorted_glob(runs / "detector", f"*/{METRICS}")}
    folder = detector_folder(runs, recipe or default_recipe(device))
    name = folder.name
    if name in trained:
        if recipe is not None and recipe != name:
            _log_changed_recipe(recipe, trained[name])
        return trained[name]
    if recipe is None and len(trained) == 1:
        (only,) = trained
        log.info(f"detector {only}: the only one trained here ({name} is the default on this device)")
        return trained[only]
    hint = f" (trained here: {', '.join(trained)})" if trained else ""
    raise UserError(
        f"{folder / WEIGHTS}: no trained detector{hint}; train one with "
        f"`python cli.py parts train --dataset synthetic --recipe {name}`, or choose another with --recipe or --weights"
    )


def _log_changed_recipe(recipe: str, weights: Path) -> None:
    trained_with, wanted = read_recipe(weights), resolve_recipe(DetectorRecipe, PRESETS, recipe)
    difference = first_difference(trained_with.model_dump(mode="json"), wanted.model_dump(mode="json"))
    if difference is not None:
        name, used, given = difference
        log.info(f"{weights}: trained with {name} = {printable(used)}, which is used; {recipe} has {printable(given)}")


def require_same_training(folder: Path, made_from: Mapping[str, Any]) -> None:
    """Raise UserError, naming the first difference, if the folder has a training from another recipe or annotations."""
    path = folder / RECIPE
    if path_exists(path):
        remedy = f"delete {folder} to train anew, or choose another --runs folder"
        require_fingerprint(read_json(path), made_from, path, remedy)


def is_finished(folder: Path) -> bool:
    """Return whether the training is complete; the metrics are written last."""
    return (folder / METRICS).exists() and (folder / WEIGHTS).exists()


def remove_partial_files(folder: Path) -> None:
    """Remove files that killed runs wrote in part. The caller holds the folder's lock."""
    remove_temporary_files(*(folder / name for name in (WEIGHTS, RECIPE, METRICS, STATE, CURVES)))


def remove_leftovers(folder: Path) -> None:
    """Remove what is left in a finished folder by a run killed just before its end, unless another run is active."""
    if any(path_exists(folder / name) for name in (STATE, SCRATCH, ".lock")):
        with suppress(UserError), run_lock(folder):
            remove(folder / STATE)
            shutil.rmtree(folder / SCRATCH, ignore_errors=True)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Yield a path for MMEngine's log, next to the weights, so that the next run removes what a killed run left."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    try:
        yield folder / SCRATCH
    finally:
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
