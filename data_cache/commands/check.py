"""The command `check`."""

import json
from pathlib import Path

import click

from data_cache.base.options import data_root_option, dataset_option, json_option, workers_option


@click.command("check")
@dataset_option
@data_root_option
@click.option(
    "--strict", is_flag=True, help="Decode every image, and find files with the same bytes in training and test."
)
@workers_option
@json_option
def check(dataset: str, data_root: Path, strict: bool, workers: int, as_json: bool) -> None:
    """Count a data set's images and vehicles, and find problems that would spoil training or testing.

    Counts are shown beside those of the authors' lists and of the PGAN paper; a difference is a warning. Missing,
    empty and unreadable images, entries listed twice, vehicles in both training and test, and tests without any match
    are errors; the exit code is then 1. For VeRi-776, gt_index.txt and jk_index.txt are compared with our own answers
    if they exist.

    \b
    Examples:
      python cli.py check --dataset synthetic
      python cli.py check --dataset veriwild --strict --workers 8 --json
    """
    from data_cache.base.errors import UserError, printable
    from data_cache.base.progress import print_tables
    from data_cache.check.check import check_dataset, check_table
    from data_cache.datasets.catalogue import load_dataset

    result = check_dataset(load_dataset(dataset, data_root), strict=strict, workers=workers)
    if as_json:
        click.echo(json.dumps(result.to_dict()))
    else:
        print_tables(check_table(result))
        for line in (*(f"warning: {line}" for line in result.warnings), *result.notes):
            click.echo(printable(line))
    if result.errors:
        count = f"{len(result.errors)} {'error' if len(result.errors) == 1 else 'errors'}"
        raise UserError(f"{result.dataset.root}: {count}: {'; '.join(result.errors)}")
