"""The commands `parts convert` and `parts check`, for annotations."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.errors import UserError, printable
from data_cache.base.options import FILE, FOLDER, json_option, strict_option

if TYPE_CHECKING:
    from detect.annotations.convert import Conversion
    from detect.annotations.summary import AnnotationSummary


def _pattern_with_one_group(_: click.Context, parameter: click.Parameter, value: str | None) -> re.Pattern[str] | None:
    try:
        pattern = None if value is None else re.compile(value)
    except re.error as error:
        raise click.BadParameter(f"{value!r} is not a regular expression ({error})", param=parameter) from error
    if pattern is not None and pattern.groups != 1:
        raise click.BadParameter(f"{value!r} has {pattern.groups} groups; it needs one, the vehicle", param=parameter)
    return pattern


@click.command("convert")
@click.option("--voc", type=FOLDER, default=None, help="Folder with Pascal VOC XML files, in it or its subfolders.")
@click.option("--coco", type=FILE, default=None, help="COCO JSON with other category names than the parts.")
@click.option(
    "--images", type=FOLDER, default=None, help="Folder of the images; default: the folder of the annotations."
)
@click.option("--output", type=FILE, required=True, help="COCO JSON to write.")
@click.option("--map", "map_file", type=FILE, default=None, help="JSON object: label to part, or to null to drop it.")
@click.option(
    "--first-pixel",
    type=click.IntRange(0, 1),
    default=None,
    help="First pixel in VOC files: 1 as in Pascal VOC, 0 as in LabelImg and CVAT; default: 1.",
)
@click.option(
    "--vehicle-pattern",
    callback=_pattern_with_one_group,
    default=None,
    help="Regular expression whose group is the vehicle.",
)
@strict_option
@json_option
def convert(
    voc: Path | None,
    coco: Path | None,
    images: Path | None,
    output: Path,
    map_file: Path | None,
    first_pixel: int | None,
    vehicle_pattern: re.Pattern[str] | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Convert Pascal VOC files, or COCO JSON with other labels, to the annotations that `parts train` reads.

    Labels are compared ignoring case, spaces, underscores and hyphens: Back_Mirror is "back mirror". The labels of
    VAC21 are known; its vehicle styles (car, trunk, tricycle, train, bus) are dropped. --map takes a JSON file with
    other labels, such as {"headlight": "car light", "bumper": null}, which overrides VAC21. Objects marked difficult
    are kept. Boxes that leave their image are clipped, those without area dropped, and both counted. If there is any
    fault, all are listed and nothing is written.

    --vehicle-pattern is searched in image paths below --images. With it, all images of a vehicle are either trained on
    or held out.

    \b
    Examples:
      python cli.py parts convert --voc labels --images photos --first-pixel 0 --output parts.json
      python cli.py parts convert --voc labels --images VeRi --vehicle-pattern "(\\d+)_c\\d+_" --output parts.json
      python cli.py parts convert --coco other.json --images photos --map map.json --output parts.json
    """
    from detect.annotations.convert import convert_coco, convert_voc
    from detect.annotations.faults import AnnotationFaults
    from detect.annotations.part_mapping import VAC21, read_mapping

    try:
        mapping = VAC21 if map_file is None else read_mapping(map_file)
        if voc is not None and coco is None:
            first = 1 if first_pixel is None else first_pixel
            done = convert_voc(
                voc,
                images or voc,
                output,
                mapping,
                first_pixel=first,
                vehicle_pattern=vehicle_pattern,
                strict=strict,
            )
        elif coco is not None and voc is None and first_pixel is None:
            done = convert_coco(
                coco, images or coco.parent, output, mapping, vehicle_pattern=vehicle_pattern, strict=strict
            )
        else:
            raise click.UsageError("give either --voc FOLDER or --coco FILE; --first-pixel needs --voc")
    except AnnotationFaults as error:
        click.echo(json.dumps({"faults": error.faults}) if as_json else "\n".join(error.faults))
        raise
    if as_json:
        click.echo(json.dumps(done.to_dict()))
    else:
        _show_conversion(done)


@click.command("check")
@click.option("--annotations", type=FILE, required=True, help="COCO JSON.")
@click.option("--images", type=FOLDER, default=None, help="Folder of its images; default: the folder of the JSON.")
@strict_option
@json_option
def check_annotations(annotations: Path, images: Path | None, strict: bool, as_json: bool) -> None:
    """List all faults of annotations, including wrong image sizes; if there are none, count the parts.

    \b
    Example:
      python cli.py parts check --annotations parts.json --images photos
    """
    from detect.annotations.faults import counted
    from detect.annotations.reading import checked_reading
    from detect.annotations.summary import summarise

    reading = checked_reading(annotations, images or annotations.parent, strict=strict)
    notes = reading.remarks()
    faults, summary = reading.faults, None if reading.faults else summarise(reading.images)
    if as_json:
        counts = None if summary is None else asdict(summary)
        click.echo(json.dumps({"annotations": str(annotations), "faults": faults, "summary": counts, "notes": notes}))
    elif summary is None:
        click.echo("\n".join(faults))
    else:
        _show_parts(annotations, summary)
        click.echo("\n".join(notes), nl=bool(notes))
    if faults:
        raise UserError(f"{annotations}: {counted(len(faults), 'fault')}; correct them before training")


def _show_conversion(done: "Conversion") -> None:
    from rich.markup import escape
    from rich.table import Table

    from data_cache.base.progress import print_tables

    table = Table("label", "part", "objects", title="labels")
    for use in done.labels:
        table.add_row(escape(printable(use.label)), use.part or "dropped", f"{use.objects:,}")
    print_tables(table)
    _show_counts(done.output, done.written)
    click.echo("\n".join(done.notes), nl=bool(done.notes))
    if done.difficult:
        click.echo(f"{done.difficult:,} of the parts are marked difficult and were kept")


def _show_parts(annotations: Path, summary: "AnnotationSummary") -> None:
    from rich.table import Table

    from data_cache.base.progress import print_tables

    table = Table("part", "boxes", "images", "median size", title="parts")
    for part in summary.by_part:
        size = f"{part.width:.0f} x {part.height:.0f}" if part.boxes else ""
        table.add_row(part.part, f"{part.boxes:,}", f"{part.images:,}", size)
    print_tables(table)
    _show_counts(annotations, summary)


def _show_counts(path: Path, summary: "AnnotationSummary") -> None:
    sizes = " to ".join(f"{width} x {height}" for width, height in (summary.smallest_image, summary.largest_image))
    click.echo(
        f"{path}: {summary.parts:,} parts in {summary.images:,} images of {sizes} pixels, "
        f"{summary.images_without_part:,} without a part"
    )
    click.echo(f"{summary.vehicles:,} vehicles; {summary.images_without_vehicle:,} images without vehicle")
