"""Scoring of features under a data set's protocol: plain cosine and, on request, re-ranking and query expansion."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol
from reid.features.file import Features, require_spread
from reid.retrieval.metrics import PrecisionForm, QueryResults
from reid.retrieval.neighbours import expanded_queries
from reid.retrieval.ranking import Matrix, cosine_scores, labelled_trials, rank_queries
from reid.retrieval.reranking import k_reciprocal_scores

PLAIN, RERANKED, EXPANDED = "plain", "re-ranked", "expanded queries"
Results = list[QueryResults]  # one per trial
Scorer = Callable[[Matrix, Matrix], Iterable[Tensor]]  # queries, gallery -> blocks of scores, see `rank_queries`


@dataclass(frozen=True)
class Scoring:
    """Options of scoring: draws and seed of random galleries, form of the average precision, and what to add.

    `rerank` adds scores after k-reciprocal re-ranking; `expand` adds scores of queries averaged with that many gallery
    images, 0 for none.
    """

    draws: int = 10
    seed: int = 0
    form: PrecisionForm = "step"
    rerank: bool = False
    expand: int = 0

    def protocol(self, dataset: Dataset, split: str) -> Protocol:
        """Return the trials of a test. Raises UserError for a split that the data set does not have."""
        return dataset.protocol(split, draws=self.draws, seed=self.seed)

    def results(self, features: Features, dataset: Dataset, protocol: Protocol, *, device: str) -> dict[str, Results]:
        """Return the results of each trial, `PLAIN` first, then what is added. No label reaches a scorer.

        Raises UserError for images without a feature, and for collapsed features.
        """
        require_spread(features.of(dataset.table["name"].iloc[protocol.rows()]))
        scorers: dict[str, Scorer] = {PLAIN: partial(cosine_scores, device=device)}
        if self.rerank:
            scorers[RERANKED] = partial(k_reciprocal_scores, device=device)
        if self.expand:
            scorers[EXPANDED] = partial(_expanded_scores, k=self.expand, device=device)
        return {name: rank_protocol(features, dataset, protocol, scorer, self.form) for name, scorer in scorers.items()}


def rank_protocol(
    features: Features, dataset: Dataset, protocol: Protocol, scorer: Scorer, form: PrecisionForm = "step"
) -> Results:
    """Rank each trial by the scores that `scorer` gives to its queries and gallery."""
    names = dataset.table["name"]
    labelled = labelled_trials(dataset.table, protocol)
    return [
        rank_queries(scorer(features.of(names.iloc[trial.query]), features.of(names.iloc[trial.gallery])), labels, form)
        for trial, labels in zip(protocol.trials, labelled, strict=True)
    ]


def _expanded_scores(query: Matrix, gallery: Matrix, *, k: int, device: str) -> Iterable[Tensor]:
    return cosine_scores(expanded_queries(query, gallery, k, device=device), gallery, device)
