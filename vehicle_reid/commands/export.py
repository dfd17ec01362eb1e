"""The command `export`: a trained network in a portable format."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.options import dataset_option, json_option, recipe_option, runs_option
from detect.commands.options import weights_option

if TYPE_CHECKING:
    from data_cache.base.export import Exported


@click.command("export")
@dataset_option
@runs_option
@recipe_option(None, "Run, or detector, to export; default: the newest run on the data set, the detector of `detect`.")
@click.option(
    "--what",
    type=click.Choice(["network", "detector"]),
    default="network",
    show_default=True,
    help="network: PGAN from `train`; detector: from `parts train`.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["safetensors", "pt2", "onnx"]),
    required=True,
    help="safetensors: weights, recipe and model card; pt2: a program of torch.export; onnx: for onnxruntime.",
)
@weights_option
@json_option
def export_command(
    dataset: str, runs: Path, recipe: str | None, what: str, kind: str, weights: Path | None, as_json: bool
) -> None:
    """Export a trained network into the folder `export` of its run.

    A program takes pixels and returns features (a detector: boxes after NMS) for any number of images, in float32.
    Resize images before passing them in. The program is compared with PyTorch before the file is kept. ONNX needs
    `pip install '.[onnx]'`.

    \b
    Examples:
      python cli.py export --dataset veri --recipe pgan --format safetensors
      python cli.py export --dataset veri --recipe pgan --format onnx
      python cli.py export --what detector --format onnx
    """
    if weights is not None and what != "detector":
        raise click.UsageError("--weights needs --what detector")
    if what == "detector":
        exported = _export_detector(runs, recipe, weights, kind)
    else:
        exported = _export_network(runs, dataset, recipe, kind)
    click.echo(json.dumps(exported.to_dict()) if as_json else exported.lines())


def _export_network(runs: Path, dataset: str, recipe: str | None, kind: str) -> "Exported":
    from data_cache.datasets.catalogue import dataset_label
    from reid.model.checkpoint import read_checkpoint
    from reid.publish.model_card import export_weights
    from reid.publish.program import export_program
    from reid.runs import BEST, chosen_run

    checkpoint = read_checkpoint(chosen_run(runs, dataset_label(dataset), recipe) / BEST)
    return export_weights(checkpoint) if kind == "safetensors" else export_program(checkpoint, kind)


def _export_detector(runs: Path, recipe: str | None, weights: Path | None, kind: str) -> "Exported":
    from detect.commands.options import choose_weights
    from detect.model.export import export_detector

    weights = choose_weights(runs, recipe, weights, "cpu")
    if kind == "safetensors":
        raise click.UsageError(f"--format safetensors: {weights} already is that file, with its recipe inside")
    return export_detector(weights, kind)
