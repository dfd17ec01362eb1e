"""Why two images are alike to PGAN+: its score is a sum over the whole image and each kind of part that both show.

A feature is (g, s_1, ..., s_K), so the cosine of two unit features is g·g' + sum_k s_k·s'_k, exactly.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_cache.parts.names import PART_NAMES
from reid.recipes import ReidRecipe

WHOLE = "whole image"


class PartScore(NamedTuple):
    """A kind of part that both images show, or the whole image.

    `similarity` is the cosine of their vectors for it, in [-1, 1], and `added` what it adds to the score.
    """

    part: str
    similarity: float
    added: float


def score_by_part(recipe: ReidRecipe, first: NDArray[np.float32], second: NDArray[np.float32]) -> list[PartScore]:
    """Return the parts of the score of two unit features (C,), the whole image first, then what adds or takes most.

    Their `added` sum to the score. Empty for networks without slots, whose score has no such parts.
    """
    if not recipe.part_crops:
        return []
    size = recipe.features
    pairs = [(WHOLE, first[:size], second[:size])]
    kinds = (vector[size:].reshape(len(PART_NAMES), -1) for vector in (first, second))
    pairs += [(part, *slots) for part, *slots in zip(PART_NAMES, *kinds, strict=True)]
    scores = [
        PartScore(part, _cosine(one, other), float(one @ other)) for part, one, other in pairs if _shown(one, other)
    ]
    return scores[:1] + sorted(scores[1:], key=lambda score: -abs(score.added))


def _shown(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return bool(one.any() and other.any())


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))
