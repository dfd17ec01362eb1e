"""The command `import-weights`: a run from the network that PGAN's authors published, or from the shipped one."""

import json
import logging
from pathlib import Path

import click

from data_cache.base.options import FILE, dataset_option, json_option, running_command, runs_option
from reid.commands.options import folder_name

log = logging.getLogger(__name__)


@click.command("import-weights")
@click.option("--official", "source", type=FILE, default=None, help="The authors' model_best.pth of the data set.")
@click.option("--shipped", "is_shipped", is_flag=True, help="The network that ships with this package: run `shipped`.")
@dataset_option
@click.option(
    "--name", default=None, callback=folder_name, help="Name of the run of the authors' network.  [default: official]"
)
@runs_option
@click.option(
    "--parts-depth",
    "top_d",
    type=click.IntRange(0, 64),
    default=None,
    help="D: part boxes per image that the authors' network uses.  [default: 8, as theirs]",
)
@json_option
def import_weights(
    source: Path | None,
    is_shipped: bool,
    dataset: str,
    name: str | None,
    runs: Path,
    top_d: int | None,
    as_json: bool,
) -> None:
    """Import a network that was trained elsewhere, for `evaluate`, `report` and every other command.

    It is the one that PGAN's authors published, or that ships with this package, which MODEL_CARD.md in reid/weights
    describes. Writes RUNS/DATASET/NAME/best.safetensors and recipe.json; a run with another network is never
    overwritten. Reading the authors' file runs no code from it, and every tensor in it must be used. `cache import`
    turns their part masks into boxes.

    \b
    Examples:
      python cli.py import-weights --official model_best.pth --dataset veri
      python cli.py cache import --masks masks/VeRi --dataset veri
      python cli.py evaluate --dataset veri --run official
      python cli.py import-weights --shipped --dataset veri
      python cli.py evaluate --dataset veri --run shipped
    """
    from data_cache.datasets.catalogue import dataset_label
    from reid.recipes import PRESETS

    if (source is not None) == is_shipped:
        raise click.UsageError("one of --official and --shipped is needed")
    label = dataset_label(dataset)
    if source is None:
        if name is not None or top_d is not None:
            raise click.UsageError("--name and --parts-depth are for --official")
        _import_shipped(runs, label, as_json)
        return
    if name in PRESETS:
        raise click.UsageError(f"--name {name}: reserved for `train --recipe {name}`; choose another")
    _import_official(source, runs, label, name or "official", 8 if top_d is None else top_d, as_json)


def _import_official(source: Path, runs: Path, dataset: str, name: str, top_d: int, as_json: bool) -> None:
    from reid.publish.official_import import import_official
    from reid.runs import run_folder

    imported = import_official(source, run_folder(runs, dataset, name), dataset, top_d=top_d, command=running_command())
    for remark in imported.official.remarks:
        log.info(f"{source}: {remark}")
    if not imported.written:
        log.info(f"{imported.checkpoint.parent}: already imported, nothing was written")
    click.echo(json.dumps(imported.to_dict()) if as_json else imported.line())


def _import_shipped(runs: Path, dataset: str, as_json: bool) -> None:
    from reid.publish.shipped_import import import_shipped
    from reid.runs import BEST

    folder, written = import_shipped(runs, dataset, running_command())
    if not written:
        log.info(f"{folder}: already imported, nothing was written")
    click.echo(json.dumps({"output": str(folder / BEST), "written": written}) if as_json else folder / BEST)
