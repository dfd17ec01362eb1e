"""Exact ranking in bounded memory: chunks of queries, one matrix product each, and no full sort.

The rank of a match is one more than the matches and wrong images above it, so it is enough to count, for each match,
the wrong images that score as high. Most of a gallery scores below a query's lowest match: one comparison drops it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from data_cache.errors import UserError
from reid.metrics import PrecisionForm, Ranks, average_precision, inverse_negative_penalty

Matrix = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Equal images get scores that differ by up to 1e-7: the order of additions in a matrix product depends on the column.
# Scores closer than this are ties, and ties count against the result.
TIE = 2.0**-22
DENSE = 1 / 8  # picking more of a row than this takes longer than sorting all of it


@dataclass(frozen=True)
class QueryResults:
    """What each of Q queries got; all arrays (Q,).

    first_hit_rank, from 1; average_precision; inverse_negative_penalty; positives, the number of valid matches in the
    gallery. A query without a valid match has 0 everywhere, and no mean may count it silently.
    """

    first_hit_rank: Numbers
    average_precision: NDArray[np.float64]
    inverse_negative_penalty: NDArray[np.float64]
    positives: Numbers

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which queries have a match, (Q,)."""
        return self.positives > 0


def rank_queries(
    query: Matrix,
    gallery: Matrix,
    query_vehicle: Numbers,
    gallery_vehicle: Numbers,
    query_camera: Numbers,
    gallery_camera: Numbers,
    *,
    same_camera_is_junk: bool,
    chunk: int,
    form: PrecisionForm = "step",
    device: str = "cpu",
) -> QueryResults:
    """Rank the gallery (G, C) for every query (Q, C), all rows of length 1, by cosine.

    Vehicles and cameras are numbers, (Q,) and (G,). Junk (same vehicle, same known camera) is left out. Memory
    beyond the inputs is `chunk` x G scores. Raises UserError for a feature that is not finite.
    """
    members = _members(gallery_vehicle)
    lists = []
    for index, scores in _score_rows(query, gallery, chunk, device):
        same = members.get(int(query_vehicle[index]), _NOBODY)
        junk = _is_junk(query_camera[index], gallery_camera[same]) & same_camera_is_junk
        matches = scores[same[~junk]]
        scores[same] = -np.inf
        lists.append(match_ranks(matches, scores))
    return _results(lists, form)


def match_ranks(matches: Matrix, wrong: Matrix) -> Ranks:
    """Return the ranks, ascending, of matches with scores (P,) among wrong images with scores (W,); ties rank last.

    >>> match_ranks(np.float32([0.9, 0.5]), np.float32([0.7, 0.9, 0.1]))  # the tie at 0.9 goes to the wrong image
    array([2, 4])
    """
    if not len(matches):
        return np.zeros(0, dtype=np.int64)
    descending = np.sort(matches)[::-1] - np.float32(TIE)
    near = wrong >= descending[-1]
    many = np.count_nonzero(near) > DENSE * len(wrong)
    rivals = np.sort(wrong if many else wrong[near])
    above = len(rivals) - np.searchsorted(rivals, descending, side="left")
    return np.asarray(above + np.arange(1, len(matches) + 1), dtype=np.int64)


def top_matches(
    query: Matrix,
    gallery: Matrix,
    query_vehicle: Numbers,
    gallery_vehicle: Numbers,
    query_camera: Numbers,
    gallery_camera: Numbers,
    *,
    same_camera_is_junk: bool,
    k: int,
) -> tuple[Numbers, Matrix]:
    """Return the best k gallery rows of each query, (Q, k), and their scores (Q, k); shapes as in `rank_queries`.

    Junk is left out; where fewer than k images remain, the row is -1 and the score -inf. Exact ties put the wrong image
    first, then the earlier row.
    """
    best = np.full((len(query), k), -1, dtype=np.int64)
    best_scores = np.full((len(query), k), -np.inf, dtype=np.float32)
    for index, scores in _score_rows(query, gallery, chunk=64, device="cpu"):
        match = gallery_vehicle == query_vehicle[index]
        junk = match & _is_junk(query_camera[index], gallery_camera) & same_camera_is_junk
        order = np.lexsort((match, -scores))
        order = order[~junk[order]][:k]
        best[index, : len(order)], best_scores[index, : len(order)] = order, scores[order]
    return best, best_scores


def _is_junk(camera: np.int64, cameras: Numbers) -> NDArray[np.bool_]:
    """Return which of a vehicle's `cameras` are the query's; one that is not known (-1) is never the same."""
    return np.asarray((cameras == camera) & (camera >= 0))


_NOBODY = np.zeros(0, dtype=np.int64)


def _members(vehicle: Numbers) -> dict[int, Numbers]:
    """Return, for each vehicle, the gallery rows that show it."""
    order = np.argsort(vehicle, kind="stable")
    vehicles, first = np.unique(vehicle[order], return_index=True)
    return dict(zip(vehicles.tolist(), np.split(order, first[1:]), strict=True))


def _score_rows(query: Matrix, gallery: Matrix, chunk: int, device: str) -> Iterator[tuple[int, Matrix]]:
    """Yield each query's number and its scores (G,), which may be written to."""
    for name, matrix in (("query", query), ("gallery", gallery)):
        if not np.isfinite(matrix).all():
            raise UserError(f"ranking: {name} row {int((~np.isfinite(matrix)).any(axis=1).argmax())} is not finite")
    columns = torch.from_numpy(gallery).to(device).T
    for start in range(0, len(query), chunk):
        block = torch.from_numpy(query[start : start + chunk]).to(device) @ columns
        yield from enumerate(block.cpu().numpy(), start)


def _results(lists: list[Ranks], form: PrecisionForm) -> QueryResults:
    return QueryResults(
        np.array([ranks[0] if len(ranks) else 0 for ranks in lists], dtype=np.int64),
        np.array([average_precision(ranks, form) if len(ranks) else 0.0 for ranks in lists]),
        np.array([inverse_negative_penalty(ranks) if len(ranks) else 0.0 for ranks in lists]),
        np.array([len(ranks) for ranks in lists], dtype=np.int64),
    )
