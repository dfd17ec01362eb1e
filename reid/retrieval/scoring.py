"""Scores of a feature file under a data set's protocol: mean average precision, CMC, mINP, and what was left out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.protocols import Protocol, Rows, Trial
from reid.features.file import Features, require_spread
from reid.retrieval.metrics import PrecisionForm, cumulative_match
from reid.retrieval.ranking import Labels, QueryResults, queries_at_once, rank_queries

FIGURES = ("mAP", "cmc1", "cmc5", "cmc10", "mINP")


@dataclass(frozen=True)
class Scores:
    """The figures of one test, in [0, 1]: means over its queries that have a match, then over its trials.

    `deviation` is the standard deviation over the trials (n - 1), None where there is one trial. `queries` counts all
    queries of a trial, `queries_without_match` those of them that no figure counts, `gallery` the images, or tracks,
    that are ranked. `seed` drew the trials.
    """

    split: str
    mAP: float
    cmc1: float
    cmc5: float
    cmc10: float
    mINP: float
    deviation: Mapping[str, float] | None
    queries: int
    queries_without_match: int
    gallery: int
    trials: int
    seed: int | None
    precision: PrecisionForm = "step"

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain JSON values, fractions not percent."""
        return asdict(self)


def score(
    features: Features,
    dataset: Dataset,
    split: str,
    *,
    draws: int = 10,
    seed: int = 0,
    form: PrecisionForm = "step",
    device: str = "cpu",
) -> Scores:
    """Score `features` on a test of `dataset`; one pass of features serves all draws.

    Raises UserError for an unknown split, images without a feature, collapsed features, or no query with a match.
    """
    return score_protocol(
        features, dataset.table, dataset.protocol(split, draws=draws, seed=seed), form=form, device=device
    )


def score_protocol(
    features: Features, table: pd.DataFrame, protocol: Protocol, *, form: PrecisionForm = "step", device: str = "cpu"
) -> Scores:
    """Score `features` on the trials of `protocol`, whose rows are those of `table`; see `score`."""
    return scores_of(protocol, rank_protocol(features, table, protocol, form=form, device=device), form)


def rank_protocol(
    features: Features, table: pd.DataFrame, protocol: Protocol, *, form: PrecisionForm = "step", device: str = "cpu"
) -> tuple[QueryResults, ...]:
    """Return what each query of each trial got, in the trial's order; rows and errors as in `score_protocol`."""
    require_spread(features_of(features, table, protocol.rows()))
    junk = protocol.same_camera_is_junk
    return tuple(rank_trial(features, table, trial, junk, form, device) for trial in protocol.trials)


def scores_of(protocol: Protocol, results: Sequence[QueryResults], form: PrecisionForm = "step") -> Scores:
    """Return the figures of a protocol from the results of each of its trials, whatever ranked them.

    `form` is that of the results' average precision. Raises UserError where no query of a trial has a match.
    """
    by_trial = [figures(result) for result in results]
    first = protocol.trials[0]
    return Scores(
        split=protocol.split,
        **{name: float(np.mean([trial[name] for trial in by_trial])) for name in FIGURES},
        deviation=_deviation(by_trial),
        queries=len(first.query),
        queries_without_match=int(max((~result.valid).sum() for result in results)),
        gallery=len(first.gallery if first.tracks is None else first.tracks),
        trials=len(results),
        seed=protocol.seed,
        precision=form,
    )


def rank_trial(
    features: Features,
    table: pd.DataFrame,
    trial: Trial,
    same_camera_is_junk: bool,
    form: PrecisionForm = "step",
    device: str = "cpu",
) -> QueryResults:
    """Rank the gallery of one trial for each of its queries, in the trial's order."""
    labels = labels_of(table)
    return rank_queries(
        features_of(features, table, trial.query),
        features_of(features, table, trial.gallery),
        labels.take(trial.query),
        labels.take(trial.gallery),
        same_camera_is_junk=same_camera_is_junk,
        chunk=queries_at_once(len(trial.gallery)),
        form=form,
        device=device,
        tracks=trial.tracks,
    )


def features_of(features: Features, table: pd.DataFrame, rows: Rows) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the features of the images in `rows` of `table`, (M, C)."""
    return features.matrix[features.rows(table["name"].iloc[rows].tolist())]


def labels_of(table: pd.DataFrame) -> Labels:
    """Return vehicle and camera of each row of `table`, as numbers that tell the same from others."""
    return Labels(pd.factorize(table["vehicle_id"])[0].astype(np.int64), table["camera_id"].to_numpy(np.int64))


def figures(results: QueryResults) -> dict[str, float]:
    """Return the means over the queries that have a match, by the names in FIGURES. Raises UserError where none has."""
    valid = results.valid
    if not valid.any():
        raise UserError(f"none of the {len(valid)} queries has a match in the gallery; nothing can be scored")
    first = results.first_hit_rank[valid]
    return {
        "mAP": float(results.average_precision[valid].mean()),
        **{f"cmc{k}": cumulative_match(first, k) for k in (1, 5, 10)},
        "mINP": float(results.inverse_negative_penalty[valid].mean()),
    }


def _deviation(by_trial: list[dict[str, float]]) -> dict[str, float] | None:
    if len(by_trial) < 2:
        return None
    return {name: float(np.std([trial[name] for trial in by_trial], ddof=1)) for name in FIGURES}
