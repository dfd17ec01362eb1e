"""The rates that `benchmarks.scale` multiplies, measured on this machine's CPU with the workloads of `make bench`.

They are in core-seconds of all processes, which other work on the machine changes little.
"""

import math
import resource
import tempfile
import tracemalloc
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gallery import EXACT_QUERIES, QUERIES, K, random_features
from benchmarks.measure import Call
from benchmarks.part_cache import IMAGES as CACHED
from benchmarks.part_cache import random_parts
from benchmarks.rendered import render, rendered_job
from benchmarks.stage_one import BATCH, WORKERS
from benchmarks.stage_two import IMAGES, TOP_D, feature_calls
from data_cache.base.devices import describe_device
from data_cache.parts.cache import write_parts
from data_cache.parts.merging import Source, merge_caches
from detect.extraction.run import write_shards
from detect.model.detector import Detector
from reid.features.file import Features, write_features
from vehicle_reid.gallery.approximate import FaissSearch
from vehicle_reid.gallery.search import ExactSearch, recall_sample, search

CHANNELS = 512
EMBEDDED, SEARCHED = 20_000, 100_000


@dataclass(frozen=True)
class Rates:
    """Measured rates and the numbers of images they were measured with; times are core-seconds of `machine`."""

    machine: str
    stage_one: float  # images per core-second, files to shards
    stage_one_images: int
    features: float  # images per core-second, ResNet-50, files to features
    features_images: int
    cache_bytes: float  # parts.h5, per image
    merge_seconds: float  # per image: read, join and write shards
    merge_bytes: float  # peak memory, per image
    cache_images: int
    feature_bytes: float  # feature file, per image
    feature_images: int
    exact: float  # queries per core-second, exact search
    lists: float  # queries per core-second, IVF-PQ
    vector_bytes: float  # memory of exact search, per image
    index_bytes: float  # additional memory of IVF-PQ, per image
    recall: float  # of IVF-PQ's best ten
    searched: int  # images in the gallery of both

    def __post_init__(self) -> None:
        """Raise ValueError if a number is not finite and positive."""
        for name, value in asdict(self).items():
            if not isinstance(value, str) and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, it must be a positive number")


def measure() -> Rates:
    """Measure all rates; takes minutes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rates = _network_rates(folder) | _cache_rates(folder) | _search_rates()
    return Rates(machine=describe_device("cpu"), **rates)


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


def _search_rates() -> dict[str, Any]:
    """Measure queries per core-second, and the memory of the vectors and of a faiss index."""
    features = random_features(SEARCHED + QUERIES, CHANNELS)
    query, features = features[SEARCHED:], features[:SEARCHED]
    exact, lists = ExactSearch(features), FaissSearch.build("ivfpq", features, np.arange(SEARCHED))
    return {
        "exact": EXACT_QUERIES / core_seconds(partial(search, exact, query[:EXACT_QUERIES], K)),
        "lists": QUERIES / core_seconds(partial(search, lists, query, K)),
        "vector_bytes": features.nbytes / SEARCHED,
        "index_bytes": len(lists.to_bytes()) / SEARCHED,
        "recall": recall_sample(features, K).recall(lists),
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
