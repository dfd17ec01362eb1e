"""`evaluate` and `features`: retrieval under the data set's own protocol, by a trained network or by given features."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_cache.base.options import (
    FILE,
    data_root_option,
    dataset_option,
    device_option,
    json_option,
    recipe_option,
    runs_option,
    seed_option,
    workers_option,
)
from reid.commands.options import RUN_HELP, parts_option
from reid.runs import chosen_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data_cache.datasets.dataset import Dataset
    from data_cache.parts.cache import PartBoxes
    from reid.evaluation.evaluate import Evaluation, Transfer
    from reid.model.checkpoint import Checkpoint

splits_option = click.option(
    "--split", default=None, help="Test to run: small, medium, large, test, track, or all; default: the largest."
)
trained_on_option = click.option(
    "--trained-on",
    default=None,
    metavar="DATASET",
    help="Take a run of this data set: direct transfer, without any training on --dataset.",
)


@click.command("evaluate")
@dataset_option
@data_root_option
@runs_option
@recipe_option(None, RUN_HELP)
@trained_on_option
@splits_option
@parts_option
@click.option(
    "--features",
    "given",
    type=FILE,
    default=None,
    help="Score this feature file (.npz, .safetensors) instead of a run.",
)
@click.option("--draws", type=click.IntRange(1), default=10, show_default=True, help="Random galleries of VehicleID.")
@click.option(
    "--ap",
    "form",
    type=click.Choice(["step", "trapezoid"]),
    default="step",
    show_default=True,
    help="Form of the average precision; trapezoid is that of VeRi-776's MATLAB code.",
)
@click.option("--rerank", is_flag=True, help="Also score k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3), beside it.")
@click.option(
    "--expand", type=click.IntRange(0), default=0, help="Also score queries averaged with their best K images."
)
@click.option("--untrained", is_flag=True, help="Score the network before training, and its trunk alone, beside it.")
@seed_option
@device_option
@workers_option
@json_option
def evaluate_command(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    trained_on: str | None,
    split: str | None,
    parts_file: Path | None,
    given: Path | None,
    untrained: bool,
    device: str,
    workers: int,
    as_json: bool,
    **scoring: Any,
) -> None:
    """Score a trained network by retrieval, under the data set's own protocol; or features that another system made.

    \b
    Examples:
      python cli.py evaluate --split large
      python cli.py evaluate --dataset veri --split all --rerank
      python cli.py evaluate --dataset synthetic --recipe demo --untrained
      python cli.py evaluate --dataset veri --features theirs.npz
      python cli.py evaluate --dataset vric --trained-on veri
    """
    from data_cache.base.devices import choose_device
    from data_cache.datasets.catalogue import load_dataset
    from reid.evaluation.evaluate import evaluate, evaluate_given
    from reid.evaluation.scoring import Scoring

    table, device = load_dataset(dataset, data_root), choose_device(device)
    splits, how = chosen_splits(table, split), Scoring(**scoring)
    if given is not None:
        _refuse_options_of_a_run(
            {"--recipe": recipe, "--trained-on": trained_on, "--parts": parts_file, "--untrained": untrained}
        )
        folder = runs / table.name / f"given-{given.stem}"
        found = evaluate_given(given, table, splits, how, folder, device=device)
    else:
        boxes, run, transfer = _inputs(table, runs, recipe, trained_on, parts_file)
        found = evaluate(
            table, boxes, run, splits, how, untrained=untrained, device=device, workers=workers, transfer=transfer
        )
    _print(found, as_json)


@click.command("features")
@dataset_option
@data_root_option
@runs_option
@recipe_option(None, RUN_HELP)
@trained_on_option
@splits_option
@parts_option
@device_option
@workers_option
def features_command(
    dataset: str,
    data_root: Path,
    runs: Path,
    recipe: str | None,
    trained_on: str | None,
    split: str | None,
    parts_file: Path | None,
    device: str,
    workers: int,
) -> None:
    """Extract the features that `evaluate` would, and print the file's name; a stopped extraction goes on.

    Processes of torchrun share the work, and the file is the same, byte for byte.

    \b
    Examples:
      python cli.py features --dataset veriwild --split all --device cuda
      torchrun --nproc-per-node 4 cli.py features --dataset veriwild --split all
    """
    from data_cache.base.devices import choose_device
    from data_cache.base.progress import is_first_rank
    from data_cache.datasets.catalogue import load_dataset
    from reid.distributed import first_rank_first, joined_ranks
    from reid.evaluation.evaluate import features_of_run

    device = choose_device(device)
    with joined_ranks(device):
        with first_rank_first():
            table = load_dataset(dataset, data_root)
            boxes, run, transfer = _inputs(table, runs, recipe, trained_on, parts_file)
            splits = chosen_splits(table, split)
        path, _ = features_of_run(table, boxes, run, splits, device=device, workers=workers, transfer=transfer)
    if is_first_rank():
        click.echo(path)


def _inputs(
    dataset: "Dataset", runs: Path, recipe: str | None, trained_on: str | None, parts_file: Path | None
) -> "tuple[PartBoxes, Checkpoint, Transfer | None]":
    """Return the parts of the data set's images, the run's network, and whether it comes from another data set."""
    from data_cache.datasets.catalogue import dataset_label
    from reid.evaluation.evaluate import Transfer, require_trained_boxes
    from reid.data.vehicle_images import part_cache
    from reid.model.checkpoint import read_checkpoint
    from reid.runs import BEST

    source = dataset.name if trained_on is None else dataset_label(trained_on)
    run = chosen_run(runs, source, recipe)
    checkpoint = read_checkpoint(run / BEST)
    boxes = part_cache(dataset, checkpoint.recipe, runs, parts_file)
    if parts_file is None:  # otherwise other boxes are what is asked for; metrics.json tells which
        require_trained_boxes(checkpoint, boxes)
    if source == dataset.name:
        return boxes, checkpoint, None
    return boxes, checkpoint, Transfer(source, runs / dataset.name / f"from-{source}-{run.name}")


def chosen_splits(dataset: "Dataset", split: str | None) -> list[str]:
    """Return the tests that `--split` names: one, `all`, or by default the largest. Raises UserError for others."""
    from data_cache.base.config import unknown

    chosen = split or dataset.default_split()
    if chosen != "all" and chosen not in dataset.splits:
        raise unknown(f"split of {dataset.name}", chosen, [*dataset.splits, "all"])
    return list(dataset.splits) if chosen == "all" else [chosen]


def _refuse_options_of_a_run(options: dict[str, object]) -> None:
    for name, value in options.items():
        if value:
            raise click.UsageError(f"{name} is of a run, and --features scores none")


def _print(found: "Sequence[Evaluation]", as_json: bool) -> None:
    from data_cache.base.progress import print_tables
    from reid.evaluation.score_table import score_table

    if as_json:
        metrics = [one.metrics for one in found]
        click.echo(json.dumps(metrics[0] if len(metrics) == 1 else metrics, indent=2))
        return
    print_tables(*(score_table(one.scores) for one in found))
