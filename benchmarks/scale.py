"""The cost of a million, a hundred million and ten billion images: measured rates, multiplied by the number of images.

`python -m benchmarks.scale --rates docs/scale.json` prints both tables from the rates in that file; if it is missing,
the rates are measured and written first.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.scale_rates import CHANNELS, Rates, measure
from data_cache.base.files import read_json, write_json

SIZES = (1_000_000, 100_000_000, 10_000_000_000)
UNITS = ((365.25 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Cost:
    """The cost of `images` on one core like the measured one, in seconds, bytes, and queries per second."""

    images: int
    stage_one: float
    features: float
    merge: float
    merge_memory: float
    cache: float
    feature_file: float
    exact: float
    exact_memory: float
    lists: float
    lists_memory: float


def cost(images: int, rates: Rates) -> Cost:
    """Return the cost of that many images: proportional, except for the rate of IVF-PQ.

    Its number of lists is the square root of the images. If as many are probed, a query takes longer in proportion to
    the length of a list, which is again the square root.
    """
    factor = images / rates.searched
    return Cost(
        images=images,
        stage_one=images / rates.stage_one,
        features=images / rates.features,
        merge=images * rates.merge_seconds,
        merge_memory=images * rates.merge_bytes,
        cache=images * rates.cache_bytes,
        feature_file=images * rates.feature_bytes,
        exact=rates.exact / factor,
        exact_memory=images * rates.vector_bytes,
        lists=rates.lists / math.sqrt(factor),
        lists_memory=images * (rates.vector_bytes + rates.index_bytes),
    )


def duration(seconds: float) -> str:
    """Return a time in its largest unit, with two digits.

    >>> duration(5400)
    '1.5 h'
    """
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    return f"{_two_digits(seconds / size)} {unit}"


def amount(size: float) -> str:
    """Return bytes in their largest decimal unit, with two digits.

    >>> amount(2_048_000_000)
    '2 GB'
    """
    power = min(5, max(0, math.floor(math.log10(max(size, 1)) / 3)))
    return f"{_two_digits(size / 1000**power)} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def _two_digits(value: float) -> str:
    """Return a number with two significant digits, or rounded to a whole number if that has more."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def measured_table(rates: Rates) -> str:
    """Return the measured rates as a Markdown table."""
    rows = [
        (
            "stage one, files to shards",
            f"{rates.stage_one:.0f} images per core-second",
            f"{rates.stage_one_images:,} images",
        ),
        (
            "features, ResNet-50 at 224 pixels",
            f"{rates.features:.1f} images per core-second",
            f"{rates.features_images:,} images",
        ),
        ("`parts.h5`", f"{rates.cache_bytes:.0f} bytes per image", f"{rates.cache_images:,} images, 16 parts each"),
        ("`cache merge`: time", f"{rates.merge_seconds * 1e6:.0f} µs per image", "the same"),
        ("`cache merge`: memory", f"{rates.merge_bytes:.0f} bytes per image", "the same"),
        ("feature file", f"{rates.feature_bytes:.0f} bytes per image", f"{rates.feature_images:,} x {CHANNELS}"),
        ("exact search", f"{rates.exact:,.0f} queries per core-second", f"{rates.searched:,} x {CHANNELS}"),
        ("exact search: memory", f"{rates.vector_bytes:.0f} bytes per image", "the same"),
        ("IVF-PQ search", f"{rates.lists:,.0f} queries per core-second, recall@10 {rates.recall:.3f}", "the same"),
        ("IVF-PQ: additional memory", f"{rates.index_bytes:.0f} bytes per image", "the same"),
    ]
    head = ["| what | measured | with |", "|---|---:|---|"]
    return "\n".join(head + [f"| {' | '.join(row)} |" for row in rows])


def cost_table(sizes: Sequence[int], rates: Rates, cores: int) -> str:
    """Return the costs of `sizes` as a Markdown table, one column per size; times on one core and on `cores`."""
    costs = [cost(size, rates) for size in sizes]
    rows = {
        "stage one, one core": [duration(one.stage_one) for one in costs],
        f"stage one, {cores:,} cores": [duration(one.stage_one / cores) for one in costs],
        "features, one core": [duration(one.features) for one in costs],
        f"features, {cores:,} cores": [duration(one.features / cores) for one in costs],
        "disk: `parts.h5`": [amount(one.cache) for one in costs],
        "disk: features": [amount(one.feature_file) for one in costs],
        "`cache merge` into one: time": [duration(one.merge) for one in costs],
        "`cache merge` into one: memory": [amount(one.merge_memory) for one in costs],
        "exact search: memory": [amount(one.exact_memory) for one in costs],
        "exact search: per query": [query_duration(one.exact) for one in costs],
        "IVF-PQ: memory": [amount(one.lists_memory) for one in costs],
        "IVF-PQ: per query": [query_duration(one.lists) for one in costs],
    }
    head = [f"| extrapolated | {' | '.join(f'{size:,}' for size in sizes)} |", "|---|" + "---:|" * len(sizes)]
    return "\n".join(head + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()])


def query_duration(queries_per_second: float) -> str:
    """Return the time of one query."""
    if queries_per_second < 1:
        return duration(1 / queries_per_second)
    return f"{_two_digits(1000 / queries_per_second)} ms"


@click.command()
@click.option("--rates", "file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JSON of rates.")
@click.option("--images", "sizes", type=click.IntRange(1), multiple=True, default=SIZES, show_default=True)
@click.option("--cores", type=click.IntRange(1), default=1000, show_default=True, help="Cores that share the work.")
def main(file: Path, sizes: tuple[int, ...], cores: int) -> None:
    """Print both tables; if the file of rates is missing, measure them first, which takes minutes, and write it."""
    if not file.exists():
        write_json(file, asdict(measure()))
    rates = Rates(**read_json(file))
    click.echo(f"{measured_table(rates)}\n\n{cost_table(sizes, rates, cores)}")


if __name__ == "__main__":
    main()
