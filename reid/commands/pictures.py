"""The commands `rank` and `heatmaps`: PNG files of ranked lists, and of where a network looks."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from data_cache.base.errors import UserError
from data_cache.base.options import FILE, Command, add_options, device_option, json_option, workers_option
from reid.commands.evaluate import AFTER_NETWORK, after_network_options
from reid.commands.options import evaluated_runs, evaluated_runs_options

if TYPE_CHECKING:
    from reid.retrieval.ranked_lists import Choice


PAGE_QUERIES = 60


def queries_options(count: int, also: str = "") -> Callable[[Command], Command]:
    """Return the options of `query_choice`; `count` is the default of --count, whose help ends with `also`."""
    return add_options(
        click.option("--query", "queries", multiple=True, metavar="NAME", help="Query to show; repeatable."),
        click.option(
            "--count",
            type=click.IntRange(1, 500),
            default=count,
            show_default=True,
            help=f"Number of queries: those with the lowest, median and highest average precision{also}.",
        ),
        click.option(
            "--hardest",
            type=click.IntRange(1, 500),
            default=None,
            help="Show only this many queries, those with the lowest average precision.",
        ),
    )


def query_choice(queries: tuple[str, ...], count: int, hardest: int | None) -> "Choice":
    """Return the choice of queries. Raises UsageError if more than one of the options is given."""
    from reid.retrieval.ranked_lists import Choice

    if sum(map(bool, (queries, hardest, _count_given()))) > 1:
        raise click.UsageError("--query, --hardest and --count cannot be combined")
    return Choice(hardest or count, queries, hardest=hardest is not None)


def _count_given() -> bool:
    return click.get_current_context().get_parameter_source("count") is not ParameterSource.DEFAULT


def _refuse(options: Mapping[str, Any], use: str) -> None:
    """Raise UsageError for the first of the options, by parameter, that was given: it is for another use."""
    for name, value in options.items():
        if value:
            raise click.UsageError(f"--{'with' if name == 'beside' else name.replace('_', '-')} is for {use}")


@click.command("rank")
@evaluated_runs_options
@queries_options(12, f"; in --page, where {PAGE_QUERIES} is the default, evenly spread over their confidence")
@click.option("--top", type=click.IntRange(1, 50), default=5, show_default=True, help="Gallery images in each list.")
@click.option("--heatmaps", is_flag=True, help="Add what covering squares of each image does to its score.")
@click.option("--output", type=FILE, default=None, help="Write the lists of all queries as CSV instead of pictures.")
@click.option("--wide", is_flag=True, help="A row a query in that CSV, instead of a row a candidate.")
@click.option(
    "--candidates",
    "decided",
    type=FILE,
    default=None,
    help="Also write this CSV: the candidate of each query with its confidence, none if it is not accepted. Needs "
    "`calibrate`.",
)
@click.option(
    "--page",
    type=FILE,
    default=None,
    help="Also write this HTML page: queries with their candidates, and the decisions of a calibrated run.",
)
@click.option(
    "--junk",
    type=click.Choice(["protocol", "camera"]),
    default="protocol",
    show_default=True,
    help="What CSVs and page leave out: the data set's own junk, or everything by the query's camera.",
)
@after_network_options("Rank in --output and --page")
@device_option
@workers_option
@json_option
def rank_command(
    queries: tuple[str, ...],
    count: int,
    hardest: int | None,
    top: int,
    heatmaps: bool,
    output: Path | None,
    wide: bool,
    decided: Path | None,
    page: Path | None,
    junk: str,
    device: str,
    workers: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw queries with the first images of their ranked lists, one PNG per query; or write lists as CSV or HTML.

    Right images have a green frame, wrong ones a red one. Shown are rank, score, camera, and the part boxes with their
    attention in percent. The files are written to RUNS/DATASET/RECIPE/SPLIT/ranked. The run must be evaluated.

    With --output, --candidates or --page no PNG is drawn, and nothing needs to be evaluated: images of the test may
    lack vehicles. query and candidate are rows, from 0, of the tables of queries and gallery. --candidates is always by
    plain scores, of which `calibrate` learnt the confidence. --page shows at most ten candidates of a query.

    \b
    Examples:
      python cli.py rank --run demo
      python cli.py rank --dataset crops/images.csv --data-root crops --top 10 --output submission.csv
      python cli.py rank --run demo --output submission.csv --wide --database 5 --rerank
      python cli.py rank --run demo --top 10 --candidates candidates.csv --page answer.html
      python cli.py rank --dataset veri --run pgan --compare grid --hardest 10 --heatmaps
    """
    from data_cache.base.devices import Compute, choose_device
    from reid.commands.answers import AnswerFiles, write_answers
    from reid.report.query_images import write_ranked_lists

    choice = query_choice(queries, count, hardest)
    after = {name: options.pop(name) for name in AFTER_NETWORK}
    if output is not None or decided is not None or page is not None:
        _refuse({"query": queries, "hardest": hardest, "heatmaps": heatmaps}, "pictures")
        _refuse({"count": _count_given() and page is None}, "pictures and --page")
        _refuse({"wide": wide and output is None}, "--output")
        files = AnswerFiles(output, decided, page, wide, count if _count_given() else PAGE_QUERIES)
        written_files = write_answers(files, top, junk, Compute(choose_device(device), workers), after, **options)
        click.echo(json.dumps(written_files) if as_json else "\n".join(written_files))
        return
    _refuse({"wide": wide}, "--output")
    _refuse(after, "--output and --page")
    runs = evaluated_runs(**options)
    if heatmaps and not any(run.has_network for run in runs):
        raise UserError(f"{runs[0].folder}: features of another system, and no network to show; leave out --heatmaps")
    heatmap_device = choose_device(device) if heatmaps else None
    written = write_ranked_lists(runs, runs[0].test_folder / "ranked", choice, top_k=top, heatmap_device=heatmap_device)
    if as_json:
        click.echo(json.dumps([image.to_dict() for image in written], indent=2))
    else:
        click.echo("\n".join(str(image.path) for image in written))


@click.command("heatmaps")
@evaluated_runs_options
@queries_options(6)
@device_option
@json_option
def heatmaps_command(
    queries: tuple[str, ...],
    count: int,
    hardest: int | None,
    device: str,
    as_json: bool,
    **selection: Any,
) -> None:
    """Draw what a network relies on in query images, one PNG per query: attention, covered regions, feature maps.

    Squares of the query are covered one by one: red lowers its score with its best true match, blue raises it. Below
    are the network's feature maps, averaged over their channels, before and after part attention. The files are written
    to RUNS/DATASET/RECIPE/SPLIT/heatmaps, with attention.png, the mean attention of every part.

    \b
    Example:
      python cli.py heatmaps --dataset veri --run pgan --compare grid --hardest 10
    """
    from data_cache.base.devices import choose_device
    from reid.report.part_statistics import write_attention_chart
    from reid.report.query_images import rank_queries_of_runs, write_heatmaps

    choice = query_choice(queries, count, hardest)
    runs = evaluated_runs(**selection)
    chosen = rank_queries_of_runs(runs[:1], choice, top_k=1)[0]
    folder = runs[0].test_folder / "heatmaps"
    written = write_heatmaps(runs, folder, chosen, device=choose_device(device))
    chart = write_attention_chart(runs[0], folder / "attention.png")
    paths = [str(path) for path in (*written, chart) if path is not None]
    click.echo(json.dumps(paths) if as_json else "\n".join(paths))
