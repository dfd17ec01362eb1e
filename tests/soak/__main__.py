"""`make soak`: crashes, storage that fails, what must change no answer, spoilt files; then one table of all of it."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from soak.crash import crash
from soak.fuzz import Row, fuzz
from soak.sameness import sameness
from soak.storage import storage

KILLS = 50
SHARES = {"crash": 0.55, "storage": 0.2, "sameness": 0.12, "fuzz": 0.08}  # of the time; what is under way is finished


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1), default=18.0, show_default=True, help="For all; aimed at.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for what is found.")
def main(minutes: float, seed: int, findings: Path | None) -> None:
    """Try every kind of fault for its share of the time, print the table, and end with 1 where something was lost."""
    kinds: dict[str, Callable[..., list[Row]]] = {
        "crash": partial(crash, KILLS, seed, findings=findings),
        "storage": partial(storage, seed=seed),
        "sameness": partial(sameness, seed=seed, findings=findings),
        "fuzz": partial(fuzz, seed=seed, findings=findings),
    }
    rows, started = [], time.monotonic()
    for kind, attempt in kinds.items():
        begun = time.monotonic()
        found = attempt(seconds=60 * minutes * SHARES[kind])
        tries, lost = sum(row.tries for row in found), sum(row.lost for row in found)
        click.echo(f"{kind}: {tries:,} tries, {lost:,} lost, {time.monotonic() - begun:.0f} s")
        rows += found
    Console(width=100).print(table_of(rows, time.monotonic() - started))
    sys.exit(any(row.lost for row in rows))


def table_of(rows: Sequence[Row], seconds: float) -> Table:
    """Return the closing table: a row a fault, and their sums."""
    table = Table("fault", title=f"{seconds / 60:.1f} minutes", show_footer=True)
    table.columns[0].footer = "all"
    for name in ("tries", "survived", "lost"):
        table.add_column(name, footer=f"{sum(getattr(row, name) for row in rows):,}", justify="right")
    for row in rows:
        table.add_row(row.fault, f"{row.tries:,}", f"{row.survived:,}", f"{row.lost:,}")
    return table


if __name__ == "__main__":
    main()
