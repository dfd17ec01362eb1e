"""Options of the commands on galleries, and the model, gallery file and images that they select."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from data_cache.base.options import (
    FILE,
    FOLDER,
    data_root_option,
    dataset_option,
    device_option,
    recipe_option,
    runs_option,
    workers_option,
)
from reid.commands.options import RUN_HELP, parts_option

if TYPE_CHECKING:
    from vehicle_reid.images import NamedImages
    from vehicle_reid.model import VehicleReID

Command = TypeVar("Command", bound=Callable[..., Any])
GALLERY = "gallery.safetensors"


def model_options(command: Command) -> Command:
    """Add the options that select a trained run, its detector, and the gallery."""
    gallery = click.option(
        "--gallery", "path", type=FILE, default=None, help=f"Gallery file; default: {GALLERY} in the run's folder."
    )
    detector = click.option(
        "--detector", type=FILE, default=None, help="Weights of a part detector; default: the run's own."
    )
    for option in (device_option, detector, recipe_option(None, RUN_HELP), gallery, runs_option, dataset_option):
        command = option(command)
    return command


def images_options(command: Command) -> Command:
    """Add the options that select the images to embed."""
    options = (
        workers_option,
        click.option("--skip-unreadable", is_flag=True, help="Skip images that cannot be read, with a warning."),
        click.option("--camera", type=click.IntRange(0), default=None, help="Camera id of all images."),
        parts_option,
        click.option("--split", default=None, help="Test whose gallery is embedded; default: the largest."),
        click.option("--list", "listed", type=FILE, default=None, help="File with lines `image` or `image camera`."),
        click.option("--images", "folder", type=FOLDER, default=None, help="Folder of images."),
        data_root_option,
    )
    for option in options:
        command = option(command)
    return command


def selected_model(options: dict[str, Any]) -> "tuple[VehicleReID, Path]":
    """Return the model and the gallery file of `model_options`, and remove these options except the data set."""
    from data_cache.datasets.catalogue import dataset_label
    from reid.runs import chosen_run
    from vehicle_reid.model import VehicleReID

    run = chosen_run(options["runs"], dataset_label(options["dataset"]), options.pop("recipe"))
    model = VehicleReID.load(run, detector=options.pop("detector"), device=options.pop("device"))
    return model, options.pop("path") or run / GALLERY


def selected_images(
    dataset: str, data_root: Path, folder: Path | None, listed: Path | None, split: str | None
) -> "NamedImages":
    """Return the images of a folder, of a list file, or by default of the gallery of a data set's test.

    Raises UserError if more than one is given, or there are no images.
    """
    from data_cache.base.errors import UserError
    from vehicle_reid.images import images_of_folder, images_of_list, images_of_split

    if sum(option is not None for option in (folder, listed, split)) > 1:
        raise UserError("--images, --list and --split cannot be combined")
    if folder is not None:
        return images_of_folder(folder)
    if listed is not None:
        return images_of_list(listed)
    from data_cache.datasets.catalogue import load_dataset

    data = load_dataset(dataset, data_root)
    return images_of_split(data, split or data.default_split())


def add_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Gallery.add` for `images_options`; a data set's images come with its part cache."""
    from data_cache.parts.cache import read_parts
    from reid.runs import parts_path

    images = selected_images(*(options[name] for name in ("dataset", "data_root", "folder", "listed", "split")))
    cache = options["parts_file"]
    if cache is None and options["folder"] is None and options["listed"] is None and images.folder is not None:
        default = parts_path(options["runs"], images.folder.label)
        cache = default if default.exists() else None
    return {
        "images": images.with_cameras(options["camera"]),
        "parts": None if cache is None else read_parts(cache),
        "workers": options["workers"],
        "skip_unreadable": options["skip_unreadable"],
    }
