"""The commands `gallery build | add | remove | search`. Every command parses, calls one function and prints."""

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
    json_option,
    recipe_option,
    runs_option,
    workers_option,
)
from reid.commands.options import RUN_HELP, parts_option
from vehicle_reid.commands.printing import show, tell

if TYPE_CHECKING:
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID

Command = TypeVar("Command", bound=Callable[..., Any])
GALLERY = "gallery.safetensors"


def model_options(command: Command) -> Command:
    """Add what chooses a trained run, its detector, and the gallery."""
    gallery_option = click.option(
        "--gallery", "path", type=FILE, default=None, help=f"Gallery file; default: {GALLERY} in the run's folder."
    )
    detector = click.option(
        "--detector", type=FILE, default=None, help="Weights of a part detector; default: the run's own."
    )
    for option in (device_option, detector, recipe_option(None, RUN_HELP), gallery_option, runs_option, dataset_option):
        command = option(command)
    return command


def images_options(command: Command) -> Command:
    """Add what chooses the images to embed, and how."""
    listed = click.option(
        "--list", "listed", type=FILE, default=None, help="File of images, line `image` or `image camera`."
    )
    options = (
        workers_option,
        click.option("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read, and tell them."),
        click.option("--camera", type=click.IntRange(0), default=None, help="Camera that took all of the images."),
        parts_option,
        click.option("--split", default=None, help="Test whose gallery is taken; default: largest."),
        listed,
        click.option("--images", "folder", type=FOLDER, default=None, help="Folder of photographs."),
        data_root_option,
    )
    for option in options:
        command = option(command)
    return command


@click.group("gallery")
def gallery() -> None:
    """Search a collection of vehicles: embed it once, then ask for the images most like a query."""


@gallery.command("build")
@model_options
@images_options
@click.option(
    "--index",
    type=click.Choice(["exact", "flat", "ivf", "ivfpq"]),
    default="exact",
    show_default=True,
    help="How it is searched; all but exact need faiss, ivf and ivfpq are for millions of images.",
)
@json_option
def build_command(index: str, as_json: bool, **options: Any) -> None:
    """Embed images into a new gallery: a folder, a list file, or by default the gallery of a data set's test.

    \b
    Examples:
      python cli.py gallery build --dataset synthetic --split large
      python cli.py gallery build --dataset veri --images photos --camera 3
      python cli.py gallery build --dataset veriwild --index ivfpq
    """
    model, path = chosen(options)
    made = build_gallery(model, path, options, index)
    told = {"recall_at_10": made.recall()} if index != "exact" else {}
    tell(path, made, as_json, **told)


@gallery.command("add")
@model_options
@images_options
@click.option("--only-new", is_flag=True, help="Leave out images whose names are there already.")
@json_option
def add_command(only_new: bool, as_json: bool, **options: Any) -> None:
    """Embed more images into a gallery; those that are there stay as they are.

    \b
    Example:
      python cli.py gallery add --dataset veri --images photos --only-new
    """
    from vehicle_reid.gallery.file import writing
    from vehicle_reid.gallery.gallery import Gallery

    model, path = chosen(options)
    with writing(path) as work:
        found = Gallery.load(path, model)
        more = embedding(options)
        if only_new:
            there = set(found.names)
            more["images"] = more["images"].take(
                [i for i, name in enumerate(more["images"].names) if name not in there]
            )
        found.add(**more, work=work)
        found.save(path)
    tell(path, found, as_json)


@gallery.command("remove")
@model_options
@click.argument("names", nargs=-1)
@click.option("--list", "listed", type=FILE, default=None, help="File of names to remove, one a line.")
@json_option
def remove_command(names: tuple[str, ...], listed: Path | None, as_json: bool, **options: Any) -> None:
    """Remove images from a gallery by their names.

    \b
    Example:
      python cli.py gallery remove --dataset veri image_test/0002_c002_00030600_0.jpg
    """
    from data_cache.datasets.lists import list_text
    from vehicle_reid.gallery.file import writing
    from vehicle_reid.gallery.gallery import Gallery

    if not names and listed is None:
        raise click.UsageError("name the images to remove, or give --list")
    more = [] if listed is None else [line for line in list_text(listed).split("\n") if line]
    model, path = chosen(options)
    with writing(path):
        found = Gallery.load(path, model)
        found.remove([*names, *more])
        found.save(path)
    tell(path, found, as_json)


@gallery.command("search")
@model_options
@click.argument("queries", nargs=-1, required=True, type=FILE)
@click.option("-k", type=click.IntRange(1), default=10, show_default=True, help="Images to find for each query.")
@click.option("--camera", "cameras", type=int, multiple=True, help="Only images by this camera; repeatable.")
@click.option("--without-camera", "without", type=int, multiple=True, help="No images by this camera; repeatable.")
@json_option
def search_command(
    queries: tuple[Path, ...], k: int, cameras: tuple[int, ...], without: tuple[int, ...], as_json: bool, **options: Any
) -> None:
    """Show the images of a gallery that are most like each query.

    \b
    Example:
      python cli.py gallery search --dataset veri car.jpg -k 5 --without-camera 3
    """
    from vehicle_reid.gallery.gallery import Gallery

    model, path = chosen(options)
    found = Gallery.load(path, model)
    matches = found.search(queries, k, cameras=cameras or None, without_cameras=without)
    show(matches, as_json)


def build_gallery(model: "VehicleReID", path: Path, options: dict[str, Any], index: str = "exact") -> "Gallery":
    """Build the gallery of the images that the options name, and save it. Raises UserError where one is there."""
    from data_cache.base.errors import UserError
    from data_cache.base.files import is_there
    from vehicle_reid.gallery.file import writing
    from vehicle_reid.gallery.gallery import Gallery

    with writing(path) as work:
        if is_there(path):
            raise UserError(f"{path}: there is a gallery already; `gallery add` adds to it, or delete it")
        made = Gallery.build(model, **embedding(options), index=index, work=work)
        made.save(path)
    return made


def chosen(options: dict[str, Any]) -> "tuple[VehicleReID, Path]":
    """Return the model that the options name, which are taken out of them, and the gallery's file."""
    from data_cache.datasets.catalogue import dataset_label
    from reid.runs import chosen_run
    from vehicle_reid.model import VehicleReID

    run = chosen_run(options["runs"], dataset_label(options["dataset"]), options.pop("recipe"))
    model = VehicleReID.load(run, detector=options.pop("detector"), device=options.pop("device"))
    return model, options.pop("path") or run / GALLERY


def embedding(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `Gallery.add` that the options stand for; a data set's images have its part cache."""
    from data_cache.parts.cache import read_parts
    from vehicle_reid.commands.sources import chosen_images

    source = [options[name] for name in ("dataset", "data_root", "folder", "listed", "split")]
    images = chosen_images(*source)
    cache = options["parts_file"]
    if cache is None and options["folder"] is None and options["listed"] is None and images.folder is not None:
        own = options["runs"] / images.folder.label / "parts.h5"
        cache = own if own.exists() else None
    return {
        "images": images.taken_by(options["camera"]),
        "parts": None if cache is None else read_parts(cache),
        "workers": options["workers"],
        "skip_unreadable": options["skip_unreadable"],
    }
