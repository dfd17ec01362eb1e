"""Query sets and galleries with labels at random, and their results by sorting every list as a whole."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.retrieval.ranking import Labels, QueryResults, rank_queries, rank_rows


@dataclass(frozen=True)
class Pair:
    """A query set and a gallery, in the order of `rank_queries`; tracks are told by their starts."""

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    query_labels: Labels
    gallery_labels: Labels
    tracks: NDArray[np.int64] | None = None

    def rank(self, *, junk: bool = True, chunk: int = 7, **options: Any) -> QueryResults:
        arrays = self.query, self.gallery, self.query_labels, self.gallery_labels
        return rank_queries(*arrays, same_camera_is_junk=junk, chunk=chunk, tracks=self.tracks, **options)

    def rank_rows(self, rows: Any) -> QueryResults:
        return rank_rows(rows, self.query_labels, self.gallery_labels, same_camera_is_junk=True, tracks=self.tracks)


def unit(matrix: NDArray[Any]) -> NDArray[np.float32]:
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def random_pair(seed: int, *, levels: int = 0, queries: int = 23, gallery: int = 90, tracks: bool = False) -> Pair:
    """Random features; with `levels`, every feature is one of that many, so that ties are everywhere.

    With `tracks`, runs of one to five gallery images have the labels of their first.
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
    asked, shown = Labels(vehicle[:queries], camera[:queries]), Labels(vehicle[queries:], camera[queries:])
    return Pair(features[:queries], features[queries:], asked, shown, starts)


def with_cameras(pair: Pair, camera: int) -> Pair:
    """The pair as one camera took it."""
    asked, shown = (
        replace(side, camera=np.full(len(side), camera)) for side in (pair.query_labels, pair.gallery_labels)
    )
    return replace(pair, query_labels=asked, gallery_labels=shown)


def brute_force(pair: Pair, *, junk: bool) -> QueryResults:
    """Sort every list by Python, a wrong one before a match where scores tie, and walk down it; all in float64."""
    shown = pair.gallery_labels
    starts = range(len(pair.gallery)) if pair.tracks is None else pair.tracks.tolist()
    results = []
    for feature, vehicle, camera in zip(pair.query, pair.query_labels.vehicle, pair.query_labels.camera, strict=True):
        ranked = []
        for start, end in zip(starts, [*starts[1:], len(pair.gallery)], strict=True):
            match = vehicle == shown.vehicle[start]
            if not (junk and match and camera == shown.camera[start] >= 0):
                images = pair.gallery[start:end].tolist()
                score = max(sum(float(a) * b for a, b in zip(feature, image, strict=True)) for image in images)
                ranked.append((-round(score, 6), match))
        hits = [rank for rank, (_, match) in enumerate(sorted(ranked), start=1) if match]
        precision = sum(number / rank for number, rank in enumerate(hits, start=1)) / max(1, len(hits))
        results.append((hits[0], precision, len(hits) / hits[-1], len(hits)) if hits else (0, 0.0, 0.0, 0))
    return QueryResults(*(np.array(column) for column in zip(*results, strict=True)))
