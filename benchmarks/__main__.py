"""`make bench`: every row is one thing against another, measured in the same run on the same machine."""

from rich.console import Console
from rich.table import Table

from benchmarks.part_attention import part_attention_rows
from data_cache.devices import describe_device


def main() -> None:
    """Run all benchmarks and print their table."""
    table = Table("what", "ours", "compared with", "ratio", "target", title=f"on {describe_device('cpu')}")
    for row in part_attention_rows():
        table.add_row(*row)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
