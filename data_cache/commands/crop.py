"""The command `crop`: from frames and boxes to images of one vehicle each, and their table."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from data_cache.base.options import FOLDER, json_option, workers_option

if TYPE_CHECKING:
    from data_cache.objects.cropping import CropSummary

TABLES = click.Path(path_type=Path)


def _columns(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return `--column KEY=HEADER` as a dictionary. Raises BadParameter for an unknown key."""
    from data_cache.objects.columns import KEYS

    columns = dict(one.split("=", 1) for one in given if "=" in one)
    if len(columns) != len(given) or not set(columns) <= set(KEYS):
        raise click.BadParameter(f"give KEY=HEADER with a key of {', '.join(KEYS)}, each once")
    return columns


@click.command("crop")
@click.option("--images", type=FOLDER, required=True, help="Folder of the frames or videos.")
@click.option("--table", type=TABLES, default=None, help="All objects, with a column `split`; or all for training.")
@click.option("--train", type=TABLES, default=None, help="Objects for training.")
@click.option("--query", type=TABLES, default=None, help="Objects to look for.")
@click.option("--gallery", type=TABLES, default=None, help="Objects to find them among.")
@click.option("--output", type=FOLDER, required=True, help="Folder for the crops and images.csv.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="KEY=HEADER",
    callback=_columns,
    help="Header of a column, where it is not a usual name; repeatable. Keys: image, or video and frame; vehicle_id, "
    "camera_id, time, split; x y w h, or x0 y0 x1 y1, or cx cy w h.",
)
@click.option(
    "--first-frame",
    type=click.Choice(["0", "1"]),
    default="0",
    show_default=True,
    help="Number of a video's first frame in a CSV; 0 is that of OpenCV.",
)
@click.option(
    "--per-track",
    type=click.IntRange(1),
    default=None,
    help="Keep only so many boxes of each track: large ones, spread over its frames.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 2),
    default=0.0,
    show_default=True,
    help="Added on each side, as a share of the box's side.",
)
@click.option("--format", "kind", type=click.Choice(["jpg", "png"]), default="jpg", show_default=True, help="Of crops.")
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG.")
@click.option(
    "--max-failed",
    type=click.IntRange(0),
    default=None,
    help="Exit with 1 if more objects than this cannot be used; the crops and failed.csv are written nevertheless.",
)
@workers_option
@json_option
def crop(
    images: Path,
    table: Path | None,
    train: Path | None,
    query: Path | None,
    gallery: Path | None,
    output: Path,
    columns: dict[str, str],
    first_frame: Literal["0", "1"],
    per_track: int | None,
    margin: float,
    kind: Literal["jpg", "png"],
    quality: int,
    max_failed: int | None,
    workers: int,
    as_json: bool,
) -> None:
    """Cut vehicles out of frames: a crop for each box of a table, and OUTPUT/images.csv, a data set of them.

    A table is a CSV, COCO JSON, a folder of YOLO labels, or text of MOTChallenge. Columns of a CSV are found by their
    usual names (image_id, x y w h, x1 y1 x2 y2, xmin ..., vehicle_id, camera_id); images may lack their ending. Frames
    may also be those of videos, by columns `video` and `frame`, or of the video of a MOTChallenge text.
    images.csv keeps the order of the tables, with the file and the row (from 0) of each object. Objects of the test
    need no vehicle and no camera. What cannot be used is counted, and named in OUTPUT/failed.csv. An interrupted run
    resumes.

    \b
    Examples:
      python cli.py crop --images frames --train train.csv --query query.csv --gallery gallery.csv --output crops
      python cli.py detect --dataset crops/images.csv --data-root crops
      python cli.py crop --images frames --table boxes.json --output crops --margin 0.05
      python cli.py crop --images frames --table b.csv --output crops --column vehicle_id=number
      python cli.py crop --images videos --table tracks.csv --output crops --column video=clip_name --per-track 8
    """
    from data_cache.base.errors import UserError
    from data_cache.objects.cropping import FAILED, CropSettings, crop_objects
    from data_cache.objects.formats import read_objects
    from data_cache.objects.table import combined

    given = {"": table, "train": train, "query": query, "gallery": gallery}
    paths = {split: path for split, path in given.items() if path is not None}
    if not paths or (table is not None and len(paths) > 1):
        raise click.UsageError("give --table, or some of --train, --query and --gallery")
    objects = combined({split: read_objects(path, images, columns, int(first_frame)) for split, path in paths.items()})
    summary = crop_objects(objects, images, output, CropSettings(margin, kind, quality), workers, per_track)
    click.echo(json.dumps(summary.to_dict()) if as_json else _lines(summary, output / FAILED))
    if max_failed is not None and len(summary.failures) > max_failed:
        raise UserError(f"{len(summary.failures)} objects failed, more than --max-failed {max_failed}")


def _lines(summary: "CropSummary", failed: Path) -> str:
    lines = [f"{summary.table}: {summary.crops:,} crops, {summary.written:,} written now"]
    if summary.failures:
        lines.append(f"{failed}: {len(summary.failures):,} objects that cannot be used, first {summary.failures[0]}")
    return "\n".join(lines)
