"""The commands `gallery build | add | remove | search | check | convert`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.base.options import FILE, command_line, json_option, running_command
from reid.commands.evaluate import score_options
from vehicle_reid.commands.options import (
    GALLERY,
    OLD_GALLERY,
    add_arguments,
    images_options,
    model_options,
    selected_model,
)

if TYPE_CHECKING:
    import pandas as pd

    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.model import VehicleReID


@click.group("gallery")
def gallery() -> None:
    """Search a collection of vehicle images: embed it once, then find the images most similar to a query."""


@gallery.command("build")
@model_options
@images_options
@click.option(
    "--index",
    type=click.Choice(["exact", "approximate"]),
    default="exact",
    show_default=True,
    help="How it is searched; approximate is for a million images and more.",
)
@json_option
def build_command(index: str, as_json: bool, **options: Any) -> None:
    """Embed images into a new gallery: a folder, a list file, or by default the gallery of a data set's test.

    \b
    Examples:
      python cli.py gallery build --dataset synthetic --split large
      python cli.py gallery build --dataset veri --images photos --camera 3
      python cli.py gallery build --dataset veriwild --index approximate
      python cli.py gallery build --images photos --details photos.csv --gallery cars
      python cli.py gallery build --images photos --gallery s3://bucket/vehicles
    """
    model, address = selected_model(options)
    built = build_gallery(model, address, options, index)
    _print_summary(built, as_json, recall=built.recall() if index != "exact" else None)


@gallery.command("add")
@model_options
@images_options
@click.option("--only-new", is_flag=True, help="Skip images whose names are already in the gallery.")
@json_option
def add_command(only_new: bool, as_json: bool, **options: Any) -> None:
    """Embed more images into a gallery; existing ones are kept as they are.

    \b
    Example:
      python cli.py gallery add --dataset veri --images photos --only-new
    """
    from vehicle_reid.gallery.gallery import Gallery, existing_names
    from vehicle_reid.gallery.work import work_folder

    model, address = selected_model(options)
    require_gallery(address)
    with work_folder(address, model.run) as work:
        existing = Gallery.load(address, model)
        arguments = add_arguments(options)
        if only_new:
            images = arguments["images"]
            names = set(existing_names(existing.store, images.names))
            arguments["images"] = images.take([row for row, name in enumerate(images.names) if name not in names])
        existing.add(**arguments, work=work)
    _print_summary(existing, as_json)


@gallery.command("remove")
@model_options
@click.argument("names", nargs=-1)
@click.option("--list", "listed", type=FILE, default=None, help="File with one name per line.")
@json_option
def remove_command(names: tuple[str, ...], listed: Path | None, as_json: bool, **options: Any) -> None:
    """Remove images from a gallery by name.

    \b
    Example:
      python cli.py gallery remove --dataset veri image_test/0002_c002_00030600_0.jpg
    """
    from data_cache.datasets.lists import list_text
    from vehicle_reid.gallery.gallery import Gallery

    if not names and listed is None:
        raise click.UsageError("name the images to remove, or give --list")
    listed_names = [] if listed is None else [line for line in list_text(listed).split("\n") if line]
    model, address = selected_model(options)
    require_gallery(address)
    existing = Gallery.load(address, model)
    existing.remove([*names, *listed_names])
    _print_summary(existing, as_json)


@gallery.command("check")
@click.argument("address", metavar="FOLDER|ADDRESS")
def check_command(address: str) -> None:
    """Verify the checksum of every image in a gallery, and that their names are unique.

    \b
    Example:
      python cli.py gallery check runs/veri/pgan/gallery
    """
    from vehicle_reid.gallery.stores import store_at

    click.echo(f"{address}: {store_at(address).open(address, None).check():,} images are as they were written")


@gallery.command("convert")
@click.argument("file", type=FILE)
@click.argument("address", metavar="[FOLDER|ADDRESS]", required=False)
def convert_command(file: Path, address: str | None) -> None:
    """Convert a gallery of a version before 0.6, one file, to a folder, by default of its name without the ending.

    The file stays, and so does its index file beside it, which is not needed any more.

    \b
    Example:
      python cli.py gallery convert runs/veri/pgan/gallery.safetensors
    """
    from vehicle_reid.gallery.old_file import convert

    store = convert(file, address or str(file.with_suffix("")))
    click.echo(f"{store.address}: {store.count():,} images, index {store.header.index}")


def _equal(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return `--where COLUMN=VALUE` as a dictionary. Raises BadParameter for anything else."""
    equal = dict(one.split("=", 1) for one in given if "=" in one)
    if len(equal) != len(given):
        raise click.BadParameter("give COLUMN=VALUE, each column once")
    return equal


