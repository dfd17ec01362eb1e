"""`make soak`: kills, failing storage, varied run conditions, mutated files and a loaded service; then one table."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from soak.crash import crash
from soak.fuzz import fuzz
from soak.rows import Row, end_with
from soak.sameness import sameness
from soak.service import service
from soak.storage import storage

KILLS = 50
SHARES = {"crash": 0.5, "storage": 0.17, "sameness": 0.1, "fuzz": 0.07, "service": 0.12}  # of the time, roughly


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1), default=18.0, show_default=True, help="For all, roughly.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for what was lost.")
def main(minutes: float, seed: int, findings: Path | None) -> None:
    """Try every kind of fault for its share of the time, print the table, and exit with 1 if anything was lost."""
    kinds: dict[str, Callable[..., list[Row]]] = {
        "crash": partial(crash, KILLS, seed, findings=findings),
        "storage": partial(storage, seed=seed),
        "sameness": partial(sameness, seed=seed, findings=findings),
        "fuzz": partial(fuzz, seed=seed, findings=findings),
        "service": partial(service, seed=seed),
    }
    rows, started = [], time.monotonic()
    for kind, soak in kinds.items():
        before = time.monotonic()
        found = soak(seconds=60 * minutes * SHARES[kind])
        tries, lost = sum(row.tries for row in found), sum(row.lost for row in found)
        click.echo(f"{kind}: {tries:,} tries, {lost:,} lost, {time.monotonic() - before:.0f} s")
        rows += found
    end_with(rows, f"{(time.monotonic() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
