"""Options shared by the commands of stage one, and the files that they select."""

from collections.abc import Callable
from pathlib import Path

import click

from data_cache.base.options import FILE, FOLDER, Command, recipe_option

RECIPES = (
    "ssd300_vgg16 (the paper's; default on a GPU), ssd512_vgg16, ssdlite320_mobilenetv2, "
    "ssd320_resnet18 (from scratch; default on a CPU), demo"
)


def detector_option(command: Command) -> Command:
    """Add `--recipe` to a command that uses a trained detector."""
    return recipe_option(None, f"Recipe of the trained detector to use: {RECIPES}.")(command)


def weights_option(command: Command) -> Command:
    """Add `--weights`."""
    help_text = "Detector to use; default: the one trained by `parts train` with --recipe."
    return click.option("--weights", type=FILE, default=None, help=help_text)(command)


def annotated_options(default: str) -> Callable[[Command], Command]:
    """Add `--annotations` and `--images`; `default` is the name of the annotations file in a data set."""

    def decorated(command: Command) -> Command:
        images = click.option(
            "--images", type=FOLDER, default=None, help="Folder of the annotated images; default: the data set's."
        )
        annotations = click.option(
            "--annotations", type=FILE, default=None, help=f"COCO JSON; default: {default} of the data set."
        )
        return annotations(images(command))

    return decorated


def choose_weights(runs: Path, recipe: str | None, weights: Path | None, device: str) -> Path:
    """Return the weights file of the chosen detector.

    Raises UserError if it is not trained, UsageError if two are given. The device is determined, which imports torch,
    only if the choice depends on it.
    """
    from data_cache.base.devices import choose_device
    from data_cache.base.files import sorted_glob
    from detect.training.runs import METRICS, trained_weights

    if weights is not None:
        if recipe is not None:
            raise click.UsageError("--recipe and --weights cannot be combined: leave out one of them")
        return weights
    if recipe is None and len(sorted_glob(runs / "detector", f"*/{METRICS}")) != 1:
        device = choose_device(device)
    return trained_weights(runs, recipe, device)


def choose_annotations(
    dataset: str, data_root: Path, annotations: Path | None, images: Path | None, default: str
) -> tuple[Path, Path]:
    """Return (COCO JSON, folder of its images) from the options, by default those of the data set."""
    from data_cache.datasets.catalogue import load_dataset

    if annotations is not None:
        return annotations, images or annotations.parent
    root = load_dataset(dataset, data_root).root
    if not (root / default).exists():
        raise click.UsageError(f"{root / default} is missing; give --annotations FILE and --images FOLDER")
    return root / default, images or root
