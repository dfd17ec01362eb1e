"""`evaluate` and `features`: retrieval metrics of a trained network, or of features from another system."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from data_cache.base.options import (
    FILE,
    OUTPUT_FILE,
    add_options,
    device_option,
    engine_option,
    json_option,
    running_command,
    seed_option,
    workers_option,
)
from reid.commands.options import folder_name, is_folder_name, parts_option, run_options

if TYPE_CHECKING:
    from data_cache.base.remote.addresses import Location
    from data_cache.datasets.dataset import Dataset
    from reid.evaluation.evaluate import Evaluation

FC = TypeVar("FC", bound="Callable[..., Any] | click.Command")


def hide_option(does: str) -> Callable[[FC], FC]:
    """Return the option --hide; its help starts with what it `does`."""
    text = f"{does} the boxes of this part covered in the pixels, as plate; repeatable."
    return click.option("--hide", multiple=True, metavar="PART", help=text)


def flip_test_option(does: str) -> Callable[[FC], FC]:
    """Return the option --flip-test; its help starts with what it `does`."""
    return click.option("--flip-test", is_flag=True, help=f"{does} means over image and mirror image.")


AFTER_NETWORK = ("rerank", "expand", "database", "camera_means", "whiten", "beside")


def score_options(does: str) -> Callable[[FC], FC]:
    """Return the options of AFTER_NETWORK that any gallery can have; the help of each starts with what it `does`."""
    return add_options(
        click.option("--rerank", is_flag=True, help=f"{does} after k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3)."),
        click.option(
            "--expand",
            type=click.IntRange(0),
            default=0,
            help=f"{does} of queries averaged with their K nearest gallery images.",
        ),
        click.option(
            "--database",
            type=click.IntRange(0),
            default=0,
            help=f"{does} in a gallery whose features are means with their K nearest (database-side augmentation).",
        ),
    )


def after_network_options(does: str) -> Callable[[FC], FC]:
    """Return the options AFTER_NETWORK; the help of each starts with what it `does`."""
    return add_options(
        score_options(does),
        click.option("--camera-means", is_flag=True, help=f"{does} of features without the mean of their camera."),
        click.option(
            "--whiten", is_flag=True, help=f"{does} of features whitened by training pairs, which are extracted."
        ),
        click.option(
            "--with",
            "beside",
            multiple=True,
            metavar="NAME|PATH",
            help=f"{does} by the mean of the cosines with this run's; repeatable.",
        ),
    )


run_and_tests_options = add_options(
    run_options,
    click.option(
        "--trained-on",
        default=None,
        metavar="DATASET",
        help="Use a run on this data set: direct transfer, without any training on --dataset.",
    ),
    click.option(
        "--split", default=None, help="Test: small, medium, large, test, track, or all; default: the largest."
    ),
    parts_option,
)


@click.command("evaluate")
@run_and_tests_options
@click.option(
    "--features",
    "features_file",
    type=FILE,
    default=None,
    help="Score this feature file (.npz, .safetensors) of another system instead of a run.",
)
@click.option(
    "--name",
    default=None,
    callback=folder_name,
    help="Name of that system: the results go to RUNS/DATASET/NAME; default: the file's name without its ending.",
)
@click.option("--draws", type=click.IntRange(1), default=10, show_default=True, help="Random galleries on VehicleID.")
@click.option(
    "--ap",
    "form",
    type=click.Choice(["step", "trapezoid"]),
    default="step",
    show_default=True,
    help="Form of average precision; trapezoid is that of VeRi-776's MATLAB code.",
)
@after_network_options("Add scores")
@click.option(
    "--cameras",
    is_flag=True,
    help="Add scores across cameras, with the gallery of each query by other cameras than its own, and within its own.",
)
@click.option(
    "--open-set",
    is_flag=True,
    help="Add how often the decisions are right: match, or not in the gallery. Needs `calibrate`.",
)
@hide_option("Add scores with")
@flip_test_option("Add scores of")
@click.option("--untrained", is_flag=True, help="Add scores of the network before training, and of its backbone alone.")
@seed_option
@device_option
@workers_option
@json_option
def evaluate_command(
    dataset: str,
    data_root: "Location",
    runs: Path,
    run: str | None,
    trained_on: str | None,
    split: str | None,
    parts_file: Path | None,
    features_file: Path | None,
    name: str | None,
    whiten: bool,
    beside: tuple[str, ...],
    open_set: bool,
    hide: tuple[str, ...],
    flip_test: bool,
    untrained: bool,
    device: str,
    workers: int,
    as_json: bool,
    **scoring_options: Any,
) -> None:
    """Score a trained network, or features from another system, by retrieval under the data set's own protocol.

    \b
    Examples:
      python cli.py evaluate --split large
      python cli.py evaluate --dataset veri --split all --rerank
      python cli.py evaluate --run demo --untrained
      python cli.py evaluate --hide plate --cameras
      python cli.py evaluate --run pgan_plus --with pgan --database 5 --camera-means --whiten
      python cli.py evaluate --dataset veri --features theirs.npz --name osnet
      python cli.py evaluate --dataset vric --trained-on veri
    """
    from data_cache.base.devices import Compute, choose_device
    from data_cache.datasets.catalogue import load_dataset
    from reid.evaluation.calibration import require_calibration
    from reid.evaluation.evaluate import evaluate_external, evaluate_run
    from reid.evaluation.trained_run import find_run
    from reid.retrieval.scoring import Scoring
    from reid.runs import run_name

    loaded, compute = load_dataset(dataset, data_root), Compute(choose_device(device), workers)
    splits, scoring, arguments = chosen_splits(loaded, split), Scoring(**scoring_options), running_command()["options"]
    if features_file is None:
        if name is not None:
            raise click.UsageError("--name names the features of another system; give them by --features")
        trained = find_run(loaded, runs, run, trained_on, parts_file)
        arguments.setdefault("--run", run_name(trained.checkpoint.path.parent))
        changes: list[dict[str, Any]] = [{"hide": hide}] if hide else []
        changes += [{"flip_test": True}] if flip_test else []
        changed = [find_run(loaded, runs, run, trained_on, parts_file, **change) for change in changes]
        evaluations = evaluate_run(
            trained,
            splits,
            scoring,
            compute,
            untrained=untrained,
            changed=changed,
            beside=[find_run(loaded, runs, other, trained_on, None) for other in beside],
            whiten=whiten,
            calibration=require_calibration(trained) if open_set else None,
            arguments=arguments,
        )
    else:
        of_a_run = {
            "--run": run,
            "--trained-on": trained_on,
            "--parts": parts_file,
            "--hide": hide,
            "--flip-test": flip_test,
            "--untrained": untrained,
            "--open-set": open_set,
            "--whiten": whiten,
            "--with": beside,
        }
        given = [name for name, value in of_a_run.items() if value]
        if given:
            raise click.UsageError(f"{given[0]} and --features cannot be combined")
        folder = runs / loaded.name / (name or features_name(features_file))
        evaluations = evaluate_external(
            features_file, loaded, splits, scoring, folder, device=compute.device, arguments=arguments
        )
    _print(evaluations, as_json)


@click.command("features")
@run_and_tests_options
@hide_option("Extract them with")
@flip_test_option("Extract")
@click.option(
    "--output",
    type=OUTPUT_FILE,
    default=None,
    help="Also write them as .npy, here or at an address (s3://...): the queries, then the gallery, in the table's "
    "order.",
)
@device_option
@workers_option
@engine_option
def features_command(
    dataset: str,
    data_root: "Location",
    split: str | None,
    output: "Location | None",
    device: str,
    workers: int,
    engine: str,
    **selection: Any,
) -> None:
    """Extract the features that `evaluate` scores, and print the name of their file; a stopped extraction resumes.

    The processes of torchrun, or the workers of --engine ray, share the work; the file is the same as that of one
    process, byte for byte.

    \b
    Examples:
      python cli.py features --dataset veriwild --split all --device cuda
      python cli.py features --hide plate --flip-test
      python cli.py features --dataset crops/images.csv --data-root crops --output embeddings.npy
      python cli.py features --dataset fleet.csv --data-root s3://bucket/images --engine ray
      torchrun --nproc-per-node 4 cli.py features --dataset veriwild --split all
      python cli.py features --dataset veriwild --split all --engine ray --workers 4
    """
    from data_cache.base.devices import Compute, choose_device
    from data_cache.base.progress import is_first_rank
    from data_cache.base.remote.requests import local_file
    from data_cache.datasets.catalogue import load_dataset
    from data_cache.engine.session import choose_ray_device, require_ray
    from reid.distributed import first_rank_first, joined_ranks
    from reid.evaluation.answers import write_embeddings
    from reid.evaluation.trained_run import features_of_run, find_run

    if engine == "ray":
        require_ray()
    choose = choose_ray_device if engine == "ray" else choose_device
    compute = Compute(choose(device), workers, engine)
    with joined_ranks(compute.device):
        with first_rank_first():
            loaded = load_dataset(dataset, data_root)
            run, splits = find_run(loaded, **selection), chosen_splits(loaded, split)
        if output is not None and len(splits) != 1:
            raise click.UsageError("--output is for one test; choose it with --split")
        path, features = features_of_run(run, splits, compute)
    if is_first_rank():
        click.echo(path)
        if output is not None:
            with local_file(output) as file:
                rows, length = write_embeddings(file, features, loaded, loaded.protocol(splits[0], draws=1))
            click.echo(f"{output}: {rows:,} x {length}")


def features_name(path: Path) -> str:
    """Return the name of another system without --name. Raises UsageError if the file's name cannot be one."""
    if not is_folder_name(path.stem):
        raise click.UsageError(f"{path.stem!r} cannot name the results of {path}; name the system by --name")
    return path.stem


def chosen_splits(dataset: "Dataset", split: str | None) -> list[str]:
    """Return the tests of `--split`: one, `all`, or by default the largest. Raises UserError for an unknown one."""
    from data_cache.base.config import unknown

    chosen = split or dataset.default_split()
    if chosen != "all" and chosen not in dataset.splits:
        raise unknown(f"split of {dataset.name}", chosen, [*dataset.splits, "all"])
    return list(dataset.splits) if chosen == "all" else [chosen]


def _print(evaluations: "Sequence[Evaluation]", as_json: bool) -> None:
    from data_cache.base.progress import print_tables
    from reid.evaluation.score_table import decisions_line, gap_line, score_table

    if as_json:
        metrics = [evaluation.metrics for evaluation in evaluations]
        click.echo(json.dumps(metrics[0] if len(metrics) == 1 else metrics, indent=2))
    else:
        print_tables(*(score_table(evaluation.scores) for evaluation in evaluations))
        for evaluation in evaluations:
            if "camera_gap" in evaluation.metrics:
                click.echo(gap_line(evaluation.metrics))
            if "open_set" in evaluation.metrics:
                click.echo(decisions_line(evaluation.metrics))
