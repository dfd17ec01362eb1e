"""`rank` and `heatmaps`: pictures of what an evaluated network ranks first, and of where it looks."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from data_cache.base.options import Command, device_option, json_option
from reid.commands.options import evaluated_runs, evaluated_runs_options

if TYPE_CHECKING:
    from reid.retrieval.ranked_lists import Choice


def choice_options(count: int) -> Callable[[Command], Command]:
    """Add `--query`, `--count` with that default and `--hardest`."""

    def add(command: Command) -> Command:
        options = (
            click.option("--query", "queries", multiple=True, metavar="NAME", help="Query image to show; repeatable."),
            click.option(
                "--count",
                type=click.IntRange(1, 500),
                default=count,
                show_default=True,
                help="Queries to show: the worst, the middle and the best by average precision.",
            ),
            click.option("--hardest", type=click.IntRange(1, 500), default=None, help="Show the N worst queries only."),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return add


def chosen_queries(queries: tuple[str, ...], count: int, hardest: int | None) -> "Choice":
    """Return what the options of the running command choose. Raises UsageError where two of them disagree."""
    from reid.retrieval.ranked_lists import Choice

    counted = click.get_current_context().get_parameter_source("count") is not ParameterSource.DEFAULT
    if sum(map(bool, (queries, hardest, counted))) > 1:
        raise click.UsageError("--query names queries, --hardest and --count find them; give one of the three")
    return Choice(hardest or count, queries, hardest=hardest is not None)


@click.command("rank")
@evaluated_runs_options
@choice_options(12)
@click.option("--top", type=click.IntRange(1, 50), default=5, show_default=True, help="Gallery images in each list.")
@click.option("--heatmaps", is_flag=True, help="Below each list, the heatmaps of Fp and of what the attention adds.")
@device_option
@json_option
def rank_command(
    queries: tuple[str, ...],
    count: int,
    hardest: int | None,
    top: int,
    heatmaps: bool,
    device: str,
    as_json: bool,
    **where: Any,
) -> None:
    """Draw queries with the first images of their lists, green where right and red where wrong, one PNG a query.

    They go to RUNS/DATASET/RECIPE/SPLIT/ranked. The run must have been evaluated. On the pictures are rank, score and
    camera, and the part boxes with their attention in percent.

    \b
    Examples:
      python cli.py rank --dataset synthetic --recipe demo
      python cli.py rank --dataset veri --recipe pgan --compare grid --hardest 10 --heatmaps
    """
    from data_cache.base.devices import choose_device
    from reid.report.ranked import write_ranked

    choice = chosen_queries(queries, count, hardest)
    shown = evaluated_runs(**where)
    heat_on = choose_device(device) if heatmaps else None
    written = write_ranked(shown, shown[0].test_folder / "ranked", choice, top_k=top, heat_on=heat_on)
    if as_json:
        click.echo(json.dumps([picture.to_dict() for picture in written], indent=2))
    else:
        click.echo("\n".join(str(picture.path) for picture in written))


@click.command("heatmaps")
@evaluated_runs_options
@choice_options(6)
@device_option
@json_option
def heatmaps_command(
    queries: tuple[str, ...],
    count: int,
    hardest: int | None,
    device: str,
    as_json: bool,
    **where: Any,
) -> None:
    """Draw where a network looks in query images, one PNG a query: part boxes with attention, heatmaps of Fg and Fp.

    They go to RUNS/DATASET/RECIPE/SPLIT/heatmaps, with attention.png, the mean attention of every part. A heatmap is
    the mean over the channels of the network's map.

    \b
    Example:
      python cli.py heatmaps --dataset veri --recipe pgan --compare grid --hardest 10
    """
    from data_cache.base.devices import choose_device
    from reid.report.heatmap_pictures import glances, write_heatmaps
    from reid.report.ranked import lists_of
    from reid.report.statistics import write_attention_chart

    choice = chosen_queries(queries, count, hardest)
    shown = evaluated_runs(**where)
    names = [found.query for found in lists_of(shown[:1], choice, top_k=1)[0]]
    folder = shown[0].test_folder / "heatmaps"
    written = write_heatmaps(glances(shown, names, device=choose_device(device)), folder, names)
    chart = write_attention_chart(shown[0], folder / "attention.png")
    paths = [str(path) for path in (*written, chart) if path is not None]
    click.echo(json.dumps(paths) if as_json else "\n".join(paths))
