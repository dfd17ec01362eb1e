"""The layout of the runs folder.

RUNS/DATASET/parts.h5                       part cache of the data set
RUNS/DATASET/decoded-SIZE.safetensors       decoded training images
RUNS/DATASET/RECIPE/                        a run: checkpoints, log, results
RUNS/DATASET/ablation/                      tables of the ablation
RUNS/DATASET/ablation/NAME/                 a run of the ablation
"""

from pathlib import Path

from data_cache.base.config import recipe_label
from data_cache.base.errors import UserError
from data_cache.base.files import sorted_glob
from data_cache.parts.names import CACHE_FILE

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
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


def decoded_path(runs: Path, dataset: str, size: int) -> Path:
    """Return the path of a data set's decoded training images."""
    return runs / dataset / f"decoded-{size}.safetensors"


def in_ablation(run: Path) -> bool:
    """Return whether a run's folder is one of the ablation."""
    return run.parent.name == ABLATION


def run_name(run: Path) -> str:
    """Return the name of a run's folder as `--recipe` takes it: RECIPE, or ablation/NAME."""
    return f"{ABLATION}/{run.name}" if in_ablation(run) else run.name


def dataset_folder(run: Path) -> Path:
    """Return the folder RUNS/DATASET that contains a run's folder."""
    return run.parents[1 if in_ablation(run) else 0]


def checkpoint_to_continue(run: Path) -> Path | None:
    """Return the checkpoint that training resumes from, or None.

    It is the last one; the previous one if training was killed between renaming that and writing the last.
    """
    return next((path for name in (LAST, PREVIOUS) if (path := run / name).exists()), None)


def chosen_run(runs: Path, dataset: str, recipe: str | None) -> Path:
    """Return the folder of a recipe's run, or of the ablation's run `ablation/NAME`; None is the newest recipe's run.

    Raises UserError if there is no such trained run.
    """
    folder = runs / dataset
    trained = [best.parent for best in sorted(sorted_glob(folder, f"*/{BEST}"), key=lambda best: best.stat().st_mtime)]
    if recipe is None:
        if not trained:
            raise UserError(f"{folder}: no trained network; train one with `python cli.py train --dataset {dataset}`")
        return trained[-1]
    trained += [best.parent for best in sorted_glob(folder, f"{ABLATION}/*/{BEST}")]
    run = folder / recipe if recipe.startswith(f"{ABLATION}/") else run_folder(runs, dataset, recipe)
    if run not in trained:
        names = ", ".join(run_name(run) for run in trained) or "none"
        raise UserError(f"{run}: no trained network there (trained on {dataset}: {names}); train it with `train`")
    return run
