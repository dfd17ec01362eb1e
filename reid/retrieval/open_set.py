"""Open-set decisions: is the best match the query's vehicle, or is the vehicle not in the gallery at all?

The confidence of a query's best match comes from the scores of its first images alone, so that it can be had from any
search. It is learnt from vehicles that the network was not trained on, and a threshold turns it into a decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from reid.retrieval.ranking import Matrix, Numbers

FIRST = 50  # images of a list that the evidence is taken from
TEMPERATURE = 0.05  # of the softmax over their scores
EVIDENCE = ("cosine", "margin", "above the mean", "log softmax", "log gallery size")
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


def evidence(scores: Matrix, gallery: int) -> Values:
    """Return what speaks for the best match of each query, (Q, 5), EVIDENCE.

    `scores` (Q, k) are the cosines of the first images of each list, best first, -inf where a list ends; FIRST of them
    count. `gallery` is the number of images that were searched. A list of a single image says nothing but its cosine:
    the three numbers that compare it with others are NaN. Without any image the cosine is -1.
    """
    first = np.where(np.isfinite(scores[:, :FIRST]), scores[:, :FIRST], np.nan).astype(np.float64)
    known = np.isfinite(first)
    some = known.any(axis=1)
    best = np.where(some, np.nan_to_num(first[:, :1], nan=-1.0)[:, 0], -1.0)
    several = known.sum(axis=1) > 1
    second = np.where(several, np.nan_to_num(first[:, 1:2]).sum(axis=1), np.nan)
    mean = np.nansum(first, axis=1) / np.maximum(known.sum(axis=1), 1)
    weights = np.where(known, np.exp((np.nan_to_num(first) - best[:, None]) / TEMPERATURE), 0.0).sum(axis=1)
    size = np.full(len(first), np.log(max(1, gallery)))
    compared = np.stack([best - second, best - mean, -np.log(np.maximum(weights, 1.0))], axis=1)
    return np.column_stack([best, np.where(several[:, None], compared, np.nan), size])


@dataclass(frozen=True)
class Calibration:
    """A logistic model of EVIDENCE: confidence = sigmoid(intercept + weights . (evidence - mean) / scale).

    Evidence below `low` or above `high`, the range that it was learnt from, counts as that bound: a gallery a thousand
    times larger says no more than the largest one seen. What is not known (NaN) counts as `mean`, for neither answer: a
    single image is accepted for its cosine alone.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    threshold: float

    @classmethod
    def fit(cls, found: Values, right: Mask) -> "Calibration":
        """Learn from the evidence (N, 5) of queries of which it is known whether the best match is `right` (N,).

        The threshold is 0.5. Raises UserError if all are right, or none.
        """
        from sklearn.linear_model import LogisticRegression

        if right.all() or not right.any():
            raise UserError(
                f"calibration: {int(right.sum())} of {len(right)} best matches of simulated searches are right; both "
                "are needed, and images by a query's own camera do not count: take more vehicles, or cameras"
            )
        mean, scale = np.nanmean(found, axis=0), np.nanstd(found, axis=0)
        found = np.where(np.isnan(found), mean, found)
        scale = np.where(scale > 1e-9, scale, 1.0)
        model = LogisticRegression().fit((found - mean) / scale, right)
        return cls(
            mean=tuple(mean.tolist()),
            scale=tuple(scale.tolist()),
            low=tuple(found.min(axis=0).tolist()),
            high=tuple(found.max(axis=0).tolist()),
            weights=tuple(model.coef_[0].tolist()),
            intercept=float(model.intercept_[0]),
            threshold=0.5,
        )

    def confidence(self, found: Values) -> Values:
        """Return the probability that the best match is right, (N,), from the evidence (N, 5)."""
        known = np.clip(np.where(np.isnan(found), self.mean, found), self.low, self.high)
        logits = self.intercept + ((known - self.mean) / self.scale) @ np.array(self.weights)
        return np.asarray(1 / (1 + np.exp(-logits)))


