"""The command `import-weights`: the network that PGAN's authors published, as a run."""

import json
import logging
from pathlib import Path

import click

from data_cache.base.options import FILE, dataset_option, json_option, runs_option

log = logging.getLogger(__name__)


@click.command("import-weights")
@click.option("--official", "source", type=FILE, required=True, help="The authors' model_best.pth of the data set.")
@dataset_option
@click.option("--name", default="official", show_default=True, help="Name of the run, as --recipe of `evaluate`.")
@runs_option
@click.option(
    "--parts-depth",
    type=click.IntRange(0, 64),
    default=8,
    show_default=True,
    help="D: part boxes of an image that the network looks at; 8 is the authors'.",
)
@json_option
def import_weights(source: Path, dataset: str, name: str, runs: Path, parts_depth: int, as_json: bool) -> None:
    """Make a run of the network that PGAN's authors published, for `evaluate` and `report`.

    Writes RUNS/DATASET/NAME/best.safetensors and recipe.json. The file is read without running any code in it, and
    every tensor of it must have its place. Their part masks become boxes by `cache import`. A run that holds another
    network is never overwritten.

    \b
    Examples:
      python cli.py import-weights --official model_best.pth --dataset veri
      python cli.py cache import --masks masks/VeRi --dataset veri
      python cli.py evaluate --dataset veri --recipe official
    """

    from data_cache.datasets.catalogue import dataset_label
    from reid.publish.official_import import import_official
    from reid.recipes import PRESETS
    from reid.runs import run_folder

    if Path(name).stem != name or name in ("", ".."):
        raise click.UsageError(f"--name {name}: give a plain name, without dots and slashes")
    if name in PRESETS:
        raise click.UsageError(f"--name {name}: `train --recipe {name}` would write there; choose another")
    label = dataset_label(dataset)
    imported = import_official(source, run_folder(runs, label, name), label, parts=parts_depth)
    for remark in imported.official.remarks:
        log.info(f"{source}: {remark}")
    if not imported.written:
        log.info(f"{imported.checkpoint.parent}: already imported, nothing was written")
    click.echo(json.dumps(imported.to_dict()) if as_json else imported.line())
