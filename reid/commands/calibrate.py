"""The command `calibrate`: when is the best match the vehicle, and when is the vehicle not in the gallery?"""

import json
from pathlib import Path
from typing import Any

import click

from data_cache.base.options import device_option, json_option, running_command, seed_option, workers_option
from reid.commands.options import parts_option, run_options


@click.command("calibrate")
@run_options
@click.option("--trained-on", default=None, metavar="DATASET", help="Use a run on this data set for --dataset.")
@parts_option
@click.option(
    "--aim",
    default="f1",
    show_default=True,
    metavar="f1|fpir=RATE",
    help="Of the threshold: the best F1 of first matches, or at most this share of absent vehicles accepted.",
)
@seed_option
@device_option
@workers_option
@json_option
def calibrate_command(
    dataset: str,
    data_root: Path,
    runs: Path,
    run: str | None,
    trained_on: str | None,
    parts_file: Path | None,
    aim: str,
    seed: int,
    device: str,
    workers: int,
    as_json: bool,
) -> None:
    """Learn how sure a run's best match is, and the threshold below which the answer is: not in the gallery.

    It searches among vehicles that the network was not trained on, those held out of its training, in galleries from
    which many of them are missing. Confidence is a logistic model of the best cosine, its margin, its share among the
    best 50, and the size of the gallery. Writes calibration.json into the run's folder, which `gallery search`,
    `evaluate --open-set` and the page then use.

    \b
    Examples:
      python cli.py calibrate --run demo
      python cli.py calibrate --dataset veri --run pgan --aim fpir=0.05
    """
    from dataclasses import replace

    from data_cache.base.devices import Compute, choose_device
    from data_cache.base.locks import run_lock
    from data_cache.datasets.catalogue import load_dataset
    from reid.evaluation.calibration import calibrate
    from reid.evaluation.trained_run import find_run
    from reid.runs import run_name

    loaded = load_dataset(dataset, data_root)
    trained = find_run(loaded, runs, run, trained_on, parts_file)
    calibrated = calibrate(trained, Compute(choose_device(device), workers), aim=aim, seed=seed)
    calibrated = replace(calibrated, arguments=running_command({"--run": run_name(trained.folder)})["options"])
    with run_lock(trained.folder):
        path = calibrated.write(trained.folder)
    measured: dict[str, Any] = dict(calibrated.measured)
    if as_json:
        click.echo(json.dumps({"output": str(path), "aim": aim, **measured}))
        return
    shown = {"top1_precision": "precision", "top1_recall": "recall", "top1_f1": "F1", "tnr": "TNR"}
    rates = ", ".join(f"{name} {100 * measured[key]:.1f} %" for key, name in shown.items())
    click.echo(f"{path}: accepted from a confidence of {calibrated.calibration.threshold:.3f} on")
    click.echo(f"simulated searches for other vehicles: {rates}")
