"""Options that the commands of stage one share, and what they stand for."""

from collections.abc import Callable
from pathlib import Path

import click

from data_cache.base.options import FILE, FOLDER, Command, recipe_option

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
    from data_cache.base.devices import choose_device
    from data_cache.base.files import matching
    from detect.training.train import METRICS, trained_weights

    if weights is not None:
        if recipe is not None:
            raise click.UsageError("--recipe and --weights both name a detector: leave out one of them")
        return weights
    if recipe is None and len(matching(runs / "detector", f"*/{METRICS}")) != 1:
        device = choose_device(device)
    return trained_weights(runs, recipe, device)


def annotated_options(default: str) -> Callable[[Command], Command]:
    """Add `--annotations` and `--images`, for a command that takes the data set's file of that name without them."""

    def decorated(command: Command) -> Command:
        images = click.option(
            "--images", type=FOLDER, default=None, help="Folder of the annotated images; default: the data set's."
        )
        annotations = click.option(
            "--annotations", type=FILE, default=None, help=f"COCO JSON; default: {default} of the data set."
        )
        return annotations(images(command))

    return decorated


def annotated(
    dataset: str, data_root: Path, annotations: Path | None, images: Path | None, default: str
) -> tuple[Path, Path]:
    """Return (COCO JSON, folder of its images) from the options, or those of the data set."""
    from data_cache.datasets.catalogue import load_dataset

    if annotations is not None:
        return annotations, images or annotations.parent
    root = load_dataset(dataset, data_root).root
    if not (root / default).exists():
        raise click.UsageError(f"{root / default} is not there; give --annotations FILE and --images FOLDER")
    return root / default, images or root
