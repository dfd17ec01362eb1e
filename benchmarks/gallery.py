"""Search in galleries, exact and approximate, beside a plain product; and what else a stored gallery takes.

By default the features are random clusters in a few dimensions, projected to many. `python -m benchmarks.gallery FILE`
uses the features of a file that `features` wrote, with random projections as often as needed; `--images` changes the
size. `--address http://HOST:PORT/COLLECTION` measures a gallery on a Milvus server, and leaves it there: the server may
build its index later, so that only a second run with the same options measures it.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import numpy as np
import torch

from benchmarks.measure import Call, Row, best_seconds, folder_bytes, in_new_process, own_peak_bytes
from reid.features.file import read_features
from reid.retrieval.ranking import Matrix
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.search import ExactSearch, search, share_found
from vehicle_reid.gallery.stores import gallery_folder, store_at

IMAGES, CHANNELS = 100_000, 512
LATENT, IMAGES_PER_VEHICLE, SPREAD, NOISE = 32, 20, 0.5, 0.1  # dimensions; spread within a vehicle
K, QUERIES, EXACT_QUERIES, ADDED, ROUNDS = 10, 1000, 64, 1000, 3
BLOCK = 2**16
MODEL = {"checkpoint": "0" * 64, "detector": None}


def random_features(count: int, channels: int) -> Matrix:
    """Return unit vectors (N, C): vehicles are clusters in `LATENT` dimensions, projected at random."""
    random = np.random.default_rng(0)
    projection = random.standard_normal((LATENT, channels), dtype=np.float32) / np.float32(LATENT**0.5)
    centres = random.standard_normal((1 + count // IMAGES_PER_VEHICLE, LATENT), dtype=np.float32)
    features = np.empty((count, channels), np.float32)
    for first in range(0, count, BLOCK):
        rows = np.arange(first, min(first + BLOCK, count))
        offsets = random.standard_normal((len(rows), LATENT), dtype=np.float32) * np.float32(SPREAD)
        noise = random.standard_normal((len(rows), channels), dtype=np.float32) * np.float32(NOISE)
        vectors = (centres[rows % len(centres)] + offsets) @ projection + noise
        features[rows] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return features


def gallery_rows(
    make_features: Callable[[int, int], Matrix] = random_features, images: int = IMAGES, address: str | None = None
) -> list[Row]:
    """Return the table's rows; `make_features` takes the numbers of images and channels.

    The gallery is made at the address, by default in a folder that is deleted.
    """
    features = make_features(images + ADDED + QUERIES, CHANNELS)
    gallery, added, query = np.split(features, [images, images + ADDED])
    with TemporaryDirectory() as folder:
        return _rows(address or f"{folder}/gallery", gallery, added, query)


def _rows(address: str, gallery: Matrix, added: Matrix, query: Matrix) -> list[Row]:
    what, few = f"{len(gallery):,} x {gallery.shape[1]}", query[:EXACT_QUERIES]
    exact, columns = ExactSearch(gallery), torch.from_numpy(gallery).T
    built = 0.0
    if store_at(address).exists(address):
        store = store_at(address).open(address, MODEL)
    else:
        started = time.perf_counter()
        store = store_at(address).create(address, entries_of(gallery, "image"), model=MODEL, index="approximate")
        built = time.perf_counter() - started
    found, wanted = store.best(few, K).ids, search(exact, few, K).rows
    recall = share_found(found, wanted)
    calls: dict[str, Call] = {
        "exact": partial(search, exact, few, K),
        "product": lambda: torch.topk(torch.from_numpy(few) @ columns, K),
        "store": partial(store.best, few, K),
        "store, one by one": lambda: [store.best(one[None], K) for one in few],
    }
    seconds = best_seconds(calls, ROUNDS)
    rate = {name: f"{len(few) / one:,.0f}" for name, one in seconds.items()}
    started = time.perf_counter()
    store.add(entries_of(added, "added"))
    appended = time.perf_counter() - started
    started = time.perf_counter()
    store.remove(entries_of(added, "added").names)
    removed = time.perf_counter() - started
    fresh = in_new_process(_search_once, store.address, query[:1])
    rows = [
        Row(
            f"exact search in {what}: queries/s",
            rate["exact"],
            f"one product and its top {K}: {rate['product']}",
            f"{seconds['exact'] / seconds['product']:.2f} x",
        ),
        Row(
            f"approximate search in a stored gallery of {what}: queries/s",
            f"{rate['store']}, one by one {rate['store, one by one']}; recall@{K} {recall:.3f}",
            f"exact search in memory: {rate['exact']}",
            f"{seconds['store'] / seconds['exact']:.2f} x",
        ),
        Row(
            f"the same: build, add {ADDED:,}, remove them, open and search once",
            f"{f'{built:.1f} s' if built else 'was there'}, {appended:.2f} s, {removed:.2f} s, {fresh.seconds:.2f} s",
        ),
        Row(
            "the same: peak memory of a process that opens it and searches once",
            f"{fresh.peak / 1e6:,.0f} MB",
            f"before that, with all packages loaded: {fresh.before / 1e6:,.0f} MB",
        ),
    ]
    folder = gallery_folder(address)
    if folder is not None:
        sizes = f"{folder_bytes(folder) / len(gallery):,.0f}, {gallery[0].nbytes:,}"
        rows.append(Row("the same: bytes on disk per image, of which the vector", sizes))
    return rows


class Fresh(NamedTuple):
    """What a search takes in a process of its own: seconds, and its peak memory in bytes before and after."""

    seconds: float
    before: int
    peak: int


def _search_once(address: str, query: Matrix) -> Fresh:
    """Open a stored gallery and search once."""
    before, started = own_peak_bytes(), time.perf_counter()
    store_at(address).open(address, MODEL).best(query, K)
    return Fresh(time.perf_counter() - started, before, own_peak_bytes())


def entries_of(features: Matrix, name: str) -> Entries:
    """Return images with these features (N, C) and no parts."""
    count = len(features)
    return Entries(
        tuple(f"{name}-{row:07d}.jpg" for row in range(count)),
        np.arange(count),
        np.arange(count) % 20,
        features,
        np.zeros((count, 0, 4), np.float32),
        np.zeros((count, 0), np.int8),
        np.zeros((count, 0), np.float32),
    )


def projected_features(real: Matrix, count: int, channels: int) -> Matrix:
    """Return unit vectors (N, C): the real ones (M, C') under random projections, shuffled."""
    random = np.random.default_rng(0)
    features = np.empty((count, channels), np.float32)
    for first in range(0, count, len(real)):
        projection = random.standard_normal((real.shape[1], channels), dtype=np.float32)
        vectors = real[: count - first] @ projection
        features[first : first + len(real)] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    random.shuffle(features)
    return features


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--images", type=click.IntRange(10_000), default=IMAGES, show_default=True)
@click.option("--address", default=None, help="Where the gallery is made; default: a folder that is deleted.")
def main(file: Path | None, images: int, address: str | None) -> None:
    """Measure, with the features of a file that `features` wrote, or with random ones."""
    make = random_features
    if file is not None:
        make = partial(projected_features, read_features(file, "extract them again").matrix)
    for row in gallery_rows(make, images, address):
        click.echo(" | ".join(row))


if __name__ == "__main__":
    main()
