"""The cost of a million, a hundred million and ten billion images: measured rates, multiplied by the number of images.

`python -m benchmarks.scale --rates docs/scale.json` prints both tables from the rates in that file; if it is missing,
the rates are measured and written first. They are measured on this machine's CPU with the workloads of `make bench`, in
core-seconds of all processes, which other work on the machine changes little.
"""

import math
import resource
import tempfile
import tracemalloc
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.gallery import EXACT_QUERIES, MODEL, QUERIES, K, entries_of, random_features
from benchmarks.measure import Call, folder_bytes
from benchmarks.part_cache import IMAGES as CACHED
from benchmarks.part_cache import random_parts
from benchmarks.rendered import render, rendered_job
from benchmarks.stage_one import BATCH, WORKERS
from benchmarks.stage_two import IMAGES, TOP_D, feature_calls
from data_cache.base.devices import describe_device
from data_cache.base.files import read_json, write_json
from data_cache.parts.cache import write_parts
from data_cache.parts.merging import Source, merge_caches
from detect.extraction.shards import write_shards
from detect.model.detector import Detector
from reid.features.file import Features, write_features
from vehicle_reid.gallery.lance.store import LanceStore
from vehicle_reid.gallery.search import ExactSearch, search, share_found

SIZES = (1_000_000, 100_000_000, 10_000_000_000)
CHANNELS, EMBEDDED, SEARCHED = 512, 20_000, 100_000
TIMES = ((365.25 * 86400, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"))
BYTES = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))
MEASURED = """\
| what | measured | with |
|---|---:|---|
| stage one, files to shards | {stage_one:.0f} images per core-second | {stage_one_images:,} images |
| features, ResNet-50 at 224 pixels | {features:.1f} images per core-second | {features_images:,} images |
| `parts.h5` | {cache_bytes:.0f} bytes per image | {cache_images:,} images, 16 parts each |
| `cache merge`: time | {merge_microseconds:.0f} µs per image | the same |
| `cache merge`: memory | {merge_bytes:.0f} bytes per image | the same |
| feature file | {feature_bytes:.0f} bytes per image | {feature_images:,} x {channels} |
| exact search | {exact:,.0f} queries per core-second | {searched:,} x {channels} |
| exact search: memory | {vector_bytes:.0f} bytes per image | the same |
| approximate search | {lists:,.0f} queries per core-second, recall@10 {recall:.3f} | the same |
| a stored gallery with its index | {store_bytes:.0f} bytes per image | the same |"""


