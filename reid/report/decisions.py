"""The decisions of a calibrated run: their rates by threshold, and the queries that were decided wrongly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid.evaluation.answers import find_answers, known_queries, open_set
from reid.evaluation.calibration import read_calibration
from reid.report.evaluated_run import EvaluatedRun
from reid.retrieval.open_set import FIRST, OpenSet
from reid.retrieval.ranking import Mask, Numbers

SHOWN = 6  # wrong decisions of each kind
THRESHOLDS = 101  # of the curve, from 0 to 1
CONVENTIONS = {  # of precision and recall
    "top1": "the accepted match is right",
    "presence": "the vehicle of the accepted match is in the gallery",
    "pairs": "every image of the vehicle was to be found",
}
CURVE = {"top1_precision": "precision", "top1_recall": "recall", "tnr": "TNR"}


@dataclass(frozen=True)
class Decision:
    """A query and its best match, with their cosine and the confidence that they are the same vehicle."""

    query: str
    match: str
    score: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Decisions:
    """The decisions of a test; `scores` as `OpenSet.scores`, `curve` as `rates_by_threshold`.

    `accepted` (Q,) are the first matches of all queries that are accepted.
    `false_accepts` are accepted and wrong, the most confident first; `false_refusals` are right and refused, the least
    confident first; SHOWN of each.
    """

    aim: str
    scores: Mapping[str, Any]
    curve: Mapping[str, list[tuple[float, float]]]
    accepted: Mask
    false_accepts: tuple[Decision, ...]
    false_refusals: tuple[Decision, ...]


def describe_aim(aim: str) -> str:
    """Return the aim of a calibration in words, see `threshold_for`.

    >>> describe_aim("f1"), describe_aim("fpir=0.05")
    ('the best F1', 'an FPIR of at most 0.05')
    """
    return "the best F1" if aim == "f1" else f"an FPIR of at most {aim.partition('=')[2]}"


def find_decisions(run: EvaluatedRun, positives: Numbers) -> Decisions | None:
    """Return the decisions of a run; None if it was not calibrated, or is of another system.

    `positives` (Q,) are the numbers of images in the gallery that match each query of the first trial. Raises
    UserError as `read_calibration`.
    """
    calibrated = None if run.checkpoint_hash is None else read_calibration(run.folder, run.checkpoint_hash)
    if calibrated is None:
        return None
    dataset, protocol, calibration = run.dataset, run.protocol(), calibrated.calibration
    answers = find_answers(run.features, dataset, protocol, FIRST)
    names = dataset.table["name"]
    test = open_set(dataset, answers, calibration, positives)
    known = known_queries(dataset, answers)
    accepted = answers.accepted(calibration)
    order = np.argsort(-test.confidence, kind="stable")

    def decisions(queries: Numbers) -> tuple[Decision, ...]:
        return tuple(
            Decision(
                str(names.iat[answers.query[query]]),
                str(names.iat[answers.best[query, 0]]),
                float(answers.scores[query, 0]),
                float(test.confidence[query]),
            )
            for query in queries[:SHOWN].tolist()
        )

    return Decisions(
        aim=describe_aim(calibrated.aim),
        scores=test.take(known).scores(calibration.threshold),
        curve=rates_by_threshold(test.take(known)),
        accepted=accepted,
        false_accepts=decisions(order[(accepted & ~test.right & known)[order]]),
        false_refusals=decisions(order[::-1][(~accepted & test.right)[order[::-1]]]),
    )


def rates_by_threshold(test: OpenSet) -> dict[str, list[tuple[float, float]]]:
    """Return the points (threshold, rate) by the names in CURVE.

    Left out are TNR without absent vehicles, and the precision of thresholds that accept nothing.
    """
    rates = [test.at(float(threshold)) for threshold in np.linspace(0, 1, THRESHOLDS)]
    shown = [name for name in CURVE if name != "tnr" or not test.present.all()]
    return {
        CURVE[name]: [(one["threshold"], one[name]) for one in rates if name != "top1_precision" or one["accepted"] > 0]
        for name in shown
    }
