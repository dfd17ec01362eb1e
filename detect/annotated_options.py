"""Options that name annotated images: a COCO JSON and the folder of its images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from data_cache.options import FILE, FOLDER

Command = TypeVar("Command", bound=Callable[..., Any])


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
    from data_cache.datasets import load_dataset

    if annotations is not None:
        return annotations, images or annotations.parent
    root = load_dataset(dataset, data_root).root
    if not (root / default).exists():
        raise click.UsageError(f"{root / default} is not there; give --annotations FILE and --images FOLDER")
    return root / default, images or root
