"""Where runs lie: folders, checkpoints, the newest run, and the part cache that a run reads."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_cache.datasets.dataset import Dataset
    from data_cache.parts.cache import PartBoxes

from data_cache.base.config import recipe_label
from reid.recipes import ReidRecipe

LAST, PREVIOUS, BEST = "last.safetensors", "previous.safetensors", "best.safetensors"
ABLATION = "ablation"  # folder in RUNS/DATASET of the runs that are compared, and of their tables


def run_folder(runs: Path, dataset: str, recipe: str) -> Path:
    """Return where a recipe's run on a data set is kept; see `recipe_label`."""
    return runs / dataset / recipe_label(recipe)


def part_cache(dataset: "Dataset", recipe: "ReidRecipe", runs: Path, path: Path | None) -> "PartBoxes":
    """Return the part cache at `path`, or the data set's own; a recipe that looks at no parts gets an empty one."""
    from data_cache.parts.cache import no_parts, read_parts
    from data_cache.parts.verification import require_data_set

    if not recipe.looks_at_parts:
        return no_parts(dataset.names())
    path = path or runs / dataset.name / "parts.h5"
    parts = read_parts(path)
    require_data_set(parts, dataset, path)
    return parts


def chosen_run(runs: Path, dataset: str, recipe: str | None) -> Path:
    """Return the folder of a recipe's run, of the ablation's run `ablation/NAME`, or by default of the newest recipe's.

    Raises UserError where none is trained.
    """
    from data_cache.base.errors import UserError
    from data_cache.base.files import matching
    from reid.runs import ABLATION, BEST, run_folder

    place = runs / dataset
    newest = sorted(matching(place, f"*/{BEST}"), key=lambda path: path.stat().st_mtime)
    found = {path.parent.relative_to(place).as_posix(): path.parent for path in newest}
    if recipe is not None:
        found |= {f"{ABLATION}/{path.parent.name}": path.parent for path in matching(place, f"{ABLATION}/*/{BEST}")}
        folder = place / recipe if recipe.startswith(f"{ABLATION}/") else run_folder(runs, dataset, recipe)
        if folder not in found.values():
            there = ", ".join(found) or "none"
            raise UserError(
                f"{folder}: no trained network there (trained on {dataset}: {there}); train it with `train`"
            )
        return folder
    if not found:
        raise UserError(f"{place}: no trained network; train one with `python cli.py train --dataset {dataset}`")
    return newest[-1].parent
