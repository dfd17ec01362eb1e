"""Search in galleries of 10^5 and 10^6 images, exact and approximate, against faiss used directly.

By default the features are random clusters in a few dimensions, projected to many. `python -m benchmarks.gallery FILE`
uses the features of a file that `features` wrote, with random projections as often as needed. The larger gallery has
128 channels, because with 512 it would take 2 GB, and faiss the same again.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np

from benchmarks.measure import Row, best_seconds
from reid.features.file import read_features
from reid.retrieval.ranking import Matrix, Numbers
from vehicle_reid.gallery.approximate import CANDIDATES, FaissSearch, require_faiss
from vehicle_reid.gallery.search import ExactSearch, Index, search

SIZES = ((100_000, 512), (1_000_000, 128))  # images, channels
LATENT, IMAGES_PER_VEHICLE, SPREAD, NOISE = 32, 20, 0.5, 0.1  # dimensions; spread within a vehicle
K, QUERIES, EXACT_QUERIES, ROUNDS = 10, 1000, 64, 3
BLOCK = 2**16
FaissCall = Callable[[], tuple[Matrix, Numbers]]  # returns scores and ids


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


def gallery_rows(make_features: Callable[[int, int], Matrix] = random_features) -> list[Row]:
    """Return the table's rows; `make_features` takes the numbers of images and channels."""
    made = (make_features(images + QUERIES, channels) for images, channels in SIZES)
    return [row for features in made for row in _rows(features[:-QUERIES], features[-QUERIES:])]


def _rows(features: Matrix, query: Matrix) -> list[Row]:
    images, channels = features.shape
    exact, flat = ExactSearch(features), require_faiss().IndexFlatIP(channels)
    flat.add(features)
    few = query[:EXACT_QUERIES]
    what = f"{images:,} x {channels}"
    exact_row = _row(f"exact search in {what}", exact, few, lambda: flat.search(few, K), exact)
    flat.reset()
    index = FaissSearch.build("ivfpq", features, np.arange(images))
    name = f"IVF-PQ, {index.settings.probes} of {index._index.nlist} lists, in {what}"
    ivfpq_row = _row(name, index, query, _faiss_refined(index, query), exact)._replace(target="<= 1.05 x")
    return [exact_row, ivfpq_row]


def _faiss_refined(index: FaissSearch, query: Matrix) -> FaissCall:
    """Return faiss's own search of that index with the same settings, its candidates scored exactly by faiss."""
    faiss = require_faiss()
    refined = faiss.IndexRefineFlat(index._index, faiss.swig_ptr(index.features))
    settings = faiss.IndexRefineSearchParameters(
        k_factor=CANDIDATES["ivfpq"], base_index_params=faiss.SearchParametersIVF(nprobe=index.settings.probes)
    )
    return lambda: refined.search(query, K, params=settings)


def _row(what: str, index: Index, query: Matrix, direct: FaissCall, exact: ExactSearch) -> Row:
    few = query[:EXACT_QUERIES]
    wanted, found = search(exact, few, K).rows, search(index, few, K).rows
    np.testing.assert_array_equal(found, direct()[1][:EXACT_QUERIES])  # or the comparison means nothing
    recall = np.mean([len(np.intersect1d(one, other)) for one, other in zip(wanted, found, strict=True)]) / K
    seconds = best_seconds({"ours": partial(search, index, query, K), "faiss": direct}, ROUNDS)
    return Row(
        f"{what}: queries/s",
        f"{len(query) / seconds['ours']:,.0f}, recall@{K} {recall:.3f}",
        f"faiss directly: {len(query) / seconds['faiss']:,.0f}",
        f"{seconds['ours'] / seconds['faiss']:.2f} x",
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
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(file: Path) -> None:
    """Measure with the features of a file that `features` wrote."""
    real = read_features(file, "extract them again").matrix
    for row in gallery_rows(partial(projected_features, real)):
        click.echo(" | ".join(row))


if __name__ == "__main__":
    main()