@gallery.command("search")
@model_options
@click.argument("queries", nargs=-1, required=True, type=FILE)
@click.option("-k", type=click.IntRange(1), default=10, show_default=True, help="Matches per query.")
@click.option("--camera", "cameras", type=int, multiple=True, help="Only images by this camera; repeatable.")
@click.option("--without-camera", "without", type=int, multiple=True, help="No images by this camera; repeatable.")
@click.option(
    "--since", default=None, metavar="TIME", help="Only images from this time on (ISO 8601, as 2026-11-29T08)."
)
@click.option("--until", default=None, metavar="TIME", help="Only images up to this time, with all that begin so.")
@click.option(
    "--where",
    "equal",
    multiple=True,
    metavar="COLUMN=VALUE",
    callback=_equal,
    help="Only images with this value of their details, as lane=left; repeatable.",
)
@score_options("Order by scores")
@json_option
def search_command(
    queries: tuple[Path, ...],
    k: int,
    cameras: tuple[int, ...],
    without: tuple[int, ...],
    since: str | None,
    until: str | None,
    equal: dict[str, str],
    rerank: bool,
    expand: int,
    database: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the images of a gallery that are most similar to each query image.

    After `calibrate` the best match has a confidence, and a query whose vehicle is probably not there has no match.
    It is not given with --rerank, --expand or --database, whose scores are others.

    \b
    Examples:
      python cli.py gallery search --dataset veri car.jpg -k 5 --without-camera 3
      python cli.py gallery search --dataset veri car.jpg --since 2026-11-28 --where lane=left
      python cli.py gallery search --dataset veri car.jpg --database 5 --rerank
    """
    from reid.retrieval.scoring import PLAIN, AfterNetwork
    from vehicle_reid.gallery.gallery import Gallery

    model, address = selected_model(options)
    require_gallery(address)
    after = AfterNetwork(rerank=rerank, expand=expand, database=database)
    found = Gallery.load(address, model)
    matches = found.search(
        queries,
        k,
        cameras=cameras or None,
        without_cameras=without,
        since=since,
        until=until,
        equal=equal,
        after=after,
    )
    decides = model.calibration is not None and after == PLAIN
    _print_matches(matches, as_json, model.calibration.threshold if decides and model.calibration else None)


def build_gallery(model: "VehicleReID", address: str, options: dict[str, Any], index: str = "exact") -> "Gallery":
    """Build the gallery of the images that `images_options` select. Raises UserError if there is one."""
    from vehicle_reid.gallery.gallery import Gallery
    from vehicle_reid.gallery.store import gallery_there
    from vehicle_reid.gallery.stores import gallery_exists
    from vehicle_reid.gallery.work import work_folder

    with work_folder(address, model.run) as work:
        if gallery_exists(address):
            raise gallery_there(address)
        return Gallery.build(model, **add_arguments(options), index=index, address=address, work=work)


def require_gallery(address: str) -> None:
    """Raise UserError, with the command that builds or converts it, if the running command's gallery does not exist."""
    from data_cache.base.errors import UserError
    from vehicle_reid.gallery.stores import gallery_exists

    if gallery_exists(address):
        return
    old = Path(address).with_name(OLD_GALLERY)
    if Path(address).name == GALLERY and old.is_file():
        command = command_line("gallery convert", {}, [old])
        raise UserError(f"{old}: a gallery of a version before 0.6; convert it with `{command}`")
    options = click.get_current_context().params
    own = "" if options.get("folder") or options.get("listed") else ", or of your own images with --images FOLDER"
    raise UserError(f"{address}: no such gallery; build it with `{suggested(build_command)}`{own}")


def suggested(command: click.Command, **changes: Any) -> str:
    """Return a command of `gallery` to type, with those of its options that the running command was given."""
    names = {name for option in command.params for name in option.opts}
    options = {name: value for name, value in running_command()["options"].items() if name in names}
    return command_line(f"gallery {command.name}", {**options, **changes})


def _print_summary(gallery: "Gallery", as_json: bool, recall: float | None = None) -> None:
    """Print the size and the index of a gallery, and its recall if measured."""
    address = gallery.store.address
    if as_json:
        summary = {"gallery": address, "images": len(gallery), "index": gallery.index}
        click.echo(json.dumps(summary if recall is None else {**summary, "recall_at_10": recall}))
        return
    measured = "" if recall is None else f", recall@10 {recall:.3f} against exact search"
    click.echo(f"{address}: {len(gallery):,} images, index {gallery.index}{measured}")


def _print_matches(matches: "pd.DataFrame", as_json: bool, threshold: float | None) -> None:
    """Print matches as JSON, or as a table with the part of the highest attention.

    With `threshold`, that of a calibrated run, the best match of a query is `accepted` or not.
    """
    records = matches.to_dict("records")
    if as_json:
        for match in records:
            sure = match["confidence"] == match["confidence"]  # not NaN: the best match of a calibrated run
            match |= {name: match[name].tolist() for name in ("boxes", "attention")}
            match["confidence"] = match["confidence"] if sure else None
            if threshold is not None:
                match["accepted"] = bool(match["confidence"] >= threshold) if sure else None
        click.echo(json.dumps(records, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    from data_cache.base.progress import print_tables

    table = Table()
    headings = ("query", "rank", "image", "score", "camera", "top part", *(["answer"] if threshold is not None else []))
    for heading in headings:
        table.add_column(heading, overflow="fold")  # never cut a name short
    for match in records:
        query, name, parts, weights = (match[column] for column in ("query", "name", "parts", "attention"))
        camera = "" if match["camera"] < 0 else str(match["camera"])
        top_part = f"{parts[weights.argmax()]} {weights.max():.2f}" if parts else ""
        cells = [escape(query), str(match["rank"]), escape(name), f"{match['score']:.3f}", camera, top_part]
        if threshold is not None:
            cells.append(_answer(match["confidence"], threshold) if match["rank"] == 1 else "")
        table.add_row(*cells)
    print_tables(table)


def _answer(confidence: float, threshold: float) -> str:
    return f"{'match' if confidence >= threshold else 'no match'}, {confidence:.2f}"
