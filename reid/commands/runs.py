"""The commands `runs` and `clean`: what is in the runs folder, and what of it can go."""

import json
from pathlib import Path

import click

from data_cache.base.options import json_option, remedy_command, runs_option
from reid.runs import is_path


@click.command("runs")
@runs_option
@json_option
def runs_command(runs: Path, as_json: bool) -> None:
    """List the runs: data set, name, network, epochs, newest score, size and date, the newest last.

    The name goes to --run of `evaluate`, `report`, `serve` and other commands; without --run they take the newest.

    \b
    Examples:
      python cli.py runs
      python cli.py runs --json
    """
    from rich.markup import escape
    from rich.table import Table

    from data_cache.base.progress import print_tables
    from reid.evaluation.run_list import list_runs

    found = list_runs(runs)
    if as_json:
        click.echo(json.dumps([run.to_dict() for run in found], indent=2))
        return
    if not found:
        click.echo(f"{runs}: no runs yet; {remedy_command('train')} makes one")
        return
    table = Table()
    for heading in ("data set", "name", "attention, backbone", "epochs", "test", "mAP", "CMC@1", "MB", "changed (UTC)"):
        table.add_column(heading, overflow="fold")
    for run in found:
        epochs = "" if run.epochs is None else f"{run.epochs} of {run.planned}"
        scores = ["" if value is None else f"{100 * value:.1f}" for value in (run.score, run.cmc1)]
        cells = (run.dataset, run.name, run.network or "", epochs, run.test or "", *scores, f"{run.megabytes:,.0f}")
        table.add_row(*map(escape, cells), run.changed[:16].replace("T", " "))
    print_tables(table)


@click.command("clean")
@runs_option
@click.option("--run", "chosen", multiple=True, metavar="DATASET/NAME|PATH", help="Only of this run; repeatable.")
@click.option("--yes", is_flag=True, help="Remove the files; without it they are only shown.")
@json_option
def clean_command(runs: Path, chosen: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Show, and with --yes remove, the files that finished runs no longer need.

    These are the checkpoints to resume from, and decoded images. The best checkpoint, scores, features, galleries and
    logs stay, and an unfinished training keeps everything.

    \b
    Examples:
      python cli.py clean
      python cli.py clean --run synthetic/demo --yes
    """
    from data_cache.base.errors import UserError
    from reid.evaluation.run_list import remove_unneeded, unneeded_files

    folders = [Path(name) if is_path(name) and Path(name).is_dir() else runs / name for name in chosen]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        raise UserError(f"{missing[0]}: no such run; {remedy_command('runs')} lists them")
    files = unneeded_files(runs, folders or None)
    refused: list[str] = []
    if yes:
        files, refused = remove_unneeded(files)
    if as_json:
        rows = [{"file": str(file.path), "megabytes": file.megabytes, "reason": file.reason} for file in files]
        click.echo(json.dumps({"removed": yes, "files": rows, "refused": refused}, indent=2))
        return
    for file in files:
        click.echo(f"{file.megabytes:8,.1f} MB  {file.path}: {file.reason}")
    for reason in refused:
        click.echo(reason, err=True)
    if not files:
        click.echo(f"{runs}: nothing to clean")
        return
    total = f"{sum(file.megabytes for file in files):,.1f} MB in {len(files)} files"
    click.echo(f"{total} removed" if yes else f"{total} can go; --yes removes them")