@click.command()
@click.option("--rates", "file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="JSON of rates.")
@click.option("--images", "sizes", type=click.IntRange(1), multiple=True, default=SIZES, show_default=True)
@click.option("--cores", type=click.IntRange(1), default=1000, show_default=True, help="Cores that share the work.")
def main(file: Path, sizes: tuple[int, ...], cores: int) -> None:
    """Print both tables; if the file of rates is missing, measure them first, which takes minutes, and write it."""
    if not file.exists():
        with tempfile.TemporaryDirectory() as folder:
            write_json(file, measured_rates(Path(folder)))
    rates = read_json(file)
    click.echo(f"{measured_table(rates)}\n\n{cost_table(sizes, rates, cores)}")


def measured_table(rates: Mapping[str, Any]) -> str:
    """Return the measured rates as a Markdown table."""
    return MEASURED.format(**rates, channels=CHANNELS, merge_microseconds=1e6 * rates["merge_seconds"])


def cost_table(sizes: Sequence[int], rates: Mapping[str, Any], cores: int) -> str:
    """Return the costs of `sizes` as a Markdown table, one column per size; times on one core and on `cores`.

    Costs are proportional to the images, except for the time of an approximate query. Its number of lists is the square
    root of the images. If as many are probed, a query takes longer in proportion to the length of a list, which is
    again the square root.
    """
    per_image = [
        ("stage one, one core", TIMES, 1 / rates["stage_one"]),
        (f"stage one, {cores:,} cores", TIMES, 1 / rates["stage_one"] / cores),
        ("features, one core", TIMES, 1 / rates["features"]),
        (f"features, {cores:,} cores", TIMES, 1 / rates["features"] / cores),
        ("disk: `parts.h5`", BYTES, rates["cache_bytes"]),
        ("disk: features", BYTES, rates["feature_bytes"]),
        ("`cache merge` into one: time", TIMES, rates["merge_seconds"]),
        ("`cache merge` into one: memory", BYTES, rates["merge_bytes"]),
        ("exact search: memory", BYTES, rates["vector_bytes"]),
        ("exact search: per query", TIMES, 1 / rates["exact"] / rates["searched"]),
        ("disk: gallery with its index", BYTES, rates["store_bytes"]),
    ]
    rows = [[name, *(in_units(size * cost, units) for size in sizes)] for name, units, cost in per_image]
    queries = [math.sqrt(size / rates["searched"]) / rates["lists"] for size in sizes]
    rows.append(["approximate search: per query", *(in_units(seconds, TIMES) for seconds in queries)])
    head = ["| extrapolated | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---|" + "---:|" * len(sizes)]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def in_units(value: float, units: Sequence[tuple[float, str]]) -> str:
    """Return a value in its largest unit, with two significant digits, or as a whole number if that has more.

    >>> in_units(5400, TIMES), in_units(2_048_000_000, BYTES)
    ('1.5 h', '2 GB')
    """
    size, unit = next((one for one in units if value >= one[0]), units[-1])
    value /= size
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"


def measured_rates(folder: Path) -> dict[str, Any]:
    """Measure all rates; takes minutes. `MEASURED` has their units."""
    return {
        "machine": describe_device("cpu"),
        **_network_rates(folder),
        **_cache_rates(folder),
        **_search_rates(folder),
    }


def _network_rates(folder: Path) -> dict[str, Any]:
    """Measure stage one with the CPU's default detector, and features of ResNet-50, on rendered pictures."""
    network = render(folder, WORKERS)
    job = rendered_job(folder)
    detector = Detector(network, job.recipe, "cpu")
    detect = partial(write_shards, detector, job, job.shards, workers=WORKERS, batch_size=BATCH)
    return {
        "stage_one": len(job.names) / core_seconds(detect),
        "stage_one_images": len(job.names),
        "features": IMAGES / core_seconds(feature_calls(folder, "cpu")["features"]),
        "features_images": IMAGES,
    }


def _cache_rates(folder: Path) -> dict[str, Any]:
    """Measure both files' sizes, and `cache merge`: its time, and separately its memory, because tracing is slow."""
    parts, cache = random_parts(), folder / "many.h5"
    write_parts(cache, parts)

    def merge() -> None:
        write_parts(folder / "merged.h5", merge_caches([Source(cache)]))

    seconds = core_seconds(merge)
    tracemalloc.start()
    merge()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    file, attention = folder / "features.safetensors", np.zeros((EMBEDDED, TOP_D), np.float32)
    write_features(file, Features(parts.names[:EMBEDDED], random_features(EMBEDDED, CHANNELS), attention, {}))
    return {
        "cache_bytes": cache.stat().st_size / CACHED,
        "cache_images": CACHED,
        "merge_seconds": seconds / CACHED,
        "merge_bytes": peak / CACHED,
        "feature_bytes": file.stat().st_size / EMBEDDED,
        "feature_images": EMBEDDED,
    }


def _search_rates(folder: Path) -> dict[str, Any]:
    """Measure queries per core-second, the memory of the vectors, and the disk of a stored gallery."""
    features = random_features(SEARCHED + QUERIES, CHANNELS)
    query, features = features[SEARCHED:], features[:SEARCHED]
    exact, few = ExactSearch(features), query[:EXACT_QUERIES]
    address = folder / "gallery"
    store = LanceStore.create(str(address), entries_of(features, "image"), model=MODEL, index="approximate")
    found, wanted = store.best(few, K).ids, search(exact, few, K).rows
    return {
        "exact": EXACT_QUERIES / core_seconds(partial(search, exact, few, K)),
        "lists": EXACT_QUERIES / core_seconds(partial(store.best, few, K)),
        "vector_bytes": features.nbytes / SEARCHED,
        "store_bytes": folder_bytes(address) / SEARCHED,
        "recall": share_found(found, wanted),
        "searched": SEARCHED,
    }


def core_seconds(call: Call) -> float:
    """Return the CPU time of `call`, including its ended child processes; it runs once before to warm up."""
    call()
    before = _cpu_time()
    call()
    return _cpu_time() - before


def _cpu_time() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
