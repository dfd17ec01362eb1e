"""The command `serve`: a web page on this machine to search a gallery in."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.base.options import FOLDER, data_root_option, workers_option
from reid.commands.options import parts_option
from vehicle_reid.commands.gallery import build_gallery
from vehicle_reid.commands.options import model_options, selected_model

if TYPE_CHECKING:
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID
    from vehicle_reid.web.finder import Finder

log = logging.getLogger(__name__)


@click.command("serve")
@model_options
@data_root_option
@click.option(
    "--images", "folder", type=FOLDER, default=None, help="Folder of the gallery's images; default: the data set's."
)
@click.option("--split", default=None, help="Test from which a missing gallery is built; default: the largest.")
@parts_option
@click.option("--skip-unreadable", is_flag=True, help="Skip images that cannot be read when a gallery is built.")
@workers_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for any free one."
)
@click.option(
    "--max-upload", type=click.IntRange(1, 1000), default=20, show_default=True, help="Largest upload, in MB."
)
def serve_command(folder: Path | None, port: int, max_upload: int, **options: Any) -> None:
    """Open a search page: drop a photo, see its parts with their attention, and the most similar images.

    The page is at 127.0.0.1, for this machine only; press Ctrl-C to stop. If there is no gallery yet, it is built from
    the test set. Needs `pip install '.[demo]'`.

    \b
    Examples:
      python cli.py serve --dataset synthetic --recipe demo
      python cli.py serve --dataset veri --gallery photos.safetensors --images photos --port 0
    """
    _require_server_packages()

    from vehicle_reid.web.server import listen, serve

    with listen(port) as listener:  # before anything slow: the port may be taken
        from vehicle_reid.web.finder import PHOTO, Finder
        from vehicle_reid.web.page import MEGABYTE, PageInfo

        root, problems = _images_root(options["dataset"], options["data_root"], folder)
        model, gallery = _load_or_build(options)
        finder = Finder(gallery, root)
        problems += _problems(finder)
        for problem in problems:
            log.warning(problem)
        log.info("press Ctrl-C to stop")
        info = PageInfo(
            f"{model.run.parent.name}/{model.run.name}",
            images=len(gallery),
            cameras=tuple(finder.cameras),
            views=(PHOTO, *finder.heatmaps),
            attention=model.recipe.attention,
            upload_limit=max_upload * MEGABYTE,
            problems=tuple(problems),
        )
        serve(finder, info, listener, click.echo)


def _require_server_packages() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        from data_cache.base.errors import UserError

        raise UserError(f"{error.name} is not installed, `serve` needs it; pip install '.[demo]'") from error


def _load_or_build(options: dict[str, Any]) -> "tuple[VehicleReID, Gallery]":
    """Return the model and its gallery; the run's own is built if it is missing, one named by --gallery is not."""
    from data_cache.base.files import path_exists
    from vehicle_reid.gallery.gallery import Gallery

    named = options["path"] is not None
    model, path = selected_model(options)
    if named or path_exists(path):
        return model, Gallery.load(path, model)
    log.info(f"{path}: no gallery yet, building it from the test set")
    return model, build_gallery(model, path, {**options, "folder": None, "listed": None, "camera": None})


def _images_root(dataset: str, data_root: Path, folder: Path | None) -> tuple[Path, list[str]]:
    """Return the folder that the names of a gallery are relative to, and the problems with it."""
    from data_cache.base.errors import UserError
    from data_cache.datasets.catalogue import load_dataset

    try:
        return folder or load_dataset(dataset, data_root).root, []
    except UserError as error:
        return data_root, [str(error)]


def _problems(finder: "Finder") -> Iterator[str]:
    """Yield what will not work: pictures, probably of another folder, and uploads, if the part detector is missing."""
    from data_cache.base.errors import UserError

    problem = finder.describe("g0")["problem"] if len(finder.gallery) else None
    if problem is not None:
        yield f"images of the gallery cannot be shown: {problem}; if they are in another folder, give it with --images"
    try:
        if finder.model.recipe.uses_parts:
            _ = finder.model.detector
    except UserError as error:
        yield f"uploaded photos cannot be searched with: {error}"
