"""The closing table of a soak: a row for each fault that was tried."""

import sys
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from rich.console import Console
from rich.table import Table


class Row(NamedTuple):
    """A fault: how often it was tried, and how often something was lost."""

    fault: str
    tries: int
    lost: int


def end_with(rows: Sequence[Row], title: str = "") -> NoReturn:
    """Print the table and its sums, and exit with 1 if anything was lost."""
    table = Table("fault", "tries", "survived", "lost", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    total = Row("all", sum(row.tries for row in rows), sum(row.lost for row in rows))
    for row in (*rows, total):
        if row is total:
            table.add_section()
        table.add_row(row.fault, *(f"{count:,}" for count in (row.tries, row.tries - row.lost, row.lost)))
    Console(width=100).print(table)
    sys.exit(any(row.lost for row in rows))
