"""The ranks of matches by counting what scores as high: no list is sorted as a whole.

The rank of a match is one more than the matches and wrong images above it, so it is enough to count, for each match,
the wrong images that score as high. Most of a gallery scores below a query's lowest match: one comparison drops it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.retrieval.metrics import Ranks

Scores = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Equal images get scores that differ by up to 4e-7 where features have 2,048 channels: the order of additions in a
# matrix product depends on the column. Scores closer than this (times the score where that is above 1) are ties, and
# ties count against the result.
TIE = 2.0**-20
SORTING = 32  # sorting all of a row takes as long as comparing it that many times with one score


def match_ranks(matches: Scores, wrong: Scores) -> Ranks:
    """Return the ranks, ascending, of matches with scores (P,) among wrong images with scores (W,); ties rank last.

    >>> match_ranks(np.float32([0.9, 0.5]), np.float32([0.7, 0.9, 0.1]))  # the tie at 0.9 goes to the wrong image
    array([2, 4])
    """
    if not len(matches):
        return np.zeros(0, dtype=np.int64)
    descending = _just_below(np.sort(matches)[::-1])
    near = wrong >= descending[-1]
    rivals = np.count_nonzero(near)
    if len(descending) <= 2 + SORTING * rivals / max(1, len(wrong)):
        above = np.array([*(np.count_nonzero(wrong >= score) for score in descending[:-1]), rivals])
    else:
        above = rivals - np.searchsorted(np.sort(wrong[np.flatnonzero(near)]), descending, side="left")
    return np.asarray(above + np.arange(1, len(matches) + 1), dtype=np.int64)


def block_ranks(scores: Tensor, rows: Numbers, columns: Numbers, junk: NDArray[np.bool_]) -> Iterator[Ranks]:
    """Yield, for each row of scores (B, G) on any device, the ranks of its matches; the scores are overwritten.

    rows and columns (E,), sorted by row, are the places where query and gallery show one vehicle; junk (E,) tells which
    of them count neither as a match nor as wrong.
    """
    same = torch.from_numpy(rows), torch.from_numpy(columns)
    matches = _by_row(scores[same].cpu().numpy()[~junk], np.bincount(rows[~junk], minlength=len(scores)))
    scores[same] = -torch.inf
    wrong = scores.numpy() if scores.device.type == "cpu" else reaching(scores, matches)
    for found, others in zip(matches, wrong, strict=True):
        yield match_ranks(found, others)


def reaching(scores: Tensor, matches: Sequence[Scores]) -> list[Scores]:
    """Return, of each row of scores (B, G), those that reach the lowest of its matches: no other can outrank one.

    The comparison is done where the scores are, for a whole block takes longer to come from a GPU than to be computed.
    """
    lowest = np.array([_just_below(found).min(initial=np.inf) for found in matches], dtype=np.float32)
    near = scores >= torch.from_numpy(lowest).to(scores.device)[:, None]
    return _by_row(scores[near].cpu().numpy(), near.sum(dim=1).cpu().numpy())


def _by_row(values: Scores, counts: Numbers) -> list[Scores]:
    ends = np.cumsum(counts)
    return [values[start:end] for start, end in zip(ends - counts, ends, strict=True)]


def _just_below(scores: Scores) -> Scores:
    """Return the least score that reaches each of `scores`, ties taken in."""
    return np.asarray(scores - np.float32(TIE) * np.maximum(np.abs(scores), 1), dtype=np.float32)
