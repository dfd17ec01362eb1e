"""The commands `cache verify | stats | merge | export | import`."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.options import (
    FILE,
    FOLDER,
    data_root_option,
    first_option,
    json_option,
    per_label_option,
    runs_option,
    strict_option,
)
from data_cache.parts.names import CACHE_FILE

if TYPE_CHECKING:
    from data_cache.parts.export import Kind
    from data_cache.parts.selection import First

log = logging.getLogger(__name__)


@click.group("cache")
def cache() -> None:
    """Inspect, merge and convert part caches."""


@cache.command("verify")
@click.argument("paths", type=FILE, nargs=-1, required=True, metavar="FILE [FILE ...]")
@click.option("--dataset", default=None, help="Also compare names and image sizes with this data set.")
@data_root_option
@json_option
def cache_verify(paths: tuple[Path, ...], dataset: str | None, data_root: Path, as_json: bool) -> None:
    """Verify the hash, arrays and fingerprint of part caches, and count their images and parts.

    With --dataset, an image that is missing in the cache or now has another size is an error; images that only the
    cache has are noted.

    \b
    Examples:
      python cli.py cache verify runs/synthetic/parts.h5 --dataset synthetic
      python cli.py cache verify runs/*/parts.h5 --json
    """
    from data_cache.base.errors import UserError
    from data_cache.datasets.catalogue import load_dataset
    from data_cache.parts.verification import verify_cache

    loaded = None if dataset is None else load_dataset(dataset, data_root)
    results = [verify_cache(path, loaded) for path in paths]
    invalid = [result for result in results if not result.valid]
    if as_json:
        click.echo(json.dumps([result.to_dict() for result in results]))
    elif len(results) > 1 or not invalid:
        click.echo("\n".join(result.line() for result in results))
    if invalid:
        many = f"{len(invalid)} of {len(results)} part caches are invalid"
        raise UserError(invalid[0].line() if len(results) == 1 else many)


@cache.command("stats")
@click.argument("path", type=FILE, metavar="FILE")
@click.option("--output", type=FOLDER, default=None, help="Folder for stats.json and stats.png.")
@per_label_option
@first_option
@click.option("--top", type=click.IntRange(1), default=8, show_default=True, help="D, for --per-label and --first.")
@json_option
def cache_stats(
    path: Path, output: Path | None, per_label: int | None, first: "First", top: int, as_json: bool
) -> None:
    """Show statistics of a part cache: images, parts, scores and sizes.

    With --per-label or --first also the share of images of which the network would read each part: by the --top most
    confident boxes, and by those that the options choose.

    \b
    Examples:
      python cli.py cache stats runs/veri/parts.h5
      python cli.py cache stats runs/veri/parts.h5 --first varying
      python cli.py cache stats runs/veri/parts.h5 --output runs/veri/parts
    """
    from data_cache.base.progress import print_tables
    from data_cache.parts.cache import read_parts
    from data_cache.parts.selection import BoxChoice
    from data_cache.parts.statistics import cache_statistics, statistics_table, write_statistics

    choice = BoxChoice(top, per_label, first)
    statistics = cache_statistics(read_parts(path), None if choice.is_by_confidence else choice)
    if as_json:
        click.echo(json.dumps(statistics.to_dict()))
    else:
        print_tables(statistics_table(statistics, str(path)))
    if output is not None:
        for written in write_statistics(statistics, output):
            click.echo(written, err=as_json)


@cache.command("merge")
@click.argument("output", type=FILE, metavar="OUT")
@click.argument("inputs", nargs=-1, required=True, metavar="[PREFIX=]IN ...")
@click.option("--dataset", default=None, help="Data set of the result; default: the one that all inputs share.")
@json_option
def cache_merge(output: Path, inputs: tuple[str, ...], dataset: str | None, as_json: bool) -> None:
    """Merge part caches of the same detector, from several folders or machines, into the cache OUT.

    The fingerprints of the inputs may differ only in their images. If two of them have the same image, its boxes must
    be equal, unless it failed in one: then those of the other are taken. PREFIX=IN adds PREFIX/ to the names of IN, for
    folders with equal file names.

    \b
    Examples:
      python cli.py cache merge runs/veri/parts.h5 first/parts.h5 second/parts.h5
      python cli.py cache merge all/parts.h5 east=east/parts.h5 west=west/parts.h5 --dataset both.csv
    """
    from data_cache.datasets.catalogue import dataset_label
    from data_cache.parts.merging import merge_caches, parse_source
    from data_cache.parts.packing import write_cache

    sources = [parse_source(text) for text in inputs]
    merged = merge_caches(sources, None if dataset is None else dataset_label(dataset))
    is_input = output.resolve() in [source.path.resolve() for source in sources]
    also = "is also an input and " if is_input else ""
    write_cache(output, merged, f"OUT, which comes first, {also}is not overwritten: choose another")
    images, parts = len(merged.names), merged.counts()["boxes"]
    if as_json:
        click.echo(json.dumps({"output": str(output), "inputs": len(inputs), "images": images, "parts": parts}))
    else:
        click.echo(f"{output}: {images} images, {parts} boxes from {len(inputs)} caches")


@cache.command("export")
@click.argument("path", type=FILE, metavar="FILE")
@click.option("--output", type=FILE, required=True, help="File to write.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["coco-results", "coco", "csv"]),
    default="coco-results",
    show_default=True,
    help="coco-results: a list of boxes, for COCO evaluation; coco: a full document; csv: one row per box.",
)
@click.option(
    "--annotations", type=FILE, default=None, help="COCO file with the ids to use, by file_name and category name."
)
@json_option
def cache_export(path: Path, output: Path, kind: "Kind", annotations: Path | None, as_json: bool) -> None:
    """Export the boxes of a part cache for other tools.

    Without --annotations, images are numbered from 1 in cache order, and parts in the order of the part names. Failed
    images are left out. `cache import` reads both COCO formats back, with identical boxes and scores.

    \b
    Examples:
      python cli.py cache export runs/veri/parts.h5 --output parts.json --format coco
      python cli.py cache export runs/synthetic/parts.h5 --output results.json \\
        --annotations data/synthetic/parts_test.json
    """
    from data_cache.base.files import write_atomically
    from data_cache.parts.cache import read_parts, refuse_part_cache
    from data_cache.parts.export import export_boxes

    if annotations is not None and kind == "csv":
        raise click.UsageError("--annotations gives ids, which csv does not have")
    refuse_part_cache(output, "choose another --output")
    if annotations is not None and output.resolve() == annotations.resolve():
        raise click.UsageError(f"--output {output}: is the file of --annotations; choose another")
    export = export_boxes(read_parts(path), kind, annotations)
    write_atomically(output, export.content)
    for note in export.notes:
        log.info(note)
    if as_json:
        summary = {"output": str(output), "images": export.images, "boxes": export.boxes, "notes": export.notes}
        click.echo(json.dumps(summary))
    else:
        click.echo(f"{output}: {export.boxes} boxes in {export.images} images")


@cache.command("import")
@click.option("--coco", type=FILE, default=None, help="COCO document: images, categories, annotations with scores.")
@click.option("--coco-results", type=FILE, default=None, help="COCO results: a list of boxes with scores.")
@click.option("--images-from", type=FILE, default=None, help="COCO file with the images and categories of the results.")
@click.option("--masks", type=FOLDER, default=None, help="Part masks of PGAN's authors, .npy: e.g. masks/VeRi.")
@click.option("--images", type=FOLDER, default=None, help="Images of the masks, if no --dataset lists them.")
@click.option("--dataset", default=None, help="Data set of the images, as in `train`.")
@data_root_option
@runs_option
@click.option("--output", type=FILE, default=None, help="Part cache to write; default: RUNS/DATASET/parts.h5.")
@click.option(
    "--top-k", type=click.IntRange(1, 1000), default=16, show_default=True, help="K: maximum number of boxes per image."
)
@strict_option
@json_option
def cache_import(
    coco: Path | None,
    coco_results: Path | None,
    images_from: Path | None,
    masks: Path | None,
    images: Path | None,
    dataset: str | None,
    data_root: Path,
    runs: Path,
    output: Path | None,
    top_k: int,
    strict: bool,
    as_json: bool,
) -> None:
    """Make a part cache from boxes of another source, for `train` to use.

    From COCO JSON: every image of the file gets a row with its boxes by score; `file_name` is the path below the data
    set's folder. Boxes without a score, drawn by hand, get 1. Boxes that leave their image are clipped, those without
    area dropped, and both counted.

    From the part masks that PGAN's authors published: a box is the extent of a mask, and the last mask is the most
    confident. Masks have no scores and no labels: every box is a "part", and its score only expresses its rank.

    An existing cache is replaced only if it was made from the same source.

    \b
    Examples:
      python cli.py cache import --coco-results boxes.json --images-from images.json --dataset veri
      python cli.py cache import --coco data/synthetic/parts_train.json --output drawn.h5
      python cli.py cache import --masks masks/VeRi --dataset veri
    """
    from data_cache.datasets.catalogue import load_dataset
    from data_cache.images.loading import images_below
    from data_cache.parts.import_coco import import_coco, import_coco_results
    from data_cache.parts.import_masks import import_masks
    from data_cache.parts.packing import write_cache

    sources = [source for source in (coco, coco_results, masks) if source is not None]
    if len(sources) != 1 or (coco_results is None) != (images_from is None):
        raise click.UsageError(
            "give one of --coco FILE, --coco-results FILE with --images-from FILE, or --masks FOLDER"
        )
    if masks is None and images is not None:
        raise click.UsageError("--images needs --masks")
    if masks is not None and (dataset is None) == (images is None):
        raise click.UsageError("--masks needs either --dataset or --images")
    if dataset is None and output is None:
        raise click.UsageError("give --dataset or --output, which decide where the part cache is written")
    loaded = None if dataset is None else load_dataset(dataset, data_root)
    if coco is not None:
        result = import_coco(coco, dataset=loaded, top_k=top_k, strict=strict)
    elif coco_results is not None and images_from is not None:
        result = import_coco_results(coco_results, images_from, dataset=loaded, top_k=top_k, strict=strict)
    elif masks is not None and loaded is not None:
        result = import_masks(masks, loaded.folder, loaded.names(), dataset=loaded.name, top_k=top_k)
    else:
        assert masks is not None and images is not None  # see the checks above
        result = import_masks(masks, images, images_below(images), dataset=None, top_k=top_k)
    target = output or runs / ("" if loaded is None else loaded.name) / CACHE_FILE
    write_cache(target, result.parts)
    for note in result.notes:
        log.info(note)
    click.echo(json.dumps(result.to_dict(target)) if as_json else result.line(target))
