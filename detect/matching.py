"""Which box finds which true part: pairs by overlap, a part a box, as many as there can be."""

import numpy as np
from numpy.typing import NDArray

NOT_FOUND = int(np.iinfo(np.int64).max)  # the rank of no box: deeper than every depth


def matched_ranks(overlaps: NDArray[np.float32], minimum: float) -> NDArray[np.int64]:
    """Return for each of M parts the rank of the box that finds it, (M,), from its IoU with N boxes, (M, N).

    The boxes come by falling confidence: rank 0 is the most confident, NOT_FOUND is none. The two of a pair overlap by
    `minimum` or more. No pairing finds more parts, at any depth: the first D boxes find as many as there are ranks
    below D. (By COCO's rule a box takes the part that it overlaps most; so the box of a light cover may take the lamp
    behind it, whose own box then finds nothing.)
    """
    ranks = np.full(len(overlaps), NOT_FOUND, dtype=np.int64)
    best_first = np.argsort(-overlaps, axis=0, kind="stable")
    wanted = [
        [part for part in best_first[:, rank].tolist() if overlaps[part, rank] >= minimum]
        for rank in range(overlaps.shape[1])
    ]
    for rank in range(len(wanted)):
        _place(rank, wanted, ranks, set())
    return ranks


def _place(rank: int, wanted: list[list[int]], ranks: NDArray[np.int64], tried: set[int]) -> bool:
    """Give a box one of the parts that it wants, moving the box that holds it where need be; tell whether it got one.

    This is an augmenting path: no box that has a part is left without one, which makes every depth the best it can be.
    """
    for part in wanted[rank]:
        if part in tried:
            continue
        tried.add(part)
        if ranks[part] == NOT_FOUND or _place(int(ranks[part]), wanted, ranks, tried):
            ranks[part] = rank
            return True
    return False
