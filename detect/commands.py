"""The command `detect`: parses, calls one function and prints."""

import json
from pathlib import Path

import click

from data_cache.options import (
    FILE,
    data_root_option,
    dataset_option,
    device_option,
    json_option,
    runs_option,
    workers_option,
)
from detect.options import detector_option, weights_option


@click.command("detect")
@dataset_option
@data_root_option
@runs_option
@detector_option
@weights_option
@click.option("--output", type=FILE, default=None, help="Part cache to write; default: RUNS/DATASET/parts.h5.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Images at a time.")
@click.option(
    "--max-failed", type=click.IntRange(0), default=None, help="Fail if more images than this are unreadable."
)
@device_option
@workers_option
@json_option
def detect(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    weights: Path | None,
    output: Path | None,
    batch_size: int,
    max_failed: int | None,
    device: str,
    workers: int,
    as_json: bool,
) -> None:
    """Find the parts of every image and write them to the part cache.

    Finished images are kept: run it again after a stop. Under torchrun the images are shared out.

    \b
    Examples:
      python cli.py detect --dataset veri
      python cli.py detect --dataset synthetic --recipe demo
      torchrun --nproc-per-node 4 cli.py detect --dataset vehicleid
    """
    from data_cache.datasets import load_dataset
    from data_cache.devices import choose_device
    from data_cache.errors import UserError
    from detect.run import detect_parts
    from detect.training import trained_weights

    table = load_dataset(dataset, data_root)
    device = choose_device(device)
    summary = detect_parts(
        table.names(),
        table.root,
        weights or trained_weights(runs, recipe, device),
        output or runs / table.name / "parts.h5",
        dataset=table.name,
        device=device,
        workers=workers,
        batch_size=batch_size,
    )
    text = (
        f"{summary.output}: {summary.images} images, {summary.boxes} parts; {summary.empty} images without a part, "
        f"{summary.failed} failed{', first ' if summary.failed else ''}{summary.first_failure}"
    )
    click.echo(json.dumps(summary.as_json()) if as_json else text)
    if max_failed is not None and summary.failed > max_failed:
        raise UserError(f"{summary.failed} images failed, more than --max-failed {max_failed}; the cache names them")
