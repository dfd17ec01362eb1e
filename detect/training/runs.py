"""Run folders of detector training, RUNS/detector/RECIPE: their files, and the detector that `--detector` names."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data_cache.base.config import recipe_label
from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, read_json, remove, remove_temporary_files, sorted_glob
from data_cache.base.locks import run_lock
from data_cache.base.options import command_file, remedy_command
from data_cache.parts.fingerprints import require_fingerprint
from detect.model import shipped
from detect.recipes import PRESETS, DetectorRecipe

log = logging.getLogger(__name__)

DETECTORS = "detector"  # folder in RUNS
WEIGHTS, RECIPE, METRICS = "weights.safetensors", "recipe.json", "metrics.json"
LOG, STATE, CURVES, SCRATCH = "log.jsonl", "state.pt", "curves.png", ".scratch"


def detector_folder(runs: Path, recipe: str) -> Path:
    """Return the folder of a recipe's training; see `recipe_label`."""
    return runs / DETECTORS / recipe_label(recipe)


def chosen_detector(runs: Path, detector: str | None) -> Path:
    """Return the weights file of a detector: a file, or by its name a trained one, or "shipped".

    A file ends with .safetensors or contains a slash. None is the detector trained last in RUNS, and where none was
    trained the shipped one; a message says which. Raises UserError with the remedy if there is no such detector.
    """
    if detector is not None and (detector.endswith(".safetensors") or "/" in detector):
        return Path(detector)
    if detector == shipped.NAME:
        return shipped.weights()
    finished = sorted(sorted_glob(runs / DETECTORS, f"*/{METRICS}"), key=lambda path: path.stat().st_mtime)
    trained = {path.parent.name: path.with_name(WEIGHTS) for path in finished}
    if detector is None and trained:
        newest = finished[-1].parent
        log.info(f"detector: {newest.name}, the newest trained in {runs / DETECTORS}; choose another with --detector")
        return newest / WEIGHTS
    if detector is None:
        log.info(
            f"detector: the one that ships with the package (detect/weights), as none was trained in {runs}; "
            "choose another with --detector"
        )
        return shipped.weights()
    if detector not in trained:
        names = ", ".join(sorted(trained)) or "none"
        training = f"train it with {remedy_command('parts train', {'--recipe': detector})}, or "
        raise UserError(
            f"{detector_folder(runs, detector)}: no trained detector (trained in {runs}: {names}); "
            f"{training if detector in PRESETS else ''}choose another with --detector NAME, FILE.safetensors or shipped"
        )
    return trained[detector]


def detector_argument(runs: Path, weights: Path) -> str:
    """Return the value of `--detector` that chooses a weights file: shipped, the name of a trained one, or the path."""
    if weights == shipped.PATH:
        return shipped.NAME
    return weights.parent.name if weights == runs / DETECTORS / weights.parent.name / WEIGHTS else str(weights)


def results_folder(runs: Path, weights: Path) -> Path:
    """Return the folder for what is made of a detector: that of its weights; not the package's for the shipped one."""
    return runs / DETECTORS / shipped.NAME if weights == shipped.PATH else weights.parent


def require_same_training(folder: Path, made_from: Mapping[str, Any]) -> None:
    """Raise UserError, naming the first difference, if the folder has a training of anything else than `made_from`."""
    path = folder / RECIPE
    if path_exists(path):
        remedy = f"delete {folder} to train anew, or choose another --runs folder"
        found = read_json(path)
        if isinstance(found, dict):
            with suppress(ValidationError):  # an option that a later version added has its default
                found["recipe"] = DetectorRecipe.model_validate(found.get("recipe")).model_dump(mode="json")
            if found.get("start") != made_from.get("start"):
                remedy += ", or give the same --start as then (none, if it has no start)"
        require_fingerprint(found, made_from, path, remedy)


def is_finished(folder: Path) -> bool:
    """Return whether the training is complete; the metrics are written last."""
    return (folder / METRICS).exists() and (folder / WEIGHTS).exists()


def remove_partial_files(folder: Path) -> None:
    """Remove files that killed runs wrote in part. The caller holds the folder's lock."""
    remove_temporary_files(*(folder / name for name in (WEIGHTS, RECIPE, METRICS, STATE, CURVES)), command_file(folder))


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
