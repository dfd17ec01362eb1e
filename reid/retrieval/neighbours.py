"""Exact nearest-neighbour search in bounded memory, and query expansion by it."""

from dataclasses import dataclass

import numpy as np
import torch

from data_cache.base.progress import track
from reid.retrieval.ranking import Matrix, Numbers, full_precision, queries_at_once, require_finite

# Rounding in the matrix product orders equal or nearly equal images arbitrarily. So SPARE more candidates than needed
# are kept, and their distances are computed pair by pair: the order then depends on neither chunk size nor device.
SPARE = 8
PAIRS = 2**14  # pairs computed at once: 32 MiB of float32 at 512 channels


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of Q images.

    rows (Q, k): the k nearest, nearest first; farthest (Q,) float32: the squared distance to the farthest image of all.
    """

    rows: Numbers
    farthest: Matrix


def nearest(features: Matrix, among: Matrix, k: int, *, device: str = "cpu", skip_itself: bool = False) -> Neighbours:
    """Return the k rows of `among` (G, C) nearest to each of `features` (Q, C), all of length 1; at most all rows.

    With `skip_itself`, if both hold the same images, no image is its own neighbour. Equal distances are ordered by row;
    if more than `SPARE` images tie at the k-th position, which of them are returned is arbitrary.
    """
    k = min(k, len(among) - skip_itself)
    kept = min(k + SPARE, len(among) - skip_itself)
    chunk = queries_at_once(len(among))
    columns = torch.from_numpy(among).to(device)
    buffer = torch.empty(min(chunk, len(features)), len(among), device=device)
    rows = np.empty((len(features), k), dtype=np.int64)
    farthest = np.empty(len(features), dtype=np.float32)
    starts = range(0, len(features), chunk)
    for start in track(starts, "neighbours", len(features), size=lambda start: min(chunk, len(features) - start)):
        own = features[start : start + chunk]
        block = slice(start, start + len(own))
        with full_precision():
            scores = torch.mm(torch.from_numpy(own).to(device), columns.T, out=buffer[: len(own)])
        farthest[block] = (2 - 2 * scores.amin(dim=1)).cpu().numpy()
        if skip_itself:
            scores[:, block].fill_diagonal_(-torch.inf)
        candidates = scores.topk(kept, dim=1, sorted=False).indices.cpu().numpy()
        rows[block] = _sorted_candidates(own, among, candidates)[:, :k]
    return Neighbours(rows, farthest)


def squared_distances(first: Matrix, second: Matrix, rows: Numbers, columns: Numbers) -> Matrix:
    """Return the squared Euclidean distance of first[rows] and second[columns], pair by pair, (P,).

    Computed as the sum of squared differences: exactly 0 for equal features, and equal for pairs of equal features.
    """
    distances = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), PAIRS):
        pairs = slice(start, start + PAIRS)
        difference = first[rows[pairs]] - second[columns[pairs]]
        distances[pairs] = np.einsum("pc,pc->p", difference, difference)
    return distances


def _sorted_candidates(features: Matrix, among: Matrix, candidates: Numbers) -> Numbers:
    """Return each row's candidates (Q, K), nearest first, equal ones by row."""
    own = np.repeat(np.arange(len(features)), candidates.shape[1])
    distances = squared_distances(features, among, own, candidates.ravel()).reshape(candidates.shape)
    return np.take_along_axis(candidates, np.lexsort((candidates, distances), axis=1), axis=1)


def expanded_queries(
    query: Matrix, gallery: Matrix, k: int, *, device: str = "cpu", skip_itself: bool = False
) -> Matrix:
    """Return the mean of each query (Q, C) and its k nearest gallery features (G, C), normalised to length 1.

    All rows have length 1. No labels are used, so junk images take part; on VeRi-776 the query images are in the
    gallery, and the nearest image is the query itself, as in published results (Chum et al., "Total Recall", ICCV
    2007). With `skip_itself` queries and gallery are the same images, and none is its own neighbour. Raises UserError
    for a feature that is not finite.
    """
    require_finite(query, gallery)
    total = query.copy()
    for column in nearest(query, gallery, k, device=device, skip_itself=skip_itself).rows.T:
        total += gallery[column]
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
