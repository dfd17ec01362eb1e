"""The command `import-weights`: a run from the network that PGAN's authors published."""

import json
import logging
from pathlib import Path

import click

from data_cache.base.options import FILE, dataset_option, json_option, running_command, runs_option
from reid.commands.options import folder_name

log = logging.getLogger(__name__)


@click.command("import-weights")
@click.option("--official", "source", type=FILE, required=True, help="The authors' model_best.pth of the data set.")
@dataset_option
@click.option("--name", default="official", show_default=True, callback=folder_name, help="Name of the run.")
@runs_option
@click.option(
    "--parts-depth",
    "top_d",
    type=click.IntRange(0, 64),
    default=8,
    show_default=True,
    help="D: part boxes per image that the network uses; the authors use 8.",
)
@json_option
def import_weights(source: Path, dataset: str, name: str, runs: Path, top_d: int, as_json: bool) -> None:
    """Import the network that PGAN's authors published, for `evaluate` and `report`.

    Writes RUNS/DATASET/NAME/best.safetensors and recipe.json. Reading the file runs no code from it, and every tensor
    in it must be used. `cache import` turns the authors' part masks into boxes. A run with another network is never
    overwritten.

    \b
    Examples:
      python cli.py import-weights --official model_best.pth --dataset veri
      python cli.py cache import --masks masks/VeRi --dataset veri
      python cli.py evaluate --dataset veri --run official
    """
    from data_cache.datasets.catalogue import dataset_label
    from reid.publish.official_import import import_official
    from reid.recipes import PRESETS
    from reid.runs import run_folder

    if name in PRESETS:
        raise click.UsageError(f"--name {name}: reserved for `train --recipe {name}`; choose another")
    label = dataset_label(dataset)
    imported = import_official(source, run_folder(runs, label, name), label, top_d=top_d, command=running_command())
    for remark in imported.official.remarks:
        log.info(f"{source}: {remark}")
    if not imported.written:
        log.info(f"{imported.checkpoint.parent}: already imported, nothing was written")
    click.echo(json.dumps(imported.to_dict()) if as_json else imported.line())
