"""The command `serve`: a page on this machine to search a gallery in."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.base.options import FOLDER, data_root_option, workers_option
from reid.commands.options import parts_option
from vehicle_reid.commands.gallery import build_gallery, chosen, model_options

if TYPE_CHECKING:
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID
    from vehicle_reid.web.finder import Finder
    from vehicle_reid.web.page import About

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000


@click.command("serve")
@model_options
@data_root_option
@click.option(
    "--images", "pictures", type=FOLDER, default=None, help="Folder of the gallery's images; default: the data set's."
)
@click.option("--split", default=None, help="Test whose gallery is built where there is none; default: largest.")
@parts_option
@click.option("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read when it is built.")
@workers_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 is any that is free."
)
@click.option(
    "--max-upload", type=click.IntRange(1, 1000), default=20, show_default=True, help="Largest photo to take, in MB."
)
def serve_command(pictures: Path | None, port: int, max_upload: int, **options: Any) -> None:
    """Open a page to search in: drop a photo, see its parts and what they weigh, and the images most like it.

    It is at 127.0.0.1, for this machine alone; Ctrl-C ends it. A gallery that is not there yet is built first, of the
    test's. Needs `pip install '.[demo]'`.

    \b
    Examples:
      python cli.py serve --dataset synthetic --recipe demo
      python cli.py serve --dataset veri --gallery photos.safetensors --images photos --port 0
    """
    require_server()

    from vehicle_reid.web.server import bound, serve

    with bound(port) as place:  # first: what is wrong with it is told at once
        from vehicle_reid.web.finder import Finder

        root, told = pictures_root(options["dataset"], options["data_root"], pictures)
        model, found = _loaded(options)
        finder = Finder(found, root)
        problems = [*told, *missing_pictures(finder), *missing_detector(model)]
        for problem in problems:
            log.info(problem)
        about = _about(finder, max_upload * MEGABYTE, tuple(problems))
        log.info("Ctrl-C ends it")
        serve(finder, about, place, click.echo)


def require_server() -> None:
    """Raise UserError where what the page is served with is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        from data_cache.base.errors import UserError

        raise UserError(
            f"{error.name} is not installed, which the page is served with; pip install '.[demo]'"
        ) from error


def _loaded(options: dict[str, Any]) -> "tuple[VehicleReID, Gallery]":
    """Return the model and its gallery, which is built where none was named and none is there."""
    from data_cache.base.files import is_there
    from vehicle_reid.gallery.gallery import Gallery

    named = options["path"] is not None
    model, path = chosen(options)
    if named or is_there(path):
        return model, Gallery.load(path, model)
    log.info(f"{path}: no gallery there yet; it is built now, once")
    more = {"folder": None, "listed": None, "camera": None}
    return model, build_gallery(model, path, {**options, **more})


def pictures_root(dataset: str, data_root: Path, pictures: Path | None) -> tuple[Path, list[str]]:
    """Return the folder below which a gallery's names are, and what is to be told of it."""
    from data_cache.base.errors import UserError
    from data_cache.datasets.catalogue import load_dataset

    if pictures is not None:
        return pictures, []
    try:
        return load_dataset(dataset, data_root).root, []
    except UserError as error:
        return data_root, [str(error)]


def missing_pictures(finder: "Finder") -> list[str]:
    """Return what is to be told where the gallery's first picture cannot be shown: most often, they lie elsewhere."""
    problem = finder.look("g0")["problem"] if len(finder.gallery) else None
    if problem is None:
        return []
    return [
        f"pictures of the gallery cannot be shown: {problem}; where they lie elsewhere, name the folder by --images"
    ]


def missing_detector(model: "VehicleReID") -> list[str]:
    """Load the part detector, where the model has need of one; return what is to be told where it is not there."""
    from data_cache.base.errors import UserError

    if not model.recipe.looks_at_parts:
        return []
    try:
        _ = model.detector
    except UserError as error:
        return [f"photos that are uploaded cannot be looked at: {error}"]
    return []


def _about(finder: "Finder", limit: int, problems: tuple[str, ...]) -> "About":
    from vehicle_reid.web.finder import PHOTO
    from vehicle_reid.web.page import About

    run, count = finder.model.run, len(finder.gallery)
    return About(
        f"{run.parent.name}/{run.name}",
        images=count,
        cameras=tuple(finder.cameras),
        kinds=(PHOTO, *finder.heats),
        weighs=finder.model.recipe.attention,
        limit=limit,
        problems=problems,
    )
