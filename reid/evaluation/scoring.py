"""How features are scored: the protocol's trials as they are and, beside them, after re-ranking or query expansion."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from data_cache.datasets.protocols import Protocol
from reid.features.file import Features
from reid.retrieval.metrics import PrecisionForm
from reid.retrieval.neighbours import expanded_queries
from reid.retrieval.ranking import Matrix, QueryResults, queries_at_once, rank_rows, score_rows
from reid.retrieval.reranking import K1, K2, WEIGHT, k_reciprocal_rows
from reid.retrieval.scores import features_of, labels_of, rank_protocol

PLAIN, RERANKED, EXPANDED = "plain", "re-ranked", "expanded queries"
Results = Sequence[QueryResults]  # of each trial
Scorer = Callable[[Matrix, Matrix], Iterator[tuple[int, Matrix]]]  # queries, gallery -> each query's scores


@dataclass(frozen=True)
class Scoring:
    """What to print of a test: draws and seed of a drawn protocol, form of the precision, and what beside the plain.

    `expand` is the number of gallery images that a query is averaged with, 0 for none.
    """

    draws: int = 10
    seed: int = 0
    form: PrecisionForm = "step"
    rerank: bool = False
    expand: int = 0

    def results(
        self, features: Features, table: pd.DataFrame, protocol: Protocol, *, device: str
    ) -> dict[str, Results]:
        """Return the results of each trial: PLAIN first, always, then those that are asked for.

        Raises UserError for images without a feature, and for collapsed features.
        """
        found: dict[str, Results] = {PLAIN: rank_protocol(features, table, protocol, form=self.form, device=device)}
        for name, scorer in self._scorers(device).items():
            found[name] = rank_by(scorer, features, table, protocol, self.form)
        return found

    def extras(self) -> dict[str, Any]:
        """Return what metrics.json tells of what stands beside the plain score, with its settings."""
        found: dict[str, Any] = {"rerank": {"k1": K1, "k2": K2, "lambda": WEIGHT}} if self.rerank else {}
        return found | ({"expand": self.expand} if self.expand else {})

    def alone(self) -> "Scoring":
        """Return the same without what stands beside the plain score."""
        return replace(self, rerank=False, expand=0)

    def _scorers(self, device: str) -> dict[str, Scorer]:
        found: dict[str, Scorer] = {}
        if self.rerank:
            found[RERANKED] = lambda query, gallery: k_reciprocal_rows(
                query, gallery, chunk=queries_at_once(len(query) + len(gallery)), device=device
            )
        if self.expand:
            found[EXPANDED] = partial(_expanded_rows, k=self.expand, device=device)
        return found


def rank_by(
    scorer: Scorer, features: Features, table: pd.DataFrame, protocol: Protocol, form: PrecisionForm
) -> Results:
    """Rank each trial by the scores that `scorer` gives to its queries and gallery; no label reaches it."""
    labels = labels_of(table)
    return tuple(
        rank_rows(
            scorer(features_of(features, table, trial.query), features_of(features, table, trial.gallery)),
            labels.take(trial.query),
            labels.take(trial.gallery),
            same_camera_is_junk=protocol.same_camera_is_junk,
            form=form,
            tracks=trial.tracks,
        )
        for trial in protocol.trials
    )


def _expanded_rows(query: Matrix, gallery: Matrix, *, k: int, device: str) -> Iterator[tuple[int, Matrix]]:
    chunk = queries_at_once(len(gallery))
    return score_rows(
        expanded_queries(query, gallery, k=k, chunk=chunk, device=device), gallery, chunk=chunk, device=device
    )
