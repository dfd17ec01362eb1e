"""The command `check`: a data set's sizes, files and faults, before anything is made of it."""

import json
from pathlib import Path

import click

from data_cache.base.options import data_root_option, dataset_option, json_option, workers_option


@click.command("check")
@dataset_option
@data_root_option
@click.option(
    "--strict", is_flag=True, help="Decode every image, and look for files of the same bytes in training and test."
)
@workers_option
@json_option
def check(dataset: str, data_root: Path, strict: bool, workers: int, as_json: bool) -> None:
    """Count a data set's images and vehicles, and look for what would spoil training or testing.

    The counts stand beside those of the authors' lists and of the PGAN paper; a difference is a warning. Images that
    are missing, empty or unreadable, entries listed twice, vehicles in both training and test and queries without a
    match are faults, and end the command with 1. Of VeRi-776, gt_index.txt and jk_index.txt are compared with our own
    answers where they are there.

    \b
    Examples:
      python cli.py check --dataset synthetic
      python cli.py check --dataset veriwild --strict --workers 8 --json
    """
    from data_cache.base.errors import UserError, printable
    from data_cache.base.progress import print_tables
    from data_cache.check.check import check_dataset, check_table
    from data_cache.datasets.catalogue import load_dataset

    found = check_dataset(load_dataset(dataset, data_root), strict=strict, workers=workers)
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        print_tables(check_table(found))
        for line in (*(f"warning: {line}" for line in found.warnings), *found.remarks):
            click.echo(printable(line))
    if found.faults:
        count = len(found.faults)
        raise UserError(f"{found.root}: {count} {'fault' if count == 1 else 'faults'}: {'; '.join(found.faults)}")
