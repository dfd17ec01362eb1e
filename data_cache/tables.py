"""Tables for the reader: as wide as the terminal, or as wide as needed where the output goes to a file or a pipe."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 120  # characters; where there is no terminal, rich would take 80


def print_tables(*tables: "Table") -> None:
    """Print tables on standard output."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    for table in tables:
        console.print(table)
