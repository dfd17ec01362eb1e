"""The command `serve`: a web page on this machine to search a gallery in, and the HTTP API."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.base.options import FILE, FOLDER, workers_option
from reid.commands.options import parts_option
from vehicle_reid.commands.gallery import add_command, build_gallery, require_gallery, suggested
from vehicle_reid.commands.options import GALLERY, gallery_of_folder, model_options, selected_model

if TYPE_CHECKING:
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID
    from vehicle_reid.web.finder import Finder

log = logging.getLogger(__name__)


@click.command("serve")
@model_options
@click.option(
    "--images",
    "folder",
    type=FOLDER,
    default=None,
    help="Folder of the gallery's images; default: the data set's. A missing gallery is built from it, by default in "
    "the run's folder: gallery-FOLDER-HASH.",
)
@click.option(
    "--create",
    is_flag=True,
    help="Make an empty gallery if --gallery names none yet; other programs fill it through the API.",
)
@click.option(
    "--keep-images",
    is_flag=True,
    help="Keep the image files that are enrolled through the API, in the gallery's folder; the page then shows them.",
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
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="IP address of this machine to listen on; any but 127.0.0.1 needs --tokens.",
)
@click.option(
    "--tokens",
    type=FILE,
    default=None,
    help="File with a name and a token on each line. The API then needs one of them, and there is no page.",
)
@click.option(
    "--per-minute",
    type=click.IntRange(1),
    default=None,
    help="Requests a minute with each token; default: any number.",
)
@click.option(
    "--queue",
    type=click.IntRange(1, 1000),
    default=64,
    show_default=True,
    help="Requests of the API that may wait for the model; further ones are answered with 429.",
)
def serve_command(
    folder: Path | None,
    create: bool,
    keep_images: bool,
    port: int,
    max_upload: int,
    host: str,
    tokens: Path | None,
    per_minute: int | None,
    queue: int,
    **options: Any,
) -> None:
    """Open a search page: drop a photo, see its parts with their attention, and the most similar images.

    Other programs use its HTTP API, docs/api.md. Both are at 127.0.0.1, for this machine only; with --tokens and --host
    the API is for other machines too. Press Ctrl-C to stop. If there is no gallery yet, it is built
    first, from the folder of --images or the test set, where an interrupted build resumes; or with --create it is
    empty. Needs `pip install '.[demo]'`.

    \b
    Examples:
      python cli.py serve --gallery cars --create
      python cli.py serve --run demo
      python cli.py serve --dataset veri --images photos
      python cli.py serve --dataset veri --gallery cars --images photos --port 0
      python cli.py serve --gallery cars --host 0.0.0.0 --tokens tokens.txt
    """
    from data_cache.base.devices import share_freed_memory

    share_freed_memory()  # before the packages below start threads
    _require_server_packages()

    from data_cache.base.errors import UserError
    from vehicle_reid.web.api.access import Tokens
    from vehicle_reid.web.server import ADDRESS, listen, serve

    if tokens is None and (host != ADDRESS or per_minute is not None):
        option = "--per-minute" if host == ADDRESS else f"--host {host}"
        raise UserError(f"{option} needs --tokens FILE, with a name and a token on each line; see docs/api.md")
    if create and (options["address"] is None or folder is not None or options["split"] is not None):
        raise UserError(
            "--create needs --gallery FOLDER, and no --images or --split: the gallery that it makes is empty"
        )
    known = None if tokens is None else Tokens.read(tokens)
    with listen(port, host) as listener:  # before anything slow: the port may be taken
        from vehicle_reid.gallery.stores import gallery_folder
        from vehicle_reid.web.finder import PHOTO, Finder
        from vehicle_reid.web.page import MEGABYTE, PageInfo
        from vehicle_reid.web.site import Settings

        if keep_images and options["address"] is not None and gallery_folder(options["address"]) is None:
            raise UserError(
                f"--keep-images: {options['address']} is no folder, in which images could be kept; leave it out"
            )
        model, gallery = _load_or_build(options, folder, create=create)
        root, problems = _folder_of_images(gallery, folder, options["dataset"], options["data_root"])
        if known is None:  # else there is no page, which shows the images
            problems += _missing_images(gallery, root, given=folder is not None)
        if folder is not None:
            _tell_new_images(gallery, folder)
        finder = Finder(gallery, root)
        problems = [*problems, *_problems(finder)] if known is None else _detector_problems(finder)
        for problem in problems:
            log.warning(problem)
        log.info("press Ctrl-C to stop")
        info = PageInfo(
            f"{model.run.parent.name}/{model.run.name}",
            images=len(gallery),
            cameras=tuple(finder.cameras),
            views=(PHOTO, *finder.heatmaps),
            attention=model.recipe.weighing,
            hidden=model.recipe.hide,
            upload_limit=max_upload * MEGABYTE,
            problems=tuple(problems),
        )
        serve(finder, info, listener, click.echo, Settings(queue, known, per_minute, keep_images))


def _require_server_packages() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        from data_cache.base.errors import UserError

        raise UserError(f"{error.name} is not installed, `serve` needs it; pip install '.[demo]'") from error


def _load_or_build(options: dict[str, Any], folder: Path | None, *, create: bool) -> "tuple[VehicleReID, Gallery]":
    """Return the model and its gallery; a missing one is built from the folder or the test set, or is empty.

    One named by --gallery is only built from a folder, or with `create`: the name may be misspelt.
    """
    from data_cache.base.errors import UserError
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.gallery.stores import gallery_exists

    named = options["address"] is not None
    model, address = selected_model(options)
    if folder is not None and not named:
        address = gallery_of_folder(address, folder)
    if gallery_exists(address):
        return model, Gallery.load(address, model)
    if create:
        log.info(f"{address}: a new gallery, still empty; enrol images through the API, see docs/api.md")
        return model, Gallery.build(model, address=address)
    if named and folder is None:
        try:
            require_gallery(address)
        except UserError as error:
            raise UserError(f"{error}; or begin with an empty one with --create") from error
    log.info(f"{address}: no gallery yet, building it from {folder or 'the test set'}; the page opens afterwards")
    return model, build_gallery(
        model, address, {**options, "folder": folder, **dict.fromkeys(("listed", "camera", "details"))}
    )


def _tell_new_images(gallery: "Gallery", folder: Path) -> None:
    """Log how many images of a folder its gallery lacks; of a data set's own gallery the others are no news."""
    from vehicle_reid.images import images_of_folder

    address = gallery.store.address
    new = {*images_of_folder(folder).names} - {*gallery.names} if Path(address).name != GALLERY else ()
    if new:
        command = suggested(add_command, **{"--gallery": address, "--only-new": True})
        log.info(f"{folder}: {len(new):,} images are not in the gallery, first {min(new)}; add them with `{command}`")


