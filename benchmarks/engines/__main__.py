"""`python -m benchmarks.engines`: a table of the seconds that both ways take for the same jobs."""

import time
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.engines.jobs import Work, by_queue, by_shares, ideal, measured
from data_cache.engine.session import ray_session


@click.command()
@click.option("--workers", type=click.IntRange(2), default=4, show_default=True)
@click.option("--jobs", type=click.IntRange(8), default=80, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Time of a job.")
@click.option("--slow", type=click.FloatRange(1), default=4.0, show_default=True, help="Factor of the slow worker.")
def main(workers: int, jobs: int, seconds: float, slow: float) -> None:
    """Measure and print; the start of Ray and of its workers is a row of its own."""
    plain = Work(Path(), workers, jobs, seconds)
    cases = {
        "all equal": plain,
        "one slow": replace(plain, slow=slow),
        "one killed": replace(plain, killed=True),
        "one slow, one killed": replace(plain, slow=slow, killed=True),
    }
    shares = {name: measured(by_shares, work) for name, work in cases.items()}
    table = Table("workers", "ideal", "Ray's queue", "fixed shares", "shares / queue")
    before = time.monotonic()
    with ray_session(workers):
        measured(by_queue, replace(plain, jobs=2 * workers))
        table.add_row("start of Ray", "", f"{time.monotonic() - before - 2 * seconds:.1f} s")
        for name, work in cases.items():
            queue = measured(by_queue, work)
            times = (f"{value:.1f} s" for value in (ideal(work), queue, shares[name]))
            table.add_row(name, *times, f"{shares[name] / queue:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
