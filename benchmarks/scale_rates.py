"""The rates that `benchmarks.scale` multiplies, measured on this machine's CPU with what `make bench` measures.

In seconds of a core, of all processes: work beside it on the machine changes them little, and machines add up.
"""

import math
import resource
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gallery import EXACT_QUERIES, QUERIES, K, random_features
from benchmarks.part_cache import IMAGES as CACHED
from benchmarks.part_cache import many_parts
from benchmarks.pictures import render, rendered_job
from benchmarks.stage_one import BATCH, WORKERS
from benchmarks.stage_two import DEPTH, IMAGES, feature_calls
from data_cache.base.devices import describe_device
from data_cache.parts.cache import write_parts
from data_cache.parts.merging import Source, merge_caches
from detect.extraction.run import write_shards
from detect.model.detector import Detector
from reid.features.file import Features, write_features
from vehicle_reid.gallery.approximate import FaissSearch
from vehicle_reid.gallery.search import ExactSearch, sample, search

CHANNELS = 512
EMBEDDED, SEARCHED = 20_000, 100_000


@dataclass(frozen=True)
class Rates:
    """What was measured, with how many images; seconds are those of one core of that machine."""

    machine: str
    stage_one: float  # images in a second of a core, files to shards
    stage_one_images: int
    features: float  # the same, ResNet-50, files to vectors
    features_images: int
    cache_bytes: float  # of parts.h5, an image
    merge_seconds: float  # an image: shards read, joined and written
    merge_bytes: float  # of memory at its peak, an image
    cache_images: int
    feature_bytes: float  # of the feature file, an image
    feature_images: int
    exact: float  # queries in a second of a core
    lists: float  # the same of IVF-PQ
    vector_bytes: float  # of memory that exact search holds, an image
    index_bytes: float  # that IVF-PQ holds besides, an image
    recall: float  # of IVF-PQ's best ten
    searched: int  # images in the gallery of both

    def __post_init__(self) -> None:
        """Raise ValueError where something cannot be."""
        for name, value in asdict(self).items():
            if not isinstance(value, str) and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, it must be a positive number")


def measure() -> Rates:
    """Measure all rates; it takes minutes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        found = _network_rates(folder) | _cache_rates(folder) | _search_rates()
    return Rates(machine=describe_device("cpu"), **found)


def _network_rates(folder: Path) -> dict[str, Any]:
    """Stage one with the CPU's default detector, and features of ResNet-50, of rendered pictures from their files."""
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
    """Bytes of both files, and what `cache merge` takes: time, and apart from it memory, whose tracing takes time."""
    parts, cache = many_parts(), folder / "many.h5"
    write_parts(cache, parts)

    def merge() -> None:
        write_parts(folder / "merged.h5", merge_caches([Source(cache)]))

    seconds = core_seconds(merge)
    tracemalloc.start()
    merge()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    file, weights = folder / "features.safetensors", np.zeros((EMBEDDED, DEPTH), np.float32)
    write_features(file, Features(parts.names[:EMBEDDED], random_features(EMBEDDED, CHANNELS), weights, {}))
    return {
        "cache_bytes": cache.stat().st_size / CACHED,
        "cache_images": CACHED,
        "merge_seconds": seconds / CACHED,
        "merge_bytes": peak / CACHED,
        "feature_bytes": file.stat().st_size / EMBEDDED,
        "feature_images": EMBEDDED,
    }


def _search_rates() -> dict[str, Any]:
    """Queries a second, and memory: of vectors, and of what an index of faiss holds besides."""
    features = random_features(SEARCHED + QUERIES, CHANNELS)
    query, features = features[SEARCHED:], features[:SEARCHED]
    exact, lists = ExactSearch(features), FaissSearch.build("ivfpq", features, np.arange(SEARCHED))
    return {
        "exact": EXACT_QUERIES / core_seconds(partial(search, exact, query[:EXACT_QUERIES], K)),
        "lists": QUERIES / core_seconds(partial(search, lists, query, K)),
        "vector_bytes": features.nbytes / SEARCHED,
        "index_bytes": len(lists.written()) / SEARCHED,
        "recall": sample(features, K).recall(lists),
        "searched": SEARCHED,
    }


def core_seconds(call: Callable[[], object]) -> float:
    """Return what a second call of `call` takes of all cores, its ended processes included."""
    call()
    before = _used()
    call()
    return _used() - before


def _used() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
