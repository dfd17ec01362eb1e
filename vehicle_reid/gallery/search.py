"""Search by cosine: an index finds candidates, and each is measured again, which decides scores, order and ties."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from reid.retrieval.ranking import Matrix, Numbers, full_precision, queries_at_once

Mask = NDArray[np.bool_]
SLACK = 1e-5  # by which a product may be off where features have length 1
PIECE = 1024  # gallery images whose best score stands for them all
MEASURED = 2**10  # pairs at once: what they need stays in a core's cache
TESTED = 256  # images of a gallery that are asked for, to measure an index


@dataclass(frozen=True, eq=False)
class Nearest:
    """The best k gallery rows of Q queries, (Q, k), and their cosines, (Q, k); -1 and -inf where there are fewer."""

    rows: Numbers
    scores: Matrix


class Index(Protocol):
    """What searches in a gallery's features (N, C), rows of length 1."""

    features: Matrix

    @property
    def kind(self) -> str:
        """What it is called in `--index`."""

    def best(self, query: Matrix, k: int, allowed: Mask | None) -> Nearest:
        """Return the best k, at most N, of the images `allowed` (N,) for each query (Q, C); ties by row."""


class ExactSearch:
    """Search by one matrix product: none that belongs to the best k is missed."""

    kind = "exact"

    def __init__(self, features: Matrix, device: str = "cpu") -> None:
        """Keep the features, on a GPU where `device` is one."""
        self.features = features
        self._columns = torch.from_numpy(features).to(device).T

    def best(self, query: Matrix, k: int, allowed: Mask | None) -> Nearest:
        """Return the best k of each query, see `Index`; memory is that of a chunk's scores."""
        found = no_matches(len(query), k)
        chunk = queries_at_once(len(self.features))
        for first in range(0, len(query), chunk):
            some = slice(first, first + chunk)
            asked, rows = self._candidates(query[some], k, allowed)
            _keep_best(query[some], self.features, asked, rows, found.rows[some], found.scores[some])
        return found

    def _candidates(self, query: Matrix, k: int, allowed: Mask | None) -> tuple[Numbers, Numbers]:
        """Return the pairs, queries (E,) and rows (E,), whose score reaches a bound that k images reach."""
        with full_precision():
            scores = torch.from_numpy(query).to(self._columns.device) @ self._columns
        if allowed is not None:
            scores.masked_fill_(~torch.from_numpy(allowed).to(scores.device), -torch.inf)
        reached = (scores >= _reached_by(scores, k) - SLACK) & (scores > -torch.inf)
        asked, rows = reached.nonzero().T.cpu().numpy()
        return asked, rows


def search(index: Index, query: Matrix, k: int, allowed: Mask | None = None) -> Nearest:
    """Return the best k of each query (Q, C) among the images `allowed` (N,); k may be larger than the gallery.

    Raises UserError for k below 1, or where the query does not fit or is not finite.
    """
    count, channels = index.features.shape
    if k < 1:
        raise UserError(f"k is {k}; at least one match must be asked for")
    if query.ndim != 2 or query.shape[1] != channels or not np.isfinite(query).all():
        raise UserError(f"query: features of shape {query.shape}, finite and (Q, {channels}), are needed")
    found = no_matches(len(query), k)
    if count and len(query) and (allowed is None or allowed.any()):
        best = index.best(query, min(k, count), allowed)
        found.rows[:, : min(k, count)], found.scores[:, : min(k, count)] = best.rows, best.scores
    return found


def no_matches(queries: int, k: int) -> Nearest:
    """Return a result with nothing in it, to be written into."""
    return Nearest(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def _reached_by(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Return for each row of scores (Q, N) a bound that k of them reach or exceed, (Q, 1).

    It is the k-th of the best scores of pieces: to look for it among all takes longer than the product.
    """
    count = scores.shape[1]
    piece = max(1, min(PIECE, count // (4 * k)))
    whole = count - count % piece
    best = scores[:, :whole].view(len(scores), -1, piece).amax(dim=2)
    if whole < count:
        best = torch.cat([best, scores[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    kth: torch.Tensor = best.topk(k, dim=1).values[:, -1:]
    return kth


def _keep_best(query: Matrix, features: Matrix, asked: Numbers, found: Numbers, rows: Numbers, scores: Matrix) -> None:
    """Write the best pairs of each query into `rows` and `scores` (Q, k)."""
    measured = cosines(query, features, asked, found)
    order = np.lexsort((found, -measured, asked))
    asked, found, measured = asked[order], found[order], measured[order]
    place = np.arange(len(asked)) - np.searchsorted(asked, asked)
    kept = place < rows.shape[1]
    rows[asked[kept], place[kept]] = found[kept]
    scores[asked[kept], place[kept]] = measured[kept]


def cosines(query: Matrix, features: Matrix, asked: Numbers, found: Numbers) -> Matrix:
    """Return the cosine of each pair, (E,): the same for equal features, which those of a matrix product are not."""
    measured = np.empty(len(found), np.float32)
    for start in range(0, len(found), MEASURED):
        pairs = slice(start, start + MEASURED)
        measured[pairs] = np.einsum("pc,pc->p", query[asked[pairs]], features[found[pairs]])
    return measured


@dataclass(frozen=True, eq=False)
class Sample:
    """Some images of a gallery as queries (Q, C), and the rows of their exact best k, (Q, k)."""

    query: Matrix
    wanted: Numbers

    def recall(self, index: Index) -> float:
        """Return the share of the exact best that an index finds."""
        found = search(index, self.query, self.wanted.shape[1]).rows
        hits = [len(np.intersect1d(one, other)) for one, other in zip(found, self.wanted, strict=True)]
        return sum(hits) / self.wanted.size


def sample(features: Matrix, k: int, *, seed: int = 0) -> Sample:
    """Return a sample of a gallery of features (N, C), N > 0, and the exact best k, at most N, of each."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(features))[:TESTED])
    query = features[chosen]
    return Sample(query, search(ExactSearch(features), query, min(k, len(features))).rows)
