"""The command `export`: a trained network in a portable format."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from data_cache.base.options import json_option
from detect.commands.options import detector_option
from reid.commands.options import run_options

if TYPE_CHECKING:
    from data_cache.base.export import Exported


@click.command("export")
@run_options
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
    help="safetensors: weights and recipe, of a network with a model card, of a detector in float16; pt2: a program of "
    "torch.export; onnx: for onnxruntime.",
)
@click.option("--half", is_flag=True, help="Matrices of a network's safetensors in float16: half the bytes.")
@detector_option()
@json_option
def export_command(
    dataset: str,
    runs: Path,
    run: str | None,
    what: str,
    kind: str,
    half: bool,
    detector: str | None,
    as_json: bool,
    **_: object,
) -> None:
    """Export a trained network into the folder `export` of its run.

    A program takes pixels and returns features (a detector: boxes after NMS) for any number of images, in float32.
    Resize images before passing them in. The program is compared with PyTorch before the file is kept. ONNX needs
    `pip install '.[onnx]'`.

    \b
    Examples:
      python cli.py export --dataset veri --run pgan --format safetensors
      python cli.py export --dataset veri --run pgan --format onnx
      python cli.py export --what detector --detector shipped --format onnx
    """
    if (run if what == "detector" else detector) is not None:
        raise click.UsageError("--detector chooses the detector of --what detector, --run that of a network")
    if half and (what, kind) != ("network", "safetensors"):
        raise click.UsageError("--half is for --format safetensors of a network; a detector's are in float16 anyway")
    if what == "detector":
        exported = _export_detector(runs, detector, kind)
    else:
        exported = _export_network(runs, dataset, run, kind, half)
    click.echo(json.dumps(exported.to_dict()) if as_json else exported.lines())


def _export_network(runs: Path, dataset: str, run: str | None, kind: str, half: bool) -> "Exported":
    from data_cache.datasets.catalogue import dataset_label
    from reid.model.checkpoint import in_half_precision, read_checkpoint
    from reid.publish.model_card import export_weights
    from reid.publish.program import export_program
    from reid.runs import BEST, chosen_run

    checkpoint = read_checkpoint(chosen_run(runs, dataset_label(dataset), run) / BEST)
    checkpoint = in_half_precision(checkpoint) if half else checkpoint
    return export_weights(checkpoint) if kind == "safetensors" else export_program(checkpoint, kind)


def _export_detector(runs: Path, detector: str | None, kind: str) -> "Exported":
    from detect.model.export import export_detector
    from detect.training.runs import chosen_detector, results_folder

    weights = chosen_detector(runs, detector)
    return export_detector(weights, kind, results_folder(runs, weights))
