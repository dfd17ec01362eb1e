"""The command `compare`: how sure it is that one of two runs is better."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from data_cache.base.options import json_option, runs_option, seed_option
from reid.commands.options import dataset_of_run_option, run_location, scored_runs


@click.command("compare")
@click.argument("names", nargs=2, metavar="RUN RUN")
@dataset_of_run_option
@runs_option
@click.option(
    "--split",
    default=None,
    help="Test, or all; default: the one with the largest gallery that both runs were evaluated on.",
)
@click.option(
    "--resamples", type=click.IntRange(100, 1_000_000), default=10_000, show_default=True, help="Number of resamples."
)
@click.option(
    "--by",
    "unit",
    type=click.Choice(["query", "vehicle"]),
    default="query",
    show_default=True,
    help="What is drawn: query images, or vehicles with all their queries, whose results are alike.",
)
@seed_option
@json_option
def compare_command(
    names: tuple[str, str],
    dataset: str | None,
    runs: Path,
    split: str | None,
    unit: Literal["query", "vehicle"],
    as_json: bool,
    **sampling: Any,
) -> None:
    """Compare two evaluated runs query by query: differences of mAP and CMC with 95 % intervals.

    A run is a trained network or the features of another system, by name or by the path of its folder. The intervals
    are those of the paired bootstrap over the queries; a difference is that of the second run to the first. "Not
    better" is the share of resamples, in percent, in which the second run is not better. No data set is needed.

    \b
    Examples:
      python cli.py compare baseline pgan --dataset veri
      python cli.py compare pgan osnet --dataset vehicleid --split all --json
      python cli.py compare runs/veri/pgan elsewhere/veri/pgan --by vehicle
    """
    from data_cache.base.progress import print_tables
    from reid.evaluation.comparison import common_splits, compare_evaluations, comparison_table

    dataset, runs = run_location(dataset, runs, names[0])
    first, second = scored_runs(runs, dataset, names)
    comparisons = [
        compare_evaluations(first, second, one, unit=unit, **sampling) for one in common_splits(first, second, split)
    ]
    if as_json:
        content = [comparison.to_dict() for comparison in comparisons]
        click.echo(json.dumps(content[0] if len(content) == 1 else content, indent=2))
    else:
        print_tables(*map(comparison_table, comparisons))
