"""Options of the commands on trained networks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.options import (
    FILE,
    Command,
    data_root_option,
    dataset_option,
    recipe_option,
    runs_option,
)
from reid.runs import chosen_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reid.report.evaluated_run import ShownRun


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
    from data_cache.datasets.catalogue import load_dataset
    from reid.report.evaluated_run import evaluated_run

    table = load_dataset(dataset, data_root)
    folders = [chosen_run(runs, table.name, recipe) for recipe in (recipe, *compare)]
    test = split or table.default_split()
    return [evaluated_run(folder, table, test, runs, parts_file) for folder in folders]
