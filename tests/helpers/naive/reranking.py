"""Re-ranking and query expansion from their papers' equations: dense, in double precision, image by image.

Like the published implementation of re-ranking, and unlike its paper, distances are divided by the row's largest,
encodings are divided by their sum, and an image is a neighbour of itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]


def naive_reranking(query: Matrix, gallery: Matrix, k1: int, k2: int, weight: float) -> Matrix:
    """Return minus the final distance (Q, G), eq. 12; equal distances are ordered by row after the image itself."""
    features = [np.asarray(row, dtype=np.float64) for row in (*query, *gallery)]
    images = range(len(features))
    squared = [[float(((features[i] - features[j]) ** 2).sum()) for j in images] for i in images]
    distance = [[squared[i][j] / max(squared[i]) for j in images] for i in images]
    order = [sorted(images, key=lambda j: (j != i, squared[i][j], j)) for i in images]

    def reciprocal(p: int, k: int) -> set[int]:  # eq. 1 and 2
        return {g for g in order[p][: k + 1] if p in order[g][: k + 1]}

    encoding = []
    for p in images:
        expanded = own = reciprocal(p, k1)
        for q in own:  # eq. 3
            half = reciprocal(q, round(k1 / 2))
            if len(own & half) > 2 / 3 * len(half):
                expanded = expanded | half
        values = np.array([np.exp(-distance[p][g]) if g in expanded else 0.0 for g in images])  # eq. 7
        encoding.append(values / values.sum())
    if k2 > 1:  # eq. 11
        encoding = [np.mean([encoding[g] for g in order[p][:k2]], axis=0) for p in images]

    result = np.empty((len(query), len(gallery)))
    for p in range(len(query)):
        for g in range(len(gallery)):
            other = len(query) + g
            shared, either = np.minimum(encoding[p], encoding[other]), np.maximum(encoding[p], encoding[other])
            jaccard = 1 - shared.sum() / either.sum()  # eq. 10
            result[p, g] = -((1 - weight) * jaccard + weight * distance[p][other])
    return result


def naive_expansion(query: Matrix, gallery: Matrix, k: int) -> Matrix:
    """Return the mean of each query and its k nearest gallery features, normalised to length 1 (Chum et al. 2007)."""
    expanded = []
    for feature in query:
        nearest = sorted(gallery, key=lambda other: float(((feature - other) ** 2).sum()))[:k]
        mean = np.mean([feature, *nearest], axis=0, dtype=np.float64)
        expanded.append(mean / np.sqrt((mean**2).sum()))
    return np.array(expanded)
