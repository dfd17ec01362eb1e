"""The command `table`: a data set's CSV from the names of its image files."""

import json
from pathlib import Path

import click

from data_cache.base.options import FILE, FOLDER, json_option, seed_option

LAYOUT_NAMES = ("roundabouthd", "carla", "market")


@click.command("table")
@click.option("--images", type=FOLDER, required=True, help="Folder of the images.")
@click.option("--pattern", default=None, metavar="REGEX", help="With the groups vehicle, camera, time, split.")
@click.option("--layout", type=click.Choice(LAYOUT_NAMES), default=None, help="A ready pattern.")
@click.option("--output", type=FILE, default=None, help="CSV to write.  [default: IMAGES/images.csv]")
@click.option(
    "--test-share",
    type=click.FloatRange(0.01, 0.99),
    default=0.3,
    show_default=True,
    help="Share of the vehicles for the test, where names have no split.",
)
@seed_option
@json_option
def table(
    images: Path,
    pattern: str | None,
    layout: str | None,
    output: Path | None,
    test_share: float,
    seed: int,
    as_json: bool,
) -> None:
    """Make the table of a data set from image names such as 0002_c002_00030600_0.jpg.

    The pattern is a Python regular expression that may match anywhere in the path below IMAGES. It has the named group
    vehicle, and may have camera, time and split (train, query, gallery). Without splits the vehicles are divided: none
    is both in training and in the test, and of each camera that saw a vehicle of the test one image is a query.

    \b
    Examples:
      python cli.py table --images photos --pattern '(?P<vehicle>\\d+)_c(?P<camera>\\d+)_'
      python cli.py table --images CARLA-ReID --layout carla --output carla.csv
      python cli.py train --dataset carla.csv --data-root CARLA-ReID
    """
    from data_cache.base.errors import UserError
    from data_cache.base.files import path_exists, sha256_of_bytes, sha256_of_file
    from data_cache.datasets.csv_file import csv_bytes, write_csv
    from data_cache.images.loading import images_below
    from data_cache.objects.names import LAYOUTS, compiled_pattern, table_of_names

    if (pattern is None) == (layout is None):
        raise click.UsageError("one of --pattern and --layout is needed")
    names = images_below(images)
    compiled = compiled_pattern(LAYOUTS[layout] if layout is not None else str(pattern))
    found = table_of_names(names, compiled, test_share=test_share, seed=seed)
    path = output or images / "images.csv"
    # it may be the user's own; a file that --output names is meant to be replaced
    if output is None and path_exists(path) and sha256_of_file(path) != sha256_of_bytes(csv_bytes(found)):
        raise UserError(f"{path}: is there with other content; choose another file, or this one, with --output")
    write_csv(path, found)
    counts = {split: int((found["split"] == split).sum()) for split in ("train", "query", "gallery")}
    summary = {"output": str(path), "images": len(found), "left_out": len(names) - len(found), **counts}
    if as_json:
        click.echo(json.dumps(summary))
        return
    left_out = f"; {summary['left_out']:,} other names left out" if summary["left_out"] else ""
    splits = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    click.echo(f"{path}: {len(found):,} images of {found['vehicle_id'].nunique():,} vehicles ({splits}){left_out}")
