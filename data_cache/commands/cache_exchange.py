"""Commands that exchange part caches with other tools: `cache export | import`."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.options import FILE, FOLDER, data_root_option, json_option, runs_option

if TYPE_CHECKING:
    from data_cache.datasets.dataset import Dataset
    from data_cache.parts.export import Kind
    from data_cache.parts.packing import Imported

log = logging.getLogger(__name__)

SOURCES = "--coco FILE, --coco-results FILE with --images-from FILE, or --masks FOLDER"


@click.command("export")
@click.argument("path", type=FILE, metavar="FILE")
@click.option("--output", type=FILE, required=True, help="File to write.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["coco-results", "coco", "csv"]),
    default="coco-results",
    show_default=True,
    help="coco-results: a list of boxes, for COCO evaluation; coco: a whole document; csv: a row a box.",
)
@click.option(
    "--annotations", type=FILE, default=None, help="COCO file whose ids are taken: by file_name and by category name."
)
@json_option
def cache_export(path: Path, output: Path, kind: "Kind", annotations: Path | None, as_json: bool) -> None:
    """Write the boxes of a part cache for other tools.

    Without --annotations, images are numbered from 1 in the order of the cache, and parts in the order of its part
    names. Images that failed are left out. `cache import` reads both COCO formats back, to the same boxes and scores.

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
        raise click.UsageError("--annotations gives ids, and csv has none")
    refuse_part_cache(output, "choose another --output")
    if annotations is not None and output.resolve() == annotations.resolve():
        raise click.UsageError(f"--output {output}: is what --annotations names; choose another")
    export = export_boxes(read_parts(path), kind, annotations)
    write_atomically(output, export.content)
    for remark in export.remarks:
        log.info(remark)
    if as_json:
        told = {"output": str(output), "images": export.images, "boxes": export.boxes, "remarks": export.remarks}
        click.echo(json.dumps(told))
    else:
        click.echo(f"{output}: {export.boxes} boxes in {export.images} images")


@click.command("import")
@click.option("--coco", type=FILE, default=None, help="COCO document: images, categories, annotations with scores.")
@click.option("--coco-results", type=FILE, default=None, help="COCO results: a list of boxes with scores.")
@click.option("--images-from", type=FILE, default=None, help="COCO file with the images and categories of the results.")
@click.option("--masks", type=FOLDER, default=None, help="Part masks of PGAN's authors, .npy: e.g. masks/VeRi.")
@click.option("--images", type=FOLDER, default=None, help="Pictures of the masks, where no --dataset lists them.")
@click.option("--dataset", default=None, help="Data set that the boxes are of, as in `cli.py train`.")
@data_root_option
@runs_option
@click.option("--output", type=FILE, default=None, help="Part cache to write; default: RUNS/DATASET/parts.h5.")
@click.option(
    "--top-k", type=click.IntRange(1, 1000), default=16, show_default=True, help="K: boxes kept of an image, at most."
)
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
    as_json: bool,
) -> None:
    """Make a part cache from boxes of another origin, for `cli.py train` to use.

    From COCO JSON: every image of the file has a row, its boxes by score; `file_name` is the path below the data set's
    folder. Boxes without a score, drawn by hand, count as certain.

    From the part masks that PGAN's authors published: a box is the extent of a mask, the last mask is the most
    confident. They have no scores and no labels: all are "part", and the score only tells the rank.

    A cache that something else made is never overwritten.

    \b
    Examples:
      python cli.py cache import --coco-results boxes.json --images-from images.json --dataset veri
      python cli.py cache import --coco data/synthetic/parts_train.json --output drawn.h5
      python cli.py cache import --masks masks/VeRi --dataset veri
    """

    from data_cache.datasets.catalogue import load_dataset
    from data_cache.parts.packing import write_cache

    _require_one_source(coco, coco_results, images_from, masks, images, dataset)
    if dataset is None and output is None:
        raise click.UsageError("give --dataset, or --output for the place of the part cache")
    table = None if dataset is None else load_dataset(dataset, data_root)
    target = output or runs / ("" if table is None else table.name) / "parts.h5"
    imported = _read(coco, coco_results, images_from, masks, images, table, top_k)
    write_cache(target, imported.parts)
    for remark in imported.remarks:
        log.info(remark)
    click.echo(json.dumps(imported.to_dict(target)) if as_json else imported.line(target))


def _require_one_source(
    coco: Path | None,
    coco_results: Path | None,
    images_from: Path | None,
    masks: Path | None,
    images: Path | None,
    dataset: str | None,
) -> None:
    given = [source for source in (coco, coco_results, masks) if source is not None]
    if len(given) != 1 or (coco_results is None) != (images_from is None):
        raise click.UsageError(f"give one of {SOURCES}")
    if masks is None and images is not None:
        raise click.UsageError("--images goes with --masks alone")
    if masks is not None and (dataset is None) == (images is None):
        raise click.UsageError("--masks needs --dataset, or --images, to find the pictures")


def _read(
    coco: Path | None,
    coco_results: Path | None,
    images_from: Path | None,
    masks: Path | None,
    images: Path | None,
    dataset: "Dataset | None",
    top_k: int,
) -> "Imported":
    from data_cache.images.loading import images_below
    from data_cache.parts.import_coco import import_coco, import_coco_results
    from data_cache.parts.import_masks import import_masks

    if coco is not None:
        return import_coco(coco, dataset=dataset, top_k=top_k)
    if coco_results is not None and images_from is not None:
        return import_coco_results(coco_results, images_from, dataset=dataset, top_k=top_k)
    if masks is not None and dataset is not None:
        return import_masks(masks, dataset.root, dataset.names(), dataset=dataset.name, top_k=top_k)
    if masks is not None and images is not None:
        return import_masks(masks, images, images_below(images), dataset=None, top_k=top_k)
    raise click.UsageError(f"give one of {SOURCES}")
