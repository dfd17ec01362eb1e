"""Scoring of features under a data set's protocol: plain cosine and, on request, re-ranking and query expansion."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Cameras, Protocol
from reid.features.file import Features, require_spread
from reid.retrieval.metrics import PrecisionForm, QueryResults, Scores, mean_scores
from reid.retrieval.neighbours import expanded_queries
from reid.retrieval.ranked_lists import Scorer
from reid.retrieval.ranking import Matrix, cosine_scores, labelled_trials, rank_queries
from reid.retrieval.reranking import k_reciprocal_scores
from reid.retrieval.transforms import augmented_database, without_camera_means

log = logging.getLogger(__name__)

RERANKED, EXPANDED = "re-ranked", "expanded queries"
AUGMENTED, CENTRED = "augmented database", "without camera means"
BY_CAMERAS: Mapping[str, Cameras] = {"across cameras": "other", "within a camera": "own"}


@dataclass(frozen=True)
class ScoredTest:
    """A test with the results of its queries, one `QueryResults` per trial, and their means, by row of metrics.json."""

    protocol: Protocol
    results: dict[str, list[QueryResults]]
    scores: dict[str, Scores]


@dataclass(frozen=True)
class Scoring:
    """Options of scoring: draws and seed of random galleries, form of the average precision, and what to add.

    `rerank` adds scores after k-reciprocal re-ranking; `expand` adds scores of queries averaged with that many gallery
    images, 0 for none. `database` adds scores in a gallery whose features are means with so many neighbours, and
    `camera_means` scores of features without the mean of their camera in the test. `cameras` adds what the network
    knows of cameras: scores with each query's gallery restricted to other cameras, and to its own unless it has copies
    of the queries there.
    """

    draws: int = 10
    seed: int = 0
    form: PrecisionForm = "step"
    rerank: bool = False
    expand: int = 0
    database: int = 0
    camera_means: bool = False
    cameras: bool = False

    def protocol(self, dataset: Dataset, split: str) -> Protocol:
        """Return the trials of a test. Raises UserError for an unknown split."""
        return dataset.protocol(split, draws=self.draws, seed=self.seed)

    def score(self, features: Mapping[str, Features], dataset: Dataset, split: str, *, device: str) -> ScoredTest:
        """Score features, by row, on a test; the added scores are for the first row only, in rows of their own.

        Raises UserError for an unknown split, an image without a feature, collapsed features, or no query with a match.
        """
        protocol = self.protocol(dataset, split)
        results: dict[str, list[QueryResults]] = {}
        for row, values in features.items():
            require_spread(values.of(dataset.table["name"].iloc[protocol.rows()]))
            plain, first = partial(cosine_scores, device=device), not results
            scorers: dict[str, Scorer] = {row: plain, **(self._added_scorers(row, device) if first else {})}
            for name, scorer in scorers.items():
                results[name] = rank_protocol(values, dataset, protocol, scorer, self.form)
            if self.camera_means and first:
                centred = _without_camera_means(values, dataset, protocol)
                results[f"{row}, {CENTRED}"] = rank_protocol(centred, dataset, protocol, plain, self.form)
            if self.cameras and first:
                for name, cameras in BY_CAMERAS.items():
                    if cameras == "own" and _has_copies(dataset, protocol):
                        log.info(f"no row {name!r}: the gallery has copies of the queries, which are always found")
                        continue
                    restricted = replace(protocol, cameras=cameras)
                    found = rank_protocol(values, dataset, restricted, plain, self.form)
                    if all(trial.valid.any() for trial in found):  # a gallery may have no match by the query's camera
                        results[f"{row}, {name}"] = found
        scores = {row: mean_scores(protocol, trials, self.form) for row, trials in results.items()}
        return ScoredTest(protocol, results, scores)

    def _added_scorers(self, row: str, device: str) -> dict[str, Scorer]:
        scorers: dict[str, Scorer] = {}
        if self.rerank:
            scorers[f"{row}, {RERANKED}"] = partial(k_reciprocal_scores, device=device)
        if self.expand:
            scorers[f"{row}, {EXPANDED}"] = partial(_expanded_scores, k=self.expand, device=device)
        if self.database:
            scorers[f"{row}, {AUGMENTED}"] = partial(_database_scores, k=self.database, device=device)
        return scorers


@dataclass(frozen=True)
class AfterNetwork:
    """What is done to one answer after the network, in this order; the options of `Scoring` score each by itself.

    `camera_means` takes the mean of their camera off all features of the test; `database` makes gallery features means
    with so many neighbours; `expand` queries means with so many gallery images; `rerank` is k-reciprocal re-ranking.
    """

    camera_means: bool = False
    database: int = 0
    expand: int = 0
    rerank: bool = False

    def features(self, features: Features, dataset: Dataset, protocol: Protocol) -> Features:
        """Return the features of the test's images, changed. Raises UserError if an image has none."""
        return _without_camera_means(features, dataset, protocol) if self.camera_means else features

    def scores(self, query: Matrix, gallery: Matrix, device: str = "cpu") -> Iterable[Tensor]:
        """Yield the scores of the queries (Q, C) with the gallery (G, C) in blocks, as `cosine_scores`."""
        if self.database:
            gallery = augmented_database(gallery, self.database, device=device)
        if self.expand:
            query = expanded_queries(query, gallery, self.expand, device=device)
        if self.rerank:
            return k_reciprocal_scores(query, gallery, device=device)
        return cosine_scores(query, gallery, device)


