"""k-reciprocal re-ranking over the nearest neighbours, against the same with dense matrices of all images."""

import tracemalloc
from functools import partial

import numpy as np

from benchmarks.measure import Call, Row, best_seconds, peak_bytes
from reid.retrieval.ranking import Matrix, Numbers
from reid.retrieval.reranking import k_reciprocal_scores

QUERIES, GALLERY, CHANNELS, VEHICLES = 500, 2500, 512, 200
K1, K2, WEIGHT = 20, 6, 0.3


def sparse(query: Matrix, gallery: Matrix) -> Matrix:
    """Return scores (Q, G), as `evaluate` computes them."""
    blocks = k_reciprocal_scores(query, gallery, k1=K1, k2=K2, weight=WEIGHT)
    return np.concatenate([scores.numpy() for scores in blocks])


def dense(query: Matrix, gallery: Matrix) -> Matrix:
    """Return scores (Q, G) from whole matrices (Q + G, Q + G): distances, their order, and the encodings."""
    features = np.concatenate([query, gallery])
    distances = 2 - 2 * features @ features.T
    distances /= distances.max(axis=1, keepdims=True)
    order = np.argsort(distances, axis=1)
    encodings = np.zeros_like(distances)
    for image in range(len(features)):
        own = expanded = _mutual(order, image, K1)
        for member in own:
            half = _mutual(order, member, round(K1 / 2))
            if 3 * np.isin(half, own).sum() > 2 * len(half):
                expanded = np.union1d(expanded, half)
        weights = np.exp(-distances[image, expanded])
        encodings[image, expanded] = weights / weights.sum()
    encodings = np.stack([encodings[nearest].mean(axis=0) for nearest in order[:, :K2]])
    images_with = [np.flatnonzero(column) for column in encodings.T]
    scores = np.empty((len(query), len(gallery)), dtype=np.float32)
    for image in range(len(query)):
        minima = np.zeros(len(features), dtype=np.float32)
        for member in np.flatnonzero(encodings[image]):
            images = images_with[member]
            minima[images] += np.minimum(encodings[image, member], encodings[images, member])
        jaccard = 1 - minima / (2 - minima)
        scores[image] = -(WEIGHT * distances[image] + (1 - WEIGHT) * jaccard)[len(query) :]
    return scores


def _mutual(order: Numbers, image: int, k: int) -> Numbers:
    near = order[image, : k + 1]
    return np.asarray(near[(order[near, : k + 1] == image).any(axis=1)])


def reranking_rows() -> list[Row]:
    """Return the table's rows: time and memory."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((VEHICLES, CHANNELS), dtype=np.float32)
    features = centres[random.integers(0, VEHICLES, QUERIES + GALLERY)]
    features += 2 * random.standard_normal(features.shape, dtype=np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    sets = features[:QUERIES], features[QUERIES:]
    np.testing.assert_allclose(sparse(*sets), dense(*sets), atol=1e-5)  # or the comparison means nothing
    calls = {form.__name__: partial(form, *sets) for form in (sparse, dense)}
    seconds = best_seconds(calls, rounds=2)
    memory = {name: _peak_bytes(call) for name, call in calls.items()}
    return [
        Row(
            f"re-ranking, {QUERIES} queries, {GALLERY} in the gallery, {CHANNELS} channels",
            f"{seconds['sparse']:.2f} s",
            f"dense matrices: {seconds['dense']:.2f} s",
            f"{seconds['dense'] / seconds['sparse']:.1f} x faster",
        ),
        Row(
            "its memory",
            f"{memory['sparse'] / 2**20:.0f} MiB",
            f"{memory['dense'] / 2**20:.0f} MiB",
            f"{memory['sparse'] / memory['dense']:.2f} of it",
        ),
    ]


def _peak_bytes(call: Call) -> int:
    """Return the peak memory of arrays plus that of tensors."""
    tracemalloc.start()
    call()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return arrays + peak_bytes(call)
