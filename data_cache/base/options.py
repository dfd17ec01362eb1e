"""Command-line options that several commands share."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

dataset_option = click.option(
    "--dataset",
    default="vehicleid",
    envvar="DATASET",
    show_default=True,
    show_envvar=True,
    help="veri, vehicleid, vric, veriwild, synthetic; your own images: folder (uses images.csv) or FILE.csv.",
)
data_root_option = click.option(
    "--data-root",
    type=FOLDER,
    default=Path("data"),
    envvar="VEHICLE_DATA",
    show_default=True,
    show_envvar=True,
    help="Folder of the data sets.",
)
runs_option = click.option(
    "--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Folder for all output."
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one option of the recipe; repeatable."
)
show_recipe_option = click.option("--show-recipe", is_flag=True, help="Print the recipe as commented YAML and exit.")
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto uses a GPU if there is one.",
)
workers_option = click.option(
    "--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Processes that read images."
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all randomness."
)
recipe_seed_option = click.option(
    "--seed", type=click.IntRange(0), default=None, help="Seed of all randomness; default: the recipe's."
)
per_label_option = click.option(
    "--per-label",
    type=click.IntRange(1),
    default=None,
    help="At most so many boxes of a label, the best of each label first, as parts_per_label in stage two.",
)
first_option = click.option(
    "--first",
    type=click.Choice(["confident", "varying"]),
    default="confident",
    show_default=True,
    help="Boxes that go before others, as parts_first in stage two; varying: of parts that differ within a model.",
)
strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Refuse boxes that leave their image, have no area or mark a crowd.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def recipe_option(default: str | None, help_text: str) -> Callable[[Command], Command]:
    """Return the option `--recipe`; with the default None the command chooses."""
    return click.option("--recipe", default=default, show_default=default is not None, help=help_text)


def add_options(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return the decorator that adds these options to a command, in this order."""

    def decorated(command: Command) -> Command:
        return reduce(lambda inner, option: option(inner), reversed(options), command)

    return decorated
