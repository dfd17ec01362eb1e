"""Paired bootstrap: how sure it is that one of two systems ranks the queries of a test better.

The queries are drawn with replacement, as many as there are, and both systems are scored on the same drawn queries; the
spread of the difference over many such resamples gives its interval (Efron and Tibshirani, "An Introduction to the
Bootstrap", chapter 13). Where the protocol draws random galleries, the drawn galleries stay: an image is drawn with its
results in all of them, because they are far from independent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]

COMPARED = ("mAP", "cmc1", "cmc5")
LEVEL = 0.95
AT_ONCE = 2**22  # drawn units at once: 32 MiB of their counts
SAME = 1e-9  # smaller differences are rounding, of sums and means over draws


@dataclass(frozen=True, eq=False)
class PairedResults:
    """Results of two systems for the same N queries, in the same order; a query of several draws occurs in each.

    draw and query (N,) are numbers from 0 of the draw and of the query image; units (N,) are the numbers from 0 of what
    is resampled: the query images, or their vehicles. first_ranks and second_ranks (N,) are the ranks from 1 of the
    first match; first_precision and second_precision (N,) the average precision. Queries without a match are left out.
    """

    draw: Numbers
    query: Numbers
    units: Numbers
    first_ranks: Numbers
    second_ranks: Numbers
    first_precision: Values
    second_precision: Values

    def values(self) -> tuple[Values, Values]:
        """Return what the COMPARED metrics average, of the first and of the second system, (N, M) each."""
        both = (self.first_precision, self.first_ranks), (self.second_precision, self.second_ranks)
        first, second = (
            np.stack([precision, ranks <= 1, ranks <= 5], axis=1).astype(np.float64) for precision, ranks in both
        )
        return first, second


@dataclass(frozen=True)
class Difference:
    """A metric of two systems in [0, 1], and how the second differs from the first.

    `interval` holds the difference (second - first) in LEVEL of the resamples; `not_better` is the share of resamples
    in which the second is not better. The second is better for `won` query images, worse for `lost`, neither for
    `equal`.
    """

    first: float
    second: float
    difference: float
    interval: tuple[float, float]
    not_better: float
    won: int
    lost: int
    equal: int


def paired_bootstrap(results: PairedResults, *, resamples: int, seed: int) -> dict[str, Difference]:
    """Return the differences by metric, with percentile intervals; the same seed gives the same result.

    A metric is the mean over the draws of the means over their queries. Raises UserError without any query.
    """
    if not len(results.query):
        raise UserError("no query has a match in the gallery; there is nothing to compare")
    first, second = results.values()
    change = second - first
    sums, counts = _by_unit_and_draw(results, change)
    resampled = _resampled_means(sums, counts, resamples, seed)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    everything = np.ones((1, len(counts)))
    scores = [_means(everything, *_by_unit_and_draw(results, values))[0] for values in (first, second, change)]
    of_query = _summed(change, results.query)
    return {
        name: Difference(
            first=float(scores[0][column]),
            second=float(scores[1][column]),
            difference=float(scores[2][column]),
            interval=(float(low[column]), float(high[column])),
            not_better=float((resampled[:, column] <= SAME).mean()),
            won=int((of_query[:, column] > SAME).sum()),
            lost=int((of_query[:, column] < -SAME).sum()),
            equal=int((np.abs(of_query[:, column]) <= SAME).sum()),
        )
        for column, name in enumerate(COMPARED)
    }


def numbered(labels: Sequence[str]) -> Numbers:
    """Return the number from 0 of each label, in the order in which the labels occur first.

    >>> numbered(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    number_of: dict[str, int] = {}
    return np.array([number_of.setdefault(label, len(number_of)) for label in labels], dtype=np.int64)


def _by_unit_and_draw(results: PairedResults, values: Values) -> tuple[Values, Values]:
    """Return the sums of `values` (N, M) by unit and draw, (U, T, M), and the number of queries, (U, T)."""
    draws = int(results.draw.max()) + 1
    cells = results.units * draws + results.draw
    shape = (int(results.units.max()) + 1, draws)
    size = shape[0] * shape[1]
    counts = np.bincount(cells, minlength=size).astype(np.float64)
    return _summed(values, cells, size).reshape(*shape, values.shape[1]), counts.reshape(shape)


def _summed(values: Values, groups: Numbers, count: int = 0) -> Values:
    """Return the sums of `values` (N, M) by group, (G, M); at least `count` groups."""
    return np.stack([np.bincount(groups, column, minlength=count) for column in values.T], axis=1)


def _resampled_means(sums: Values, counts: Values, resamples: int, seed: int) -> Values:
    """Return the means of each resample of the units, (R, M)."""
    units, random = len(counts), np.random.default_rng(seed)
    chunk = max(1, AT_ONCE // units)
    means = np.empty((resamples, sums.shape[2]))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = random.integers(units, size=(size, units))
        drawn += units * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        means[start : start + size] = _means(times.astype(np.float64), sums, counts)
    return means


def _means(times: Values, sums: Values, counts: Values) -> Values:
    """Return the means (R, M) where unit u is drawn `times[r, u]` times: over the queries of a draw, then over draws.

    A draw of which no query is drawn is left out, which happens in tests of a few queries.
    """
    units, draws, metrics = sums.shape
    totals = (times @ sums.reshape(units, draws * metrics)).reshape(-1, draws, metrics)
    queries = times @ counts
    by_draw = totals / np.maximum(queries, 1)[:, :, None]
    return np.asarray(by_draw.sum(axis=1) / (queries > 0).sum(axis=1)[:, None])
