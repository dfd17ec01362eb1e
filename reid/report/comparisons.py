"""How the compared runs of a report differ from its own, with the intervals of the paired bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_cache.base.errors import UserError
from reid.evaluation.comparison import Comparison, compare_evaluations, interval_text
from reid.report.evaluated_run import EvaluatedRun
from reid.retrieval.paired_bootstrap import COMPARED


@dataclass(frozen=True)
class ComparedRun:
    """A compared run: a cell for each of the COMPARED metrics, and the queries that it ranks better, worse, equally.

    Without cells, `reason` says why the two runs cannot be compared query by query.
    """

    name: str
    cells: tuple[str, ...] = ()
    queries: str = ""
    caption: str = ""
    reason: str = ""


def compared_runs(run: EvaluatedRun, others: Sequence[EvaluatedRun]) -> list[ComparedRun]:
    """Return how each other run differs from `run`, query by query, on its test."""
    return [_compared_run(run, other) for other in others]


def _compared_run(run: EvaluatedRun, other: EvaluatedRun) -> ComparedRun:
    try:
        comparison = compare_evaluations(run.folder, other.folder, str(run.metrics["split"]))
    except UserError as error:  # other options of `evaluate`; the page shows it, and the scores are still of use
        return ComparedRun(other.name, reason=str(error))
    return ComparedRun(other.name, _cells(comparison), _queries(comparison), comparison.describe())


def _cells(comparison: Comparison) -> tuple[str, ...]:
    metrics = [comparison.metrics[name] for name in COMPARED]
    return tuple(f"{100 * metric.difference:+.1f} ({interval_text(metric)})" for metric in metrics)


def _queries(comparison: Comparison) -> str:
    by_precision = comparison.metrics["mAP"]
    return f"{by_precision.won:,} / {by_precision.lost:,} / {by_precision.equal:,}"
