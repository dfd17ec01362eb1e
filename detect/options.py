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


def chosen_images(dataset: str, data_root: Path, images: Path | None) -> tuple[str, Path, list[str]]:
    """Return name, folder and image names of the folder `images`, or of the data set where there is none."""
    if images is not None:
        from data_cache.images import images_below

        return images.resolve().name, images, images_below(images)
    from data_cache.datasets import load_dataset

    table = load_dataset(dataset, data_root)
    return table.name, table.root, table.names()