PLAIN = AfterNetwork()


def camera_gap(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float] | None:
    """Return mAP and CMC@1 within a camera less those across cameras, of the rows of a metrics.json that has both.

    It is what a network knows of cameras: the gap of one that sees vehicles alone is that of harder views.
    """
    across, within = (next((row for row in scores if row.endswith(f", {name}")), None) for name in BY_CAMERAS)
    if across is None or within is None:
        return None
    return {name: scores[within][name] - scores[across][name] for name in ("mAP", "cmc1")}


def rank_protocol(
    features: Features, dataset: Dataset, protocol: Protocol, scorer: Scorer, form: PrecisionForm = "step"
) -> list[QueryResults]:
    """Rank each trial by the scores that `scorer`, which sees no label, gives to its queries and gallery."""
    names = dataset.table["name"]
    return [
        rank_queries(scorer(features.of(names.iloc[trial.query]), features.of(names.iloc[trial.gallery])), labels, form)
        for trial, labels in zip(protocol.trials, labelled_trials(dataset.table, protocol), strict=True)
    ]


def _expanded_scores(query: Matrix, gallery: Matrix, *, k: int, device: str) -> Iterable[Tensor]:
    return cosine_scores(expanded_queries(query, gallery, k, device=device), gallery, device)


def _database_scores(query: Matrix, gallery: Matrix, *, k: int, device: str) -> Iterable[Tensor]:
    return cosine_scores(query, augmented_database(gallery, k, device=device), device)


def _has_copies(dataset: Dataset, protocol: Protocol) -> bool:
    """Return whether the gallery has a copy of each query, as that of VeRi-776, where it is junk.

    A copy has its query's file name, vehicle and camera; the folder is another.
    """
    table = dataset.table
    identity = table["name"].str.rpartition("/")[2] + "/" + table["vehicle_id"] + "/" + table["camera_id"].astype(str)
    return protocol.same_camera_is_junk and all(
        identity.iloc[trial.query].isin(identity.iloc[trial.gallery]).all() for trial in protocol.trials
    )


def _without_camera_means(features: Features, dataset: Dataset, protocol: Protocol) -> Features:
    """Return the features of a test's images without the means of their cameras among these images."""
    table = dataset.table.iloc[protocol.rows()]
    names = tuple(table["name"])
    rows = features.rows(names)
    matrix = without_camera_means(features.matrix[rows], table["camera_id"].to_numpy(np.int64))
    return Features(names, matrix, features.attention[rows], features.provenance)
