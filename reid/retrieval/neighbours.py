"""Nearest neighbours by exact search in bounded memory: chunks of rows, one matrix product each, the best few kept."""

from dataclasses import dataclass

import numpy as np
import torch

from data_cache.base.errors import UserError
from data_cache.base.progress import track
from reid.retrieval.ranking import Matrix, Numbers, full_precision, require_finite

# Of images that are equal, or nearly, the product says in an order of its own which is nearer. Candidates beyond those
# asked for, measured again one by one, make the order that of the features, whatever the chunk or the device.
SPARE = 8
PAIRS = 2**14  # measured at once: 32 MiB of float32 where the features have 512 channels


@dataclass(frozen=True)
class Neighbours:
    """What is near each of Q images, and how far the rest reaches.

    rows (Q, k): its k nearest, nearest first; farthest (Q,) float32: the squared distance of the one farthest from it.
    """

    rows: Numbers
    farthest: Matrix


def nearest(
    features: Matrix, among: Matrix, k: int, *, chunk: int, device: str, skip_itself: bool = False
) -> Neighbours:
    """Find the k rows of `among` (G, C) nearest to each of `features` (Q, C), all of length 1; at most all there are.

    With `skip_itself`, where both hold the same images, none is its own neighbour. Equal distances are ordered by row;
    of more than `SPARE` equal ones at the k-th place some are chosen arbitrarily. Memory is `chunk` x G scores.
    """
    k = min(k, len(among) - skip_itself)
    kept = min(k + SPARE, len(among) - skip_itself)
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
        rows[block] = _in_order(own, among, candidates)[:, :k]
    return Neighbours(rows, farthest)


def squared_distances(first: Matrix, second: Matrix, rows: Numbers, columns: Numbers) -> Matrix:
    """Return the squared Euclidean distance of first[rows] and second[columns], pair by pair, (P,).

    It is the sum of squared differences: exactly 0 for equal features, and equal for pairs of equal features.
    """
    distances = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), PAIRS):
        pairs = slice(start, start + PAIRS)
        apart = first[rows[pairs]] - second[columns[pairs]]
        distances[pairs] = np.einsum("pc,pc->p", apart, apart)
    return distances


def _in_order(features: Matrix, among: Matrix, candidates: Numbers) -> Numbers:
    """Return each row's candidates (Q, K), nearest first, equal ones by row."""
    own = np.repeat(np.arange(len(features)), candidates.shape[1])
    distances = squared_distances(features, among, own, candidates.ravel()).reshape(candidates.shape)
    return np.take_along_axis(candidates, np.lexsort((candidates, distances), axis=1), axis=1)


def expanded_queries(query: Matrix, gallery: Matrix, *, k: int = 5, chunk: int, device: str = "cpu") -> Matrix:
    """Return the mean of each query (Q, C) and its k nearest gallery features (G, C), made length 1 again.

    All rows have length 1. k = 0 gives the queries themselves; more than the gallery has is all of it. No
    label is used, so junk images take part too; on VeRi-776 the query images are in the gallery, and the first image
    found is the query itself, as in published numbers (Chum et al., "Total Recall", ICCV 2007). Memory beyond
    the features is `chunk` x G scores. Raises UserError for a negative k and for a feature that is not finite.
    """
    if k < 0:
        raise UserError(f"query expansion: k is {k}, expected at least 0")
    require_finite(query, gallery)
    if k == 0:
        return query
    total = query.copy()
    for column in nearest(query, gallery, k, chunk=chunk, device=device).rows.T:
        total += gallery[column]
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
