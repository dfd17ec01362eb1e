"""How the compared runs of a report differ from its own, with the intervals of the paired bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass

from data_cache.base.errors import UserError
from reid.evaluation.comparison import Comparison, compare_evaluations, interval_text
from reid.evaluation.score_table import HEADINGS
from reid.report.evaluated_run import EvaluatedRun


@dataclass(frozen=True)
class DifferenceRow:
    """A metric of a compared run: difference and interval in percentage points, numbers of queries better and worse."""

    metric: str
    difference: str
    interval: str
    queries: str


@dataclass(frozen=True)
class ComparedRun:
    """A compared run with a row for each metric; without rows, `note` says why the queries cannot be compared."""

    name: str
    rows: tuple[DifferenceRow, ...]
    note: str


def compared_runs(run: EvaluatedRun, others: Sequence[EvaluatedRun]) -> list[ComparedRun]:
    """Return how each other run differs from `run`, query by query, on its test."""
    return [_compared_run(run, other) for other in others]


def _compared_run(run: EvaluatedRun, other: EvaluatedRun) -> ComparedRun:
    try:
        comparison = compare_evaluations(run.folder, other.folder, str(run.metrics["split"]))
    except UserError as error:  # such as other options of `evaluate`: the page says so, the scores are still of use
        return ComparedRun(other.name, (), f"Not compared query by query: {error}")
    return ComparedRun(other.name, _rows(comparison), comparison.describe())


def _rows(comparison: Comparison) -> tuple[DifferenceRow, ...]:
    return tuple(
        DifferenceRow(
            metric=HEADINGS[name],
            difference=f"{100 * one.difference:+.1f}",
            interval=interval_text(one),
            queries=f"{one.won:,} / {one.lost:,} / {one.equal:,}",
        )
        for name, one in comparison.metrics.items()
    )
