"""The command `detect`: parses, calls one function and prints."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.options import (
    FILE,
    FOLDER,
    data_root_option,
    dataset_option,
    device_option,
    json_option,
    runs_option,
    workers_option,
)
from detect.commands.options import chosen_weights, detector_option, weights_option
from detect.extraction.job import chosen_images

if TYPE_CHECKING:
    from detect.extraction.run import DetectionSummary


@click.command("detect")
@dataset_option
@data_root_option
@click.option("--images", type=FOLDER, default=None, help="Folder of photographs, instead of a data set.")
@runs_option
@detector_option
@weights_option
@click.option(
    "--output",
    type=FILE,
    default=None,
    help="Part cache to write.  [default: RUNS/DATASET/parts.h5, or parts-first-N.h5]",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first N images by name, to try things.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Images at a time.")
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    default=None,
    help="Images a shard: what a stop can cost, and what processes share.  [default: 256]",
)
@click.option(
    "--max-failed",
    type=click.IntRange(0),
    default=None,
    help="End with exit 1 if more images than this are unreadable; every image is looked at first, and has its row.",
)
@device_option
@workers_option
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@json_option
def detect(
    dataset: str,
    data_root: Path,
    images: Path | None,
    runs: Path,
    recipe: str | None,
    weights: Path | None,
    output: Path | None,
    limit: int | None,
    batch_size: int,
    shard_size: int | None,
    max_failed: int | None,
    device: str,
    workers: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Find the parts of every image and write them to the part cache.

    What is finished is kept: run it again after a stop. Under torchrun the images are shared out, and the cache is the
    same, byte for byte.

    \b
    Examples:
      python cli.py detect --dataset veri
      python cli.py detect --dataset veri --limit 100 --dry-run
      python cli.py detect --dataset synthetic --recipe demo
      python cli.py detect --images photos --weights detector.safetensors
      torchrun --nproc-per-node 4 cli.py detect --dataset vehicleid
    """
    from data_cache.base.progress import is_first_rank
    from detect.extraction.job import prepare_job
    from detect.extraction.run import detect_parts

    name, root, names = chosen_images(dataset, data_root, images)
    weights = chosen_weights(runs, recipe, weights, device)
    output = output or runs / name / ("parts.h5" if limit is None else f"parts-first-{limit}.h5")
    shards = {} if shard_size is None else {"shard_size": shard_size}
    job = prepare_job(names, root, weights, output, dataset=name, limit=limit, **shards)
    if dry_run:
        if is_first_rank():
            click.echo(json.dumps(job.plan().to_dict()) if as_json else job.plan().lines())
        return
    summary = detect_parts(job, device=device, workers=workers, batch_size=batch_size)
    if summary is not None:  # otherwise another process of torchrun tells
        if as_json:
            click.echo(json.dumps(summary.to_dict()))
        else:
            show_summary(summary)
        require_few_failed(summary.statistics.failed, max_failed)


def require_few_failed(failed: int, most: int | None) -> None:
    """Raise UserError where more images than `most` failed; None allows any number."""
    from data_cache.base.errors import UserError

    if most is not None and failed > most:
        raise UserError(f"{failed} images failed, more than --max-failed {most}; the cache names them")


def show_summary(summary: "DetectionSummary") -> None:
    """Print the cache in numbers as a table, then where it is and what was done."""
    from data_cache.base.errors import printable
    from data_cache.base.progress import print_tables
    from data_cache.parts.statistics import statistics_table

    print_tables(statistics_table(summary.statistics, "parts found"))
    if summary.first_failure:
        click.echo(f"first failed: {printable(summary.first_failure)}")
    rate = summary.images_per_second
    done = "nothing was left to do" if rate is None else f"{summary.made_now:,} images now, {rate:.1f} images/s"
    click.echo(f"{summary.output}: {summary.statistics.images:,} images; {done}")
