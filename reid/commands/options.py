"""Options of the commands on trained networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from data_cache.base.options import (
    FILE,
    add_options,
    data_root_option,
    dataset_option,
    recipe_option,
    runs_option,
)
from reid.runs import chosen_run

if TYPE_CHECKING:
    from reid.report.evaluated_run import EvaluatedRun

RUN_HELP = "Run to use: its recipe, or ablation/NAME; default: the newest run on the data set."

parts_option = click.option(
    "--parts", "parts_file", type=FILE, default=None, help="Part cache; default: RUNS/DATASET/parts.h5."
)
split_option = click.option("--split", default=None, help="Test: small, medium, large or test; default: the largest.")


# of `evaluated_runs`: the data set, the runs, and the test they were evaluated on
evaluated_runs_options = add_options(
    dataset_option,
    data_root_option,
    runs_option,
    recipe_option(None, RUN_HELP),
    click.option("--compare", multiple=True, metavar="RUN", help="Another evaluated run to compare; repeatable."),
    split_option,
    parts_option,
)


def evaluated_runs(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    compare: Sequence[str],
    split: str | None,
    parts_file: Path | None,
) -> "list[EvaluatedRun]":
    """Return the run of --recipe, then those of --compare. Raises UserError if one is not evaluated on the test."""
    from data_cache.datasets.catalogue import load_dataset
    from reid.report.evaluated_run import read_evaluated_run

    loaded = load_dataset(dataset, data_root)
    folders = [chosen_run(runs, loaded.name, name) for name in (recipe, *compare)]
    test = split or loaded.default_split()
    return [read_evaluated_run(folder, loaded, test, runs, parts_file) for folder in folders]


def given_options() -> dict[str, Any]:
    """Return the running command's options from the command line and the environment, as plain JSON values.

    Without --json. `reid.report.run_commands.command_line` turns them into a command again.
    """
    context = click.get_current_context()
    options: dict[str, Any] = {}
    for option in context.command.params:
        name, value = option.opts[0], context.params[str(option.name)]
        if name == "--json" or context.get_parameter_source(str(option.name)) is ParameterSource.DEFAULT:
            continue
        if isinstance(value, tuple):
            options[name] = [str(one) for one in value]
        else:
            options[name] = str(value) if isinstance(value, Path) else value
    return options
