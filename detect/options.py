"""Options that the commands of stage one share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from data_cache.options import FILE, recipe_option

Command = TypeVar("Command", bound=Callable[..., Any])
RECIPES = (
    "ssd300_vgg16 (the paper's; default on a GPU), ssd512_vgg16, ssdlite320_mobilenetv2, "
    "ssd320_resnet18 (from scratch; default on a CPU), demo"
)
WEIGHTS_HELP = "Detector to use; default: the one that `parts train` made by --recipe."


def detector_option(command: Command) -> Command:
    """Add `--recipe` to a command that uses a trained detector."""
    return recipe_option(None, f"Recipe whose trained detector is used: {RECIPES}.")(command)


def weights_option(command: Command) -> Command:
    """Add `--weights`."""
    return click.option("--weights", type=FILE, default=None, help=WEIGHTS_HELP)(command)
