"""k-reciprocal re-ranking (Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017).

An image is encoded by its k-reciprocal neighbours, the images that are among its nearest and have it among theirs; two
images are similar if these sets overlap. The published implementation keeps three dense matrices of all images against
all. Here the nearest neighbours are found first, and everything after works on sparse rows.

As in published results, every gallery image takes part, including those that the protocol calls junk: in use no label
is known. On VeRi-776 the query images are in the gallery, so a query finds itself there.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from torch import Tensor

from data_cache.base.progress import track
from reid.retrieval.neighbours import Neighbours, nearest, squared_distances
from reid.retrieval.ranking import Matrix, Numbers, cosine_scores, require_finite

K1, K2, WEIGHT = 20, 6, 0.3  # the paper's; WEIGHT is its lambda
FLAT = 2.0**-20  # if no image is farther than this, all distances are rounding errors
COMPARED = 2**20  # comparisons at once


def k_reciprocal_scores(
    query: Matrix, gallery: Matrix, *, k1: int = K1, k2: int = K2, weight: float = WEIGHT, device: str = "cpu"
) -> Iterator[Tensor]:
    """Yield each query's scores (1, G), larger for more similar images: minus the paper's distance, eq. 12.

    query (Q, C) and gallery (G, C) have rows of length 1. The distance is `weight` times the squared Euclidean
    distance, as a share of the largest from this query to any image, plus 1 - `weight` times the Jaccard distance of
    the k-reciprocal sets. A set is built from k1 neighbours; encodings are averaged over k2 images, the image itself
    and its nearest. Equal distances are ordered as in `nearest`, queries first; the published code leaves this order to
    its sort. If all features are equal, all scores are.

    Memory: a copy of the features, a block of scores and a few hundred numbers per image. Raises UserError for a
    feature that is not finite.
    """
    require_finite(query, gallery)
    features = np.concatenate([query, gallery])
    neighbours = nearest(features, features, max(k1, k2 - 1), device=device, skip_itself=True)
    encodings = _averaged(_encodings(features, neighbours, k1), neighbours, k2)
    images_with = encodings[len(query) :].T.tocsr()
    cosines = (row for block in cosine_scores(query, gallery, device) for row in block.cpu().numpy())
    for index, row in enumerate(cosines):
        if neighbours.farthest[index] <= FLAT:
            yield torch.zeros(1, len(gallery))
            continue
        original = np.maximum(2 - 2 * row, 0) / neighbours.farthest[index]
        jaccard = _jaccard_distances(encodings, images_with, index)
        yield torch.from_numpy(-(np.float32(weight) * original + np.float32(1 - weight) * jaccard))[None]


def _jaccard_distances(encodings: csr_array, images_with: csr_array, index: int) -> Matrix:
    """Return the Jaccard distance of image `index` to each gallery image, eq. 10, by inverted lists.

    `images_with` (N, G) holds, for each member of a set, the gallery images that have it. Encodings sum to 1, so the
    sum of maxima is 2 - the sum of minima.
    """
    own = slice(*encodings.indptr[index : index + 2])
    shared = images_with[encodings.indices[own]]
    values = np.repeat(encodings.data[own], np.diff(shared.indptr))
    minima = np.bincount(shared.indices, np.minimum(values, shared.data), minlength=shared.shape[1]).astype(np.float32)
    return 1 - minima / (2 - minima)


def _encodings(features: Matrix, neighbours: Neighbours, k1: int) -> csr_array:
    """Return each image's weights of the images in its expanded set, eq. 7, divided by their sum, as published."""
    wide = _reciprocal_sets(neighbours.rows, k1)
    narrow = _reciprocal_sets(neighbours.rows, round(k1 / 2))
    farthest = np.maximum(neighbours.farthest, FLAT)
    blocks = _blocks(len(features), COMPARED // (wide.shape[1] ** 2 * narrow.shape[1]))

    def encode(rows: Numbers) -> csr_array:
        slots, members = _expanded_sets(wide, narrow, rows)
        distances = squared_distances(features, features, rows[slots], members)
        weights = np.exp(-distances / farthest[rows[slots]])
        sums = np.bincount(slots, weights, minlength=len(rows))
        values = (weights / sums[slots]).astype(np.float32)
        return csr_array((values, (slots, members)), shape=(len(rows), len(features)))

    return vstack([encode(rows) for rows in track(blocks, "k-reciprocal sets", len(features), size=len)], format="csr")


def _averaged(encodings: csr_array, neighbours: Neighbours, k2: int) -> csr_array:
    """Return the mean encoding of each image and its k2 - 1 nearest: local query expansion, eq. 11."""
    groups = _with_itself(neighbours.rows[:, : k2 - 1])
    count, size = groups.shape
    offsets = np.arange(count + 1) * size
    member = csr_array((np.ones(groups.size, np.float32), groups.ravel(), offsets), shape=(count, count))
    mean = (member @ encodings) / np.float32(size)
    mean.sort_indices()
    return mean


def _reciprocal_sets(nearest_rows: Numbers, k: int) -> Numbers:
    """Return R(p, k) of every image, eq. 2, with itself: (N, k + 1) rows, -1 for a neighbour that is not reciprocal."""
    lists = _with_itself(nearest_rows[:, :k])
    sets = np.empty_like(lists)
    for rows in _blocks(len(lists), COMPARED // lists.shape[1] ** 2):
        mutual = (lists[lists[rows]] == rows[:, None, None]).any(axis=2)
        sets[rows] = np.where(mutual, lists[rows], -1)
    return sets


def _expanded_sets(wide: Numbers, narrow: Numbers, rows: Numbers) -> tuple[Numbers, Numbers]:
    """Return R*(p, k1) of the images `rows`, eq. 3, as entries: index into `rows` and member, sorted by both.

    The half-size set of a member is added if more than two thirds of it are in p's own set.
    """
    own = wide[rows]
    added = np.where(own[:, :, None] >= 0, narrow[own], -1)
    valid = added >= 0
    common = valid & (added[..., None] == own[:, None, None, :]).any(axis=3)
    accepted = 3 * common.sum(axis=2) > 2 * valid.sum(axis=2)
    added = np.where(accepted[:, :, None], added, -1).reshape(len(rows), own.shape[1] * narrow.shape[1])
    members = np.sort(np.concatenate([own, added], axis=1), axis=1)
    slots, columns = np.nonzero(np.diff(members, axis=1, prepend=-1))
    return slots, members[slots, columns]


def _with_itself(lists: Numbers) -> Numbers:
    return np.concatenate([np.arange(len(lists))[:, None], lists], axis=1)


def _blocks(count: int, size: int) -> Iterator[Numbers]:
    """Yield the rows 0 to `count` in blocks of `size`, at least 1."""
    size = max(1, size)
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
