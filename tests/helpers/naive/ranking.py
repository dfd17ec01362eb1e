"""Random retrieval trials, and their results by sorting every list in full."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reid.retrieval import ranking
from reid.retrieval.metrics import PrecisionForm, QueryResults
from reid.retrieval.ranking import LabelledTrial, Labels, cosine_scores, rank_queries


@dataclass(frozen=True)
class Case:
    """Features of length 1 of queries (Q, C) and gallery (G, C), with their labels."""

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    trial: LabelledTrial

    def rank(self, form: PrecisionForm = "step", chunk: int = 7) -> QueryResults:
        with queries_at_once(chunk):
            return rank_queries(cosine_scores(self.query, self.gallery), self.trial, form)

    def with_trial(self, **changes: Any) -> "Case":
        return replace(self, trial=replace(self.trial, **changes))


@contextmanager
def queries_at_once(count: int) -> Iterator[None]:
    """Score so many queries in one matrix product."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "QUERIES_AT_ONCE", count)
        yield


def unit(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Return the rows of `matrix` normalised to length 1."""
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def random_case(seed: int, *, levels: int = 0, queries: int = 23, gallery: int = 90, tracks: bool = False) -> Case:
    """Return random features; with `levels` there are only that many different ones, so that ties are frequent.

    With `tracks`, runs of one to five gallery images share their labels.
    """
    random = np.random.default_rng(seed)
    vectors = unit(random.standard_normal((levels or queries + gallery, 16)))
    features = vectors[random.integers(0, levels, queries + gallery) if levels else np.arange(queries + gallery)]
    vehicle = random.integers(0, 12, queries + gallery)
    camera = random.integers(0, 3, queries + gallery)
    starts = None
    if tracks:
        starts = np.concatenate([[0], np.cumsum(random.integers(1, 6, gallery))])
        starts = starts[starts < gallery]
        first = queries + np.repeat(starts, np.diff(starts, append=gallery))
        vehicle[queries:], camera[queries:] = vehicle[first], camera[first]
    labels = (Labels(vehicle[rows], camera[rows]) for rows in (slice(queries), slice(queries, None)))
    return Case(features[:queries], features[queries:], LabelledTrial(*labels, True, starts))


def brute_force(case: Case) -> QueryResults:
    """Sort every list in Python, wrong images before matches at equal scores, and walk down it; all in float64."""
    trial, count = case.trial, len(case.gallery)
    starts = range(count) if trial.tracks is None else trial.tracks.tolist()
    results = []
    for feature, vehicle, camera in zip(case.query, trial.query.vehicle, trial.query.camera, strict=True):
        ranked = []
        for start, end in zip(starts, [*starts[1:], count], strict=True):
            match = vehicle == trial.gallery.vehicle[start]
            if not (trial.same_camera_is_junk and match and camera == trial.gallery.camera[start] >= 0):
                images = case.gallery[start:end].tolist()
                score = max(sum(float(a) * b for a, b in zip(feature, image, strict=True)) for image in images)
                ranked.append((-round(score, 6), match))
        hits = [rank for rank, (_, match) in enumerate(sorted(ranked), start=1) if match]
        precision = sum(number / rank for number, rank in enumerate(hits, start=1)) / max(1, len(hits))
        ten, found = 0.0, 0
        for rank, (_, match) in enumerate(sorted(ranked)[:10], start=1):
            found += match
            ten += match * found / rank
        ten /= max(1, min(10, len(hits)))
        results.append((hits[0], precision, ten, len(hits) / hits[-1], len(hits)) if hits else (0, 0.0, 0.0, 0.0, 0))
    return QueryResults(*(np.array(column) for column in zip(*results, strict=True)))


def assert_same_results(found: QueryResults, expected: QueryResults) -> None:
    for name, values in vars(expected).items():
        np.testing.assert_allclose(getattr(found, name), values, atol=1e-12, err_msg=name)
