"""Cosine search in features that are in memory: a product proposes candidates, whose scores are computed again."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from reid.retrieval.ranking import Matrix, Numbers, full_precision, queries_at_once
from reid.retrieval.scoring import AfterNetwork

Mask = NDArray[np.bool_]
TOLERANCE = 1e-5  # rounding error of a matrix product of unit vectors
BLOCK = 1024  # gallery images represented by their best score when the k-th best is bounded
PAIRS_AT_ONCE = 2**10  # so that their vectors stay in a core's cache


@dataclass(frozen=True, eq=False)
class Matches:
    """The best k gallery rows of Q queries, (Q, k), and their cosines, (Q, k); -1 and -inf if there are fewer."""

    rows: Numbers
    scores: Matrix


class ExactSearch:
    """Search by one matrix product: the best k are always found."""

    def __init__(self, features: Matrix, device: str = "cpu") -> None:
        """Keep the features (N, C), on a GPU if `device` is one."""
        self.features = features
        self._columns = torch.from_numpy(features).to(device).T

    def best(self, query: Matrix, k: int, allowed: Mask | None) -> Matches:
        """Return the best k <= N of the images `allowed` (N,) for each query (Q, C); ties by row.

        Memory is bounded by chunks of queries.
        """
        matches = no_matches(len(query), k)
        chunk = queries_at_once(len(self.features))
        for first in range(0, len(query), chunk):
            part = slice(first, first + chunk)
            query_rows, gallery_rows = self._candidates(query[part], k, allowed)
            scores = cosines(query[part], self.features, query_rows, gallery_rows)
            keep_best(Matches(matches.rows[part], matches.scores[part]), query_rows, gallery_rows, scores)
        return matches

    def _candidates(self, query: Matrix, k: int, allowed: Mask | None) -> tuple[Numbers, Numbers]:
        """Return query and gallery rows, (E,) each, of the pairs whose score reaches a lower bound of the k-th best."""
        with full_precision():
            scores = torch.from_numpy(query).to(self._columns.device) @ self._columns
        if allowed is not None:
            scores.masked_fill_(~torch.from_numpy(allowed).to(scores.device), -torch.inf)
        candidates = (scores >= _bound_of_kth_best(scores, k) - TOLERANCE) & (scores > -torch.inf)
        query_rows, gallery_rows = candidates.nonzero().T.cpu().numpy()
        return query_rows, gallery_rows


def search(index: ExactSearch, query: Matrix, k: int, allowed: Mask | None = None) -> Matches:
    """Return the best k of each query (Q, C) among the images `allowed` (N,); k may be larger than the gallery.

    Raises UserError if k is below 1 or the query does not fit or is not finite.
    """
    count, channels = index.features.shape
    require_query(query, k, channels)
    matches = no_matches(len(query), k)
    if count and len(query) and (allowed is None or allowed.any()):
        best = index.best(query, min(k, count), allowed)
        matches.rows[:, : min(k, count)], matches.scores[:, : min(k, count)] = best.rows, best.scores
    return matches


def require_query(query: Matrix, k: int, channels: int) -> None:
    """Raise UserError if k is below 1, or the query is not finite and (Q, channels)."""
    if k < 1:
        raise UserError(f"k is {k}; it must be at least 1")
    if query.ndim != 2 or query.shape[1] != channels or not np.isfinite(query).all():
        raise UserError(f"query: features of shape {query.shape}; they must be finite and of shape (Q, {channels})")


def search_after(
    after: AfterNetwork, query: Matrix, features: Matrix, k: int, allowed: Mask | None, device: str
) -> Matches:
    """Return the best k of each query (Q, C) among the images `allowed` (N,) by the scores of `after`; ties by row.

    Only these images are neighbours. Raises UserError as `search`, and for camera means: a query's camera is not known.
    """
    if after.camera_means:
        raise UserError("gallery search: the camera of a query is not known; leave out the means of cameras")
    if k < 1:
        raise UserError(f"k is {k}; it must be at least 1")
    rows = np.arange(len(features)) if allowed is None else np.flatnonzero(allowed)
    matches, first = no_matches(len(query), k), 0
    if not len(rows):
        return matches
    for block in after.scores(query, features[rows], device):
        scores, order = torch.sort(block, dim=1, descending=True, stable=True)
        part, found = slice(first, first + len(block)), min(k, len(rows))
        matches.rows[part, :found] = rows[order[:, :found].cpu().numpy()]
        matches.scores[part, :found] = scores[:, :found].cpu().numpy()
        first += len(block)
    return matches


def share_found(found: Numbers, exact: Numbers) -> float:
    """Return recall@k: the share of the exact best k of Q queries, (Q, k), that was found, (Q, any number)."""
    return sum(len(np.intersect1d(*pair)) for pair in zip(found, exact, strict=True)) / exact.size


def no_matches(queries: int, k: int) -> Matches:
    """Return an empty result, to be filled in place."""
    return Matches(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def _bound_of_kth_best(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Return a lower bound of the k-th best score in each row of scores (Q, N), (Q, 1).

    It is the k-th best of the maxima of blocks: selecting among all scores takes longer than the matrix product.
    """
    count = scores.shape[1]
    block = max(1, min(BLOCK, count // (4 * k)))
    whole = count - count % block
    maxima = scores[:, :whole].view(len(scores), -1, block).amax(dim=2)
    if whole < count:
        maxima = torch.cat([maxima, scores[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    kth: torch.Tensor = maxima.topk(k, dim=1).values[:, -1:]
    return kth


def keep_best(matches: Matches, query_rows: Numbers, gallery_rows: Numbers, scores: Matrix) -> None:
    """Write the best pairs of each query into `matches` (Q, k)."""
    order = np.lexsort((gallery_rows, -scores, query_rows))
    query_rows, gallery_rows, scores = query_rows[order], gallery_rows[order], scores[order]
    rank = np.arange(len(query_rows)) - np.searchsorted(query_rows, query_rows)
    kept = rank < matches.rows.shape[1]
    matches.rows[query_rows[kept], rank[kept]] = gallery_rows[kept]
    matches.scores[query_rows[kept], rank[kept]] = scores[kept]


def merge_best(matches: Matches, query_rows: Numbers, numbers: Numbers, scores: Matrix) -> None:
    """Keep in `matches` (Q, k) the best of those that are there and of more pairs, (E,) each; ties by number.

    The numbers are rows, or any others that are not negative, such as ids.
    """
    rows, places = np.nonzero(matches.rows >= 0)
    keep_best(
        matches,
        np.concatenate([rows, query_rows]),
        np.concatenate([matches.rows[rows, places], numbers]),
        np.concatenate([matches.scores[rows, places], scores]),
    )


def search_batches(matches: Matches, query: Matrix, batches: Iterable[tuple[Numbers, Matrix]]) -> None:
    """Merge into `matches` (Q, k) the best for each query (Q, C) of all images, exactly, in one pass over them.

    A batch is the numbers (B,) and the features (B, C) of some, of which few are in memory at a time; ties by number.
    """
    for numbers, features in batches:
        found = search(ExactSearch(features), query, min(matches.rows.shape[1], len(numbers)))
        rows, places = np.nonzero(found.rows >= 0)
        merge_best(matches, rows, numbers[found.rows[rows, places]], found.scores[rows, places])


def cosines(query: Matrix, features: Matrix, query_rows: Numbers, gallery_rows: Numbers) -> Matrix:
    """Return the cosine of each pair, (E,); equal features give equal cosines, which a matrix product does not."""
    scores = np.empty(len(gallery_rows), np.float32)
    for start in range(0, len(gallery_rows), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        scores[pairs] = np.einsum("pc,pc->p", query[query_rows[pairs]], features[gallery_rows[pairs]])
    return scores
