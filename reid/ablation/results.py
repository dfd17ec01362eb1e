"""Results of a table's finished runs: mean and deviation over seeds, differences between rows, and their origin."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_cache.synthetic.dataset.settings import describe_rendering
from reid.ablation.pace import duration
from reid.ablation.plan import Plan, Run
from reid.ablation.tables import Row, Table
from reid.ablation.workspace import RunState, Workspace
from reid.evaluation.metrics_file import TRAINED
from reid.evaluation.score_table import describe_counts

METRIC_NAMES = {"mAP": "mAP", "cmc1": "CMC@1", "cmc5": "CMC@5"}
NOT_RUN = "not run yet"
States = Mapping[str, RunState]  # by the folder name of a run


@dataclass(frozen=True)
class Estimate:
    """Mean of `count` values and their standard deviation (n - 1), None for a single value."""

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        """Return "79.3 ± 0.4", or "79.3" for one value."""
        return f"{self.mean:.1f}" + ("" if self.deviation is None else f" ± {self.deviation:.1f}")


@dataclass(frozen=True)
class Difference:
    """Difference of two means and its standard error, None if a mean is of one value."""

    value: float
    error: float | None

    def __str__(self) -> str:
        """Return "+1.3 ± 0.4", or "+1.3" without an error."""
        return f"{self.value:+.1f}" + ("" if self.error is None else f" ± {self.error:.1f}")


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and deviation of one or more values.

    >>> str(estimate([77.0, 79.0, 78.0])), str(estimate([77.0]))
    ('78.0 ± 1.0', '77.0')
    """
    return Estimate(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def difference(one: Estimate, other: Estimate) -> Difference:
    """Return `one` minus `other`; the error is that of two independent means, sqrt(s1^2 / n1 + s2^2 / n2).

    This tends to overstate the error: runs with the same seed share held-out vehicles and batches.

    >>> str(difference(Estimate(79.3, 0.6, 4), Estimate(78.0, 0.8, 4)))
    '+1.3 ± 0.5'
    """
    if one.deviation is None or other.deviation is None:
        return Difference(one.mean - other.mean, None)
    return Difference(one.mean - other.mean, math.sqrt(one.deviation**2 / one.count + other.deviation**2 / other.count))


@dataclass(frozen=True)
class ResultRow:
    """A row with its results in percent; `scores` is empty until one of its runs is finished.

    `above` and `against` are the differences to the row above and to the reference row. `images_seen` counts the
    augmented images of a whole training, averaged over the seeds.
    """

    row: Row
    run: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Estimate]
    above: Difference | None
    against: Difference | None
    epochs: int
    images_seen: int

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {
            "row": self.row.label,
            "run": self.run,
            "seeds": list(self.seeds),
            "scores": {name: asdict(value) for name, value in self.scores.items()},
            "to_the_row_above": None if self.above is None else asdict(self.above),
            "to_the_reference": None if self.against is None else asdict(self.against),
            "paper": asdict(self.row.paper),
            "epochs": self.epochs,
            "images_seen": self.images_seen,
        }


@dataclass(frozen=True)
class TableResults:
    """A table with its result rows, and their origin by heading: "Commit" and the like."""

    table: Table
    rows: tuple[ResultRow, ...]
    origin: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain JSON values."""
        return {
            "title": self.table.title,
            "lines": [row.to_dict() for row in self.rows],
            "paper_measured_on": self.table.measured_on,
            "notes": list(self.table.notes),
            "origin": dict(self.origin),
        }


def table_results(table: Table, plan: Plan, workspace: Workspace, states: States, command: str) -> TableResults:
    """Return the results of a table's finished runs; `command` is what the user typed."""
    scores = [_scores(plan.runs_of(row), states) for row in table.rows]
    rows = []
    for index, row in enumerate(table.rows):
        runs = plan.runs_of(row)
        images_seen = [workspace.training_set(run).images_per_epoch * run.recipe.epochs for run in runs]
        rows.append(
            ResultRow(
                row=row,
                run=plan.name_of(row),
                seeds=tuple(run.recipe.seed for run in runs if states[run.folder].metrics),
                scores=scores[index],
                above=_difference(table, scores, index, _row_above(table, index)),
                against=_difference(table, scores, index, row.reference),
                epochs=runs[0].recipe.epochs,
                images_seen=round(sum(images_seen) / len(images_seen)),
            )
        )
    runs = list({run.folder: run for row in table.rows for run in plan.runs_of(row)}.values())
    return TableResults(table, tuple(rows), _origin(runs, workspace, states, command))


def _scores(runs: Sequence[Run], states: States) -> dict[str, Estimate]:
    finished = [metrics["scores"][TRAINED] for run in runs if (metrics := states[run.folder].metrics)]
    return {name: estimate([100 * scores[name] for scores in finished]) for name in METRIC_NAMES} if finished else {}


def _row_above(table: Table, index: int) -> int | None:
    """Return the index of the row above; None for the first row of a group or of a chart."""
    row, above = table.rows[index], table.rows[index - 1]
    charts = [point.chart if point else None for point in (row.point, above.point)]
    return None if row.reference == index or charts[0] != charts[1] else index - 1


def _difference(
    table: Table, scores: Sequence[Mapping[str, Estimate]], index: int, other: int | None
) -> Difference | None:
    if other is None or other == index or not scores[index] or not scores[other]:
        return None
    return difference(scores[index][table.metric], scores[other][table.metric])


def _origin(runs: Sequence[Run], workspace: Workspace, states: States, command: str) -> dict[str, str]:
    """Return the origin of the results by heading, with all values that differ among the runs."""
    finished = [(run, metrics) for run in runs if (metrics := states[run.folder].metrics)]
    origin = {"Runs": f"{len(finished)} of {len(runs)} finished, in {workspace.folder}", "Command": f"`{command}`"}
    recipe = runs[0].recipe
    training_sets = [workspace.training_set(run) for run in runs]
    counts = _unique(f"{one.images:,} images of {one.vehicles:,} vehicles" for one in training_sets)
    height, width = recipe.input_size
    size = height if height == width else f"{height} x {width}"
    weights = recipe.start or recipe.trunk_weights or "random"
    origin["Training"] = (
        f"{recipe.trunk} (weights: {weights}) at {size} pixels, {recipe.epochs} epochs on {workspace.dataset.name}: "
        f"{counts}"
    )
    if rendering := describe_rendering(workspace.dataset.folder):
        origin["Data"] = f"rendered vehicles, {rendering}"
    if finished:
        every = [metrics for _, metrics in finished]
        seconds = sum(workspace.training_seconds(run) for run, _ in finished)
        origin["Test"] = _unique(describe_counts(metrics["scores"][TRAINED]) for metrics in every)
        origin["Commit"] = _unique(metrics["commit"] or "unknown" for metrics in every)
        origin["Device"] = _unique(metrics["device"] for metrics in every)
        origin["Versions"] = _unique(", ".join(map(" ".join, metrics["versions"].items())) for metrics in every)
        origin["Training time"] = f"{duration(seconds)} for the finished runs"
    return origin


def _unique(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))
