"""What a soak tells: a row for each fault that was tried, and a table of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from rich.console import Console
from rich.table import Table

COUNTS = ("tries", "survived", "lost")


@dataclass(frozen=True)
class Row:
    """One fault tried: how often, how often it was survived, how often something was lost."""

    fault: str
    tries: int
    survived: int
    lost: int


def table_of(rows: Sequence[Row], title: str = "") -> Table:
    """Return a row for each fault, and their sums."""
    table = Table("fault", title=title, show_footer=True)
    table.columns[0].footer = "all"
    for name in COUNTS:
        table.add_column(name, footer=f"{sum(getattr(row, name) for row in rows):,}", justify="right")
    for row in rows:
        table.add_row(row.fault, *(f"{getattr(row, name):,}" for name in COUNTS))
    return table


def end_with(rows: Sequence[Row], title: str = "") -> NoReturn:
    """Print the table, and end with 1 where something was lost."""
    Console(width=100).print(table_of(rows, title))
    sys.exit(any(row.lost for row in rows))
