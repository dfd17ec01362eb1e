"""What the commands on a trained network share, and `report`. Every command parses, calls one function and prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.options import (
    FILE,
    Command,
    data_root_option,
    dataset_option,
    device_option,
    recipe_option,
    runs_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_cache.datasets import Dataset
    from data_cache.parts import PartBoxes
    from reid.recipes import ReidRecipe
    from reid.shown_run import ShownRun

RUN_HELP = "Run to take, by its recipe, or ablation/NAME; default: the newest on the data set."
parts_option = click.option(
    "--parts", "parts_file", type=FILE, default=None, help="Part cache; default: RUNS/DATASET/parts.h5."
)
split_option = click.option(
    "--split", default=None, help="Test to run: small, medium, large or test; default: largest."
)
compare_option = click.option(
    "--compare", multiple=True, metavar="RUN", help="Another evaluated run, shown beside the first; repeatable."
)


def evaluated_runs_options(command: Command) -> Command:
    """Add the options that `evaluated_runs` takes: which data set, which runs on it, evaluated on which test."""
    options = (
        dataset_option,
        data_root_option,
        runs_option,
        recipe_option(None, RUN_HELP),
        compare_option,
        split_option,
        parts_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("report")
@evaluated_runs_options
@click.option("--queries", type=click.IntRange(1, 200), default=12, show_default=True, help="Ranked lists to show.")
@click.option("--top", type=click.IntRange(1, 50), default=8, show_default=True, help="Gallery images in each list.")
@click.option("--heatmaps", type=click.IntRange(0, 50), default=6, show_default=True, help="Queries with heatmaps.")
@device_option
def report_command(queries: int, top: int, heatmaps: int, device: str, **where: Any) -> None:
    """Write one HTML page of an evaluated run: scores, curves, ablation tables, parts, ranked lists, heatmaps.

    \b
    Examples:
      python cli.py report --dataset synthetic --recipe demo
      python cli.py report --dataset veri --recipe pgan --compare grid
    """
    from data_cache.devices import choose_device
    from reid.recipes import ABLATION
    from reid.report import write_report

    run, *others = evaluated_runs(**where)
    page = write_report(
        run,
        others,
        detector_folder=where["runs"] / "detector",
        ablation_folder=where["runs"] / run.dataset.name / ABLATION,
        queries=queries,
        top_k=top,
        heatmaps=heatmaps,
        device=choose_device(device),
        target=run.test_folder / "report.html",
    )
    click.echo(page)


def evaluated_runs(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    compare: "Sequence[str]",
    split: str | None,
    parts_file: Path | None,
) -> "list[ShownRun]":
    """Return the runs that `evaluated_runs_options` name, in order. Raises UserError where one is not evaluated."""
    from data_cache.datasets import load_dataset
    from reid.shown_run import evaluated_run

    table = load_dataset(dataset, data_root)
    folders = [chosen_run(runs, table.name, recipe) for recipe in (recipe, *compare)]
    test = split or table.default_split()
    return [evaluated_run(folder, table, test, runs, parts_file) for folder in folders]


def part_cache(dataset: "Dataset", recipe: "ReidRecipe", runs: Path, path: Path | None) -> "PartBoxes":
    """Return the part cache at `path`, or the data set's own; a recipe that looks at no parts gets an empty one."""
    from data_cache.parts import no_parts, read_parts
    from data_cache.verification import require_data_set

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
    from data_cache.errors import UserError
    from data_cache.files import matching
    from reid.recipes import ABLATION, run_folder
    from reid.state import BEST

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