def _dataset_root(dataset: str, data_root: Path) -> tuple[Path, list[str]]:
    """Return the folder that the image names of a data set's gallery are relative to, and the problems with it."""
    from data_cache.base.errors import UserError
    from data_cache.datasets.catalogue import load_dataset

    try:
        return load_dataset(dataset, data_root).folder, []
    except UserError as error:
        return data_root, [str(error)]


def _folder_of_images(gallery: "Gallery", folder: Path | None, dataset: str, data_root: Path) -> tuple[Path, list[str]]:
    """Return the folder that image names are relative to, `folder` or the data set's, and the problems with it."""
    from vehicle_reid.gallery.filters import Filter

    if folder is not None:
        return folder, []
    if not gallery.store.count(Filter(files=True)):  # then no data set is needed
        return data_root, []
    return _dataset_root(dataset, data_root)


def _missing_images(gallery: "Gallery", root: Path, *, given: bool) -> list[str]:
    """Return the problem that some images of a gallery are not in a folder, which is the data set's unless `given`.

    Images that came through the API were never there. Raises UserError if none of the others is.
    """
    from data_cache.base.errors import UserError
    from vehicle_reid.gallery.filters import Filter
    from vehicle_reid.images import missing_images

    names = gallery.store.read(["name"], Filter(files=True))["name"].tolist()
    missing, looked_up = missing_images(root, names)
    remedy = "if they have moved, give their folder with --images FOLDER"
    if not given:
        remedy += ", or that of the data sets with --data-root"
    if missing and len(missing) == looked_up:
        raise UserError(f"{gallery.store.address}: its images are not in {root}, first {missing[0]}; {remedy}")
    if missing:
        return [
            f"{len(missing):,} of {looked_up:,} images of the gallery are not in {root}, first {missing[0]}; {remedy}"
        ]
    return []


def _problems(finder: "Finder") -> list[str]:
    """Return what else will not work: replaced pictures, and uploads, if the part detector is missing."""
    from vehicle_reid.gallery.filters import Filter

    files = finder.gallery.store.read(["id"], Filter(files=True), order="name", most=1)["id"]
    problem = finder.describe(f"g{files[0]}")["problem"] if len(files) else None
    shown = [] if problem is None else [f"images of the gallery cannot be shown: {problem}"]
    return [*shown, *_detector_problems(finder)]


def _detector_problems(finder: "Finder") -> list[str]:
    """Return the problem that images cannot be embedded, if the part detector is missing."""
    from data_cache.base.errors import UserError

    try:
        if finder.model.recipe.reads_boxes:
            _ = finder.model.detector
    except UserError as error:
        return [f"uploaded photos cannot be searched with: {error}"]
    return []
