"""`make bench`: prints a table in which every row compares two things measured in the same run on the same machine."""

from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks.export import export_rows
from benchmarks.gallery import gallery_rows
from benchmarks.image_loading import image_loading_rows
from benchmarks.part_attention import part_attention_rows
from benchmarks.part_cache import part_cache_rows
from benchmarks.ranking import ranking_rows
from benchmarks.rendered import render
from benchmarks.reranking import reranking_rows
from benchmarks.stage_one import stage_one_rows
from benchmarks.stage_two import stage_two_rows
from benchmarks.whole_job import whole_job_rows
from data_cache.base.devices import choose_device, describe_device, keep_freed_memory

WORKERS = 2


def main() -> None:
    """Run all benchmarks and print their table."""
    keep_freed_memory()  # as the training commands do
    device = choose_device("auto")
    title = " and ".join(describe_device(name) for name in sorted({"cpu", device}))
    table = Table("what", "ours", "compared with", "ratio", "target", title=f"on {title}")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        network = render(folder, WORKERS)
        for row in (
            *part_attention_rows(device),
            *stage_one_rows(folder, network),
            *part_cache_rows(folder),
            *image_loading_rows(folder),
            *stage_two_rows(folder, device),
            *whole_job_rows(folder, device),
            *export_rows(folder),
            *ranking_rows(device),
            *reranking_rows(),
            *gallery_rows(),
        ):
            table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
