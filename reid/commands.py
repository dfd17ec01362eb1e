"""What the commands on a trained network share, and `report`. Every command parses, calls one function and prints."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.options import (
    FILE,
    data_root_option,
    dataset_option,
    recipe_option,
    runs_option,
)

if TYPE_CHECKING:
    from data_cache.datasets import Dataset
    from data_cache.parts import PartBoxes
    from reid.recipes import ReidRecipe

RUN_HELP = "Run to take, by its recipe; default: the newest on the data set."
parts_option = click.option(
    "--parts", "parts_file", type=FILE, default=None, help="Part cache; default: RUNS/DATASET/parts.h5."
)
split_option = click.option(
    "--split", default=None, help="Test to run: small, medium, large or test; default: largest."
)


@click.command("report")
@dataset_option
@data_root_option
@runs_option
@recipe_option(None, RUN_HELP)
@split_option
@parts_option
@click.option("--queries", type=click.IntRange(1, 200), default=12, show_default=True, help="Ranked lists to show.")
@click.option("--top", type=click.IntRange(1, 50), default=8, show_default=True, help="Gallery images in each list.")
def report_command(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    split: str | None,
    parts_file: Path | None,
    queries: int,
    top: int,
) -> None:
    """Write one HTML page of an evaluated run: scores, curves, parts, ranked lists.

    \b
    Example:
      python cli.py report --dataset synthetic --recipe demo
    """
    from data_cache.datasets import load_dataset
    from data_cache.files import read_json
    from reid.evaluation import FEATURES
    from reid.features_file import read_features
    from reid.recipes import ReidRecipe
    from reid.report import write_report

    table = load_dataset(dataset, data_root)
    run = chosen_run(runs, table.name, recipe)
    folder = run / (split or table.default_split())
    metrics = read_json(folder / "metrics.json")
    page = write_report(
        run,
        dataset=table,
        parts=part_cache(table, ReidRecipe(**metrics["recipe"]), runs, parts_file),
        features=read_features(run / metrics.get("features", f"{folder.name}/{FEATURES}")),
        metrics=metrics,
        detector_folder=runs / "detector",
        target=folder / "report.html",
        queries=queries,
        top_k=top,
    )
    click.echo(page)


def part_cache(dataset: "Dataset", recipe: "ReidRecipe", runs: Path, path: Path | None) -> "PartBoxes":
    """Return the part cache at `path`, or the data set's own; a recipe that looks at no parts gets an empty one."""
    from data_cache.parts import no_parts, read_parts

    if recipe.attention in ("none", "grid") or recipe.parts == 0:
        return no_parts(dataset.names())
    return read_parts(path or runs / dataset.name / "parts.h5")


def chosen_run(runs: Path, dataset: str, recipe: str | None) -> Path:
    """Return the folder of a recipe's run, or of the newest run. Raises UserError where none is trained."""
    from data_cache.errors import UserError
    from reid.recipes import run_folder
    from reid.state import BEST

    found = sorted((runs / dataset).glob(f"*/{BEST}"), key=lambda path: path.stat().st_mtime)
    if recipe is not None:
        folder = run_folder(runs, dataset, recipe)
        if folder / BEST not in found:
            there = ", ".join(path.parent.name for path in found) or "none"
            raise UserError(
                f"{folder}: no trained network there (trained on {dataset}: {there}); train it with `train`"
            )
        return folder
    if not found:
        raise UserError(
            f"{runs / dataset}: no trained network; train one with `python cli.py train --dataset {dataset}`"
        )
    return found[-1].parent
