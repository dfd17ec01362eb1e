"""The command `detect`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.base.options import (
    FOLDER,
    OUTPUT_FILE,
    command_file,
    data_root_option,
    dataset_option,
    device_option,
    engine_option,
    json_option,
    running_command,
    runs_option,
    workers_option,
)
from data_cache.parts.names import CACHE_FILE
from detect.commands.options import detector_option

if TYPE_CHECKING:
    from data_cache.base.remote.addresses import Location
    from detect.extraction.run import DetectionSummary


@click.command("detect")
@dataset_option
@data_root_option
@click.option("--images", type=FOLDER, default=None, help="Folder of photographs, instead of a data set.")
@runs_option
@detector_option()
@click.option(
    "--output",
    type=OUTPUT_FILE,
    default=None,
    help="Part cache to write; at an address (s3://...) a copy of the default.  "
    "[default: RUNS/DATASET/parts.h5, or parts-first-N.h5]",
)
@click.option("--limit", type=click.IntRange(1), default=None, help="Only the first N images by name, for a trial.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Images per batch.")
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    default=None,
    help="Images per shard: the work that an interruption can cost, and the unit that processes share.  [default: 256]",
)
@click.option(
    "--max-failed",
    type=click.IntRange(0),
    default=None,
    help="Exit with 1 if more images than this are unreadable; the cache is written nevertheless.",
)
@device_option
@workers_option
@engine_option
@click.option("--dry-run", is_flag=True, help="Print what would be done, and stop.")
@json_option
def detect(
    dataset: str,
    data_root: "Location",
    images: Path | None,
    runs: Path,
    detector: str | None,
    output: "Location | None",
    limit: int | None,
    batch_size: int,
    shard_size: int | None,
    max_failed: int | None,
    device: str,
    workers: int,
    engine: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Find the parts of every image and write them to the part cache.

    An interrupted run resumes when run again. Under torchrun, or by --engine ray, processes share the images; the
    cache is the same, byte for byte.

    \b
    Examples:
      python cli.py detect --dataset veri
      python cli.py detect --dataset veri --limit 100 --dry-run
      python cli.py detect --dataset synthetic --detector demo
      python cli.py detect --images photos --detector shipped
      python cli.py detect --images photos --detector mine.safetensors
      python cli.py detect --dataset fleet.csv --data-root s3://bucket/images --output s3://bucket/parts.h5
      torchrun --nproc-per-node 4 cli.py detect --dataset vehicleid
      python cli.py detect --dataset vehicleid --engine ray --workers 4
    """
    from data_cache.base.errors import UserError
    from data_cache.base.files import remove_temporary_files, write_json
    from data_cache.base.progress import is_first_rank
    from data_cache.base.remote.addresses import Address
    from data_cache.base.remote.requests import upload
    from data_cache.engine.session import require_ray
    from detect.extraction.job import fetch_finished, list_images, prepare_job
    from detect.extraction.run import detect_parts
    from detect.training.runs import chosen_detector, detector_argument

    if engine == "ray":
        require_ray()
    name, root, names = list_images(dataset, data_root, images)
    own = runs / name / (CACHE_FILE if limit is None else f"parts-first-{limit}.h5")
    path = output if isinstance(output, Path) else own
    weights = chosen_detector(runs, detector)
    job = prepare_job(names, root, weights, path, dataset=name, limit=limit, shard_size=shard_size)
    if dry_run:
        if is_first_rank():
            click.echo(json.dumps(job.plan()) if as_json else plan_text(job.plan()))
        return
    if isinstance(output, Address) and is_first_rank():
        fetch_finished(job, output)
    summary = detect_parts(job, device=device, workers=workers, batch_size=batch_size, engine=engine)
    if summary is None:  # the first process of torchrun prints it
        return
    command = running_command({"--detector": detector_argument(runs, weights)})
    remove_temporary_files(command_file(path))
    write_json(command_file(path), {**command, "weights_sha256": job.fingerprint["weights_sha256"]})
    if isinstance(output, Address):
        upload(path, output)
    if as_json:
        click.echo(json.dumps(summary.to_dict()))
    else:
        show_summary(summary)
        if isinstance(output, Address):
            click.echo(f"{output}: copied there")
    failed = summary.statistics.failed
    if failed == summary.statistics.images:
        raise UserError(f"none of the {failed:,} images could be read, first {summary.first_failure}")
    if max_failed is not None and failed > max_failed:
        raise UserError(f"{failed} images failed, more than --max-failed {max_failed}; the cache names them")


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return the plan of a detection run as text for the terminal."""
    first = "" if plan["limit"] is None else f", the first {plan['limit']:,} by name"
    side = plan["input_size"]
    return (
        f"images:   {plan['images']:,} of {plan['dataset']}{first}\n"
        f"finished: {plan['finished']:,}; to do: {plan['images'] - plan['finished']:,}\n"
        f"detector: {plan['weights']} ({plan['architecture']}, {side} x {side} pixels)\n"
        f"output:   {plan['output']}"
    )


def show_summary(summary: "DetectionSummary") -> None:
    """Print the statistics of the cache, its path, and the work of this run."""
    from data_cache.base.errors import printable
    from data_cache.base.progress import print_tables
    from data_cache.parts.statistics import statistics_table

    print_tables(statistics_table(summary.statistics, "parts found"))
    if summary.first_failure:
        click.echo(f"first failed: {printable(summary.first_failure)}")
    rate = summary.images_per_second
    work = "nothing was left to do" if rate is None else f"{summary.made_now:,} images now, {rate:.1f} images/s"
    click.echo(f"{summary.output}: {summary.statistics.images:,} images; {work}")
