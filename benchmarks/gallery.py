"""Search in galleries of 10^5 and 10^6 images, exact and approximate, beside the same index of faiss used directly.

The features are vectors of few dimensions, in clusters, projected at random to many; or, by `python -m
benchmarks.gallery FILE`, real ones of a file that `features` wrote, projected at random as often as it takes. Those of
10^6 have 128 channels: with 512, as here the 10^5 have, they would take 2 GB, and faiss as much again.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.measure import best_seconds
from reid.features.file import read_features
from reid.retrieval.ranking import Matrix
from vehicle_reid.gallery.approximate import SHORTLIST, FaissSearch, require_faiss
from vehicle_reid.gallery.search import ExactSearch, Index, search

SIZES = ((100_000, 512), (1_000_000, 128))  # images, channels
LATENT, VEHICLE, SPREAD, NOISE = 32, 20, 0.5, 0.1  # dimensions, images a vehicle, spread within one, noise
K, QUERIES, EXACT_QUERIES, ROUNDS = 10, 1000, 64, 3
BLOCK = 2**16
Row = tuple[str, str, str, str, str]


def gallery_rows(made: Callable[[int, int], Matrix] | None = None) -> list[Row]:
    """Return the table's rows; `made` gives features of so many images and channels."""
    return [row for images, channels in SIZES for row in _rows_of(images, channels, made or random_features)]


def _rows_of(images: int, channels: int, made: Callable[[int, int], Matrix]) -> list[Row]:
    features = made(images + QUERIES, channels)
    query, features = features[images:], features[:images]
    what = f"{images:,} x {channels}"
    exact, flat = ExactSearch(features), require_faiss().IndexFlatIP(channels)
    flat.add(features)
    few = query[:EXACT_QUERIES]
    direct = partial(flat.search, few, K)
    rows = [_row(f"exact search in {what}", exact, few, direct, exact, "")]
    flat.reset()
    found = FaissSearch.build("ivfpq", features, np.arange(images))
    name = f"IVF-PQ, {found.settings.probes} of {found._index.nlist} lists, in {what}"
    return [*rows, _row(name, found, query, _refined(found, query), exact, "<= 1.05 x")]


def _refined(found: FaissSearch, query: Matrix) -> partial[Any]:
    """Return faiss's own search of that index with the same settings, its candidates measured by faiss."""
    faiss = require_faiss()
    refined = faiss.IndexRefineFlat(found._index, faiss.swig_ptr(found.features))
    settings = faiss.IndexRefineSearchParameters(
        k_factor=SHORTLIST["ivfpq"],
        base_index_params=faiss.SearchParametersIVF(nprobe=found.settings.probes),
    )
    return partial(refined.search, query, K, params=settings)


def _row(what: str, index: Index, query: Matrix, direct: partial[Any], exact: ExactSearch, target: str) -> Row:
    calls = {"ours": partial(search, index, query, K), "faiss": direct}
    seconds = best_seconds(calls, ROUNDS)
    ours, theirs = (len(query) / seconds[name] for name in calls)
    some = query[:EXACT_QUERIES]
    wanted, found = search(exact, some, K).rows, search(index, some, K).rows
    np.testing.assert_array_equal(found, direct()[1][:EXACT_QUERIES])  # else they would not be compared
    recall = np.mean([len(np.intersect1d(one, other)) for one, other in zip(wanted, found, strict=True)]) / K
    ratio = f"{seconds['ours'] / seconds['faiss']:.2f} x"
    return (
        f"{what}: queries/s",
        f"{ours:,.0f}, recall@{K} {recall:.3f}",
        f"faiss directly: {theirs:,.0f}",
        ratio,
        target,
    )


def random_features(count: int, channels: int) -> Matrix:
    """Return features (N, C) of length 1: vehicles are clusters in `LATENT` dimensions, projected at random."""
    random = np.random.default_rng(0)
    projection = random.standard_normal((LATENT, channels), dtype=np.float32) / np.float32(LATENT**0.5)
    centres = random.standard_normal((1 + count // VEHICLE, LATENT), dtype=np.float32)
    features = np.empty((count, channels), np.float32)
    for first in range(0, count, BLOCK):
        rows = np.arange(first, min(first + BLOCK, count))
        inside = random.standard_normal((len(rows), LATENT), dtype=np.float32) * np.float32(SPREAD)
        noise = random.standard_normal((len(rows), channels), dtype=np.float32) * np.float32(NOISE)
        vectors = (centres[rows % len(centres)] + inside) @ projection + noise
        features[rows] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return features


def projected_features(real: Matrix, count: int, channels: int) -> Matrix:
    """Return features (N, C) of length 1: the real ones (M, C'), by one random projection after the other, shuffled."""
    random = np.random.default_rng(0)
    features = np.empty((count, channels), np.float32)
    for first in range(0, count, len(real)):
        projection = random.standard_normal((real.shape[1], channels), dtype=np.float32)
        vectors = real[: count - first] @ projection
        features[first : first + len(real)] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    random.shuffle(features)
    return features


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(file: Path) -> None:
    """Measure with the features of a file that `features` wrote."""
    real = read_features(file, "extract them again").matrix
    for row in gallery_rows(partial(projected_features, real)):
        click.echo(" | ".join(row))


if __name__ == "__main__":
    main()
