"""The command `report`."""

from typing import Any

import click

from data_cache.base.options import device_option, given_options
from reid.commands.options import evaluated_runs, evaluated_runs_options

SHOWN = ("--queries", "--top", "--heatmaps", "--explained")  # options that say how much the page shows


@click.command("report")
@evaluated_runs_options
@click.option("--queries", type=click.IntRange(1, 200), default=12, show_default=True, help="Ranked lists to show.")
@click.option("--top", type=click.IntRange(1, 50), default=8, show_default=True, help="Gallery images in each list.")
@click.option("--heatmaps", type=click.IntRange(0, 50), default=6, show_default=True, help="Queries with heatmaps.")
@click.option(
    "--explained",
    type=click.IntRange(0, 1000),
    default=24,
    show_default=True,
    help="Queries in which parts are covered, to see which tell vehicles apart; 0 leaves that out.",
)
@device_option
def report_command(queries: int, top: int, heatmaps: int, explained: int, device: str, **selection: Any) -> None:
    """Write an HTML page of an evaluated run: scores, decisions, curves, ablation tables, parts, lists, errors.

    \b
    Examples:
      python cli.py report --run demo
      python cli.py report --dataset veri --run pgan --compare grid
    """
    from data_cache.base.devices import choose_device
    from reid.report.page import write_report
    from reid.runs import ablation_folder

    run, *others = evaluated_runs(**selection)
    page = write_report(
        run,
        others,
        detector_folder=selection["runs"] / "detector",
        ablation_folder=ablation_folder(selection["runs"], run.dataset.name),
        queries=queries,
        top_k=top,
        heatmaps=heatmaps,
        explained=explained,
        device=choose_device(device),
        target=run.test_folder / "report.html",
        shown={name: value for name, value in given_options().items() if name in SHOWN},
    )
    click.echo(page)