@dataclass(frozen=True)
class OpenSet:
    """Q queries: confidence in the best match, whether it is the vehicle, and the vehicle's images in the gallery."""

    confidence: Values
    right: Mask
    positives: Numbers

    @property
    def present(self) -> Mask:
        """Whether the vehicle of each query is in the gallery."""
        return self.positives > 0

    def take(self, queries: Mask) -> "OpenSet":
        """Return the chosen queries (Q,)."""
        return OpenSet(self.confidence[queries], self.right[queries], self.positives[queries])

    def at(self, threshold: float) -> dict[str, float]:
        """Return the rates of a threshold, at or above which the best match is accepted.

        Precision, recall and F1 are of three conventions: `top1`, where an accepted match must be right; `presence`,
        where it is enough that the vehicle is there; and `pairs`, where a match accepted is a pair of query and image,
        and all pairs of a vehicle were to be found. TNR: the share of absent vehicles that are refused, FPIR: the share
        that is accepted. A rate of nothing is 0.
        """
        accepted = self.confidence >= threshold
        rates: dict[str, float] = {"threshold": threshold, "accepted": _share(accepted)}
        queries, pairs = int(self.present.sum()), int(self.positives.sum())
        conventions = (("top1", self.right, queries), ("presence", self.present, queries), ("pairs", self.right, pairs))
        for name, positive, wanted in conventions:
            precision = _ratio(accepted & positive, accepted)
            recall = int((accepted & positive).sum()) / wanted if wanted else 0.0
            both = precision + recall
            f1 = 2 * precision * recall / both if both else 0.0
            rates |= {f"{name}_precision": precision, f"{name}_recall": recall, f"{name}_f1": f1}
        return {**rates, "tnr": _ratio(~accepted & ~self.present, ~self.present),
                "fpir": _ratio(accepted & ~self.present, ~self.present)}  # fmt: skip

    def best_f1(self) -> float:
        """Return the threshold with the highest F1 of the first matches; of equal ones the highest.

        It is one of the confidences, or the next number above all of them, which accepts nothing.
        """
        last, confidence, hits = self._by_confidence()
        f1 = 2 * hits / (last + 1 + max(1, int(self.present.sum())))
        best = int(f1.argmax())  # the first: confidences descend
        return float(confidence[last[best]] if f1[best] > 0 else np.nextafter(confidence[0], np.inf))

    def threshold_at(self, fpir: float) -> float:
        """Return the lowest threshold that accepts at most the share `fpir` of the absent vehicles.

        Raises UserError if no vehicle is absent.
        """
        absent = np.sort(self.confidence[~self.present])
        if not len(absent):
            raise UserError("no query's vehicle is absent from the gallery; a rate of false accepts is not defined")
        allowed = int(np.floor(fpir * len(absent) + 1e-9))
        if allowed >= len(absent):
            return float(self.confidence.min())
        return float(np.nextafter(absent[len(absent) - allowed - 1], np.inf))

    def identification_rate(self, fpir: float) -> float:
        """Return the share of present vehicles whose first match is right and accepted at that FPIR (ISO 19795-1)."""
        return _ratio((self.confidence >= self.threshold_at(fpir)) & self.right, self.present)

    def average_precision(self) -> float:
        """Return the area under precision and recall of right first matches: the sum of precision over recall steps.

        Equal confidences are one step, as in scikit-learn's `average_precision_score`. Recall is of all present
        vehicles.
        """
        last, _, hits = self._by_confidence()
        precision, recall = hits / (last + 1), hits / max(1, int(self.present.sum()))
        return float((np.diff(recall, prepend=0.0) * precision).sum())

    def _by_confidence(self) -> tuple[NDArray[np.int64], Values, NDArray[np.int64]]:
        """Return the confidences, highest first, the index of the last of each group of equal ones, and the hits there.

        In this order: indices (T,), confidences (Q,), right first matches up to each index (T,).
        """
        order = np.argsort(-self.confidence, kind="stable")
        confidence = self.confidence[order]
        last = np.append(np.flatnonzero(np.diff(confidence)), len(confidence) - 1)
        return last, confidence, np.cumsum(self.right[order])[last]

    def scores(self, threshold: float) -> Mapping[str, Any]:
        """Return all metrics as plain JSON values; `threshold` is that of the decision."""
        absent = int((~self.present).sum())
        rates = {f"dir_at_fpir_{fpir:g}": self.identification_rate(fpir) for fpir in (0.01, 0.1)} if absent else {}
        counts = {"queries": len(self.confidence), "absent": absent}
        return {**counts, **self.at(threshold), "average_precision": self.average_precision(), **rates}


def _share(mask: Mask) -> float:
    return float(mask.mean()) if len(mask) else 0.0


def _ratio(part: Mask, whole: Mask) -> float:
    count = int(whole.sum())
    return int(part.sum()) / count if count else 0.0
