"""Command-line options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


def dataset_option(command: Command) -> Command:
    """Add `--dataset`."""
    return click.option(
        "--dataset",
        default="vehicleid",
        envvar="DATASET",
        show_default=True,
        show_envvar=True,
        help="veri, vehicleid, vric, veriwild, synthetic; your own images: folder (uses images.csv) or FILE.csv.",
    )(command)


def data_root_option(command: Command) -> Command:
    """Add `--data-root`."""
    return click.option(
        "--data-root",
        type=FOLDER,
        default=Path("data"),
        envvar="VEHICLE_DATA",
        show_default=True,
        show_envvar=True,
        help="Folder of the data sets.",
    )(command)


def runs_option(command: Command) -> Command:
    """Add `--runs`."""
    return click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Folder for all output.")(
        command
    )


def recipe_option(default: str | None, help_text: str) -> Callable[[Command], Command]:
    """Add `--recipe`; with the default None the command chooses."""
    return click.option("--recipe", default=default, show_default=default is not None, help=help_text)


def set_option(command: Command) -> Command:
    """Add `--set key=value`, repeatable."""
    return click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one option of the recipe; repeatable."
    )(command)


def show_recipe_option(command: Command) -> Command:
    """Add `--show-recipe`."""
    help_text = "Print the recipe as commented YAML and exit."
    return click.option("--show-recipe", is_flag=True, help=help_text)(command)


def device_option(command: Command) -> Command:
    """Add `--device`."""
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="auto uses a GPU if there is one.",
    )(command)


def workers_option(command: Command) -> Command:
    """Add `--workers`."""
    return click.option(
        "--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Processes that read images."
    )(command)


def seed_option(command: Command) -> Command:
    """Add `--seed`."""
    return click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all randomness.")(
        command
    )


def recipe_seed_option(command: Command) -> Command:
    """Add `--seed` that overrides the seed of the recipe."""
    return click.option(
        "--seed", type=click.IntRange(0), default=None, help="Seed of all randomness; default: the recipe's."
    )(command)


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)
