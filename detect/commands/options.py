"""Options shared by the commands of stage one, and the files that they select."""

from collections.abc import Callable
from pathlib import Path

import click

from data_cache.base.options import FILE, FOLDER, Command

RECIPES = (
    "ssd320_mobilenetv2 (that of the shipped detector, the default), ssd300_vgg16 (the paper's), ssd512_vgg16, "
    "ssdlite320_mobilenetv2, ssd320_resnet18 (from scratch), demo"
)


def detector_option(
    default: str = "the newest trained one, or shipped if there is none",
) -> Callable[[Command], Command]:
    """Return the option `--detector`, which `detect.training.runs.chosen_detector` resolves."""
    return click.option(
        "--detector",
        "--weights",  # as in version 0.2
        "detector",
        default=None,
        metavar="NAME|FILE",
        help="Part detector: the name of one trained in RUNS/detector, a weights file (.safetensors), or shipped, the "
        f"one in the package; default: {default}.",
    )


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


def choose_annotations(
    dataset: str, data_root: Path, annotations: Path | None, images: Path | None, default: str
) -> tuple[Path, Path]:
    """Return (COCO JSON, folder of its images) from the options, by default those of the data set."""
    from data_cache.datasets.catalogue import load_dataset

    if annotations is not None:
        return annotations, images or annotations.parent
    root = load_dataset(dataset, data_root).folder
    if not (root / default).exists():
        raise click.UsageError(f"{root / default} is missing; give --annotations FILE and --images FOLDER")
    return root / default, images or root
