"""Options that the commands of stage one share, and what they stand for."""

from collections.abc import Callable
from pathlib import Path
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


def chosen_weights(runs: Path, recipe: str | None, weights: Path | None, device: str) -> Path:
    """Return the detector that the options name.

    Raises UserError where it was not trained, UsageError where two are named. torch is asked for the device only where
    the choice depends on it: a finished run ends before torch is loaded.
    """
    from data_cache.devices import choose_device
    from data_cache.files import matching
    from detect.training import METRICS, trained_weights

    if weights is not None:
        if recipe is not None:
            raise click.UsageError("--recipe and --weights both name a detector: leave out one of them")
        return weights
    if recipe is None and len(matching(runs / "detector", f"*/{METRICS}")) != 1:
        device = choose_device(device)
    return trained_weights(runs, recipe, device)
