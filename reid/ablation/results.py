"""What the runs of a sheet gave: a line a row, over the seeds that are finished, in percent, and its origin."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_cache.synthetic.dataset.settings import describe_rendering
from reid.ablation.place import Place, Standing
from reid.ablation.plan import Plan, Run
from reid.ablation.tables import Row, Sheet
from reid.evaluation.evaluate import TRAINED
from reid.evaluation.score_table import counted

FIGURES = {"mAP": "mAP", "cmc1": "CMC@1", "cmc5": "CMC@5"}
NOT_RUN = "not run yet"
Found = Mapping[str, Standing]  # by the name of a run's folder


@dataclass(frozen=True)
class Spread:
    """Mean of `count` values and their standard deviation (n - 1), None where there is one value."""

    mean: float
    deviation: float | None
    count: int

    def __str__(self) -> str:
        """Return "79.3 ± 0.4", or "79.3" for one value."""
        return f"{self.mean:.1f}" + ("" if self.deviation is None else f" ± {self.deviation:.1f}")


@dataclass(frozen=True)
class Difference:
    """Difference of two means and its standard error, None where a mean is of one value."""

    value: float
    error: float | None

    def __str__(self) -> str:
        """Return "+1.3 ± 0.4", or "+1.3" without an error."""
        return f"{self.value:+.1f}" + ("" if self.error is None else f" ± {self.error:.1f}")


def spread_of(values: Sequence[float]) -> Spread:
    """Return mean and deviation of at least one value.

    >>> str(spread_of([77.0, 79.0, 78.0])), str(spread_of([77.0]))
    ('78.0 ± 1.0', '77.0')
    """
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def difference(one: Spread, other: Spread) -> Difference:
    """Return `one` minus `other`; the error is that of two independent means, sqrt(s1^2 / n1 + s2^2 / n2).

    Runs of equal seed share held-out vehicles and batches, which this leaves aside: it rather overstates the error.

    >>> str(difference(Spread(79.3, 0.6, 4), Spread(78.0, 0.8, 4)))
    '+1.3 ± 0.5'
    """
    if one.deviation is None or other.deviation is None:
        return Difference(one.mean - other.mean, None)
    return Difference(one.mean - other.mean, math.sqrt(one.deviation**2 / one.count + other.deviation**2 / other.count))


@dataclass(frozen=True)
class Line:
    """A row with what came out, in percent; `scores` is empty before any of its runs is finished.

    `above` and `against` are the differences to the row above and to the row it is held against. `images_seen` are
    those of a whole training, augmented anew each time, the mean over its seeds.
    """

    row: Row
    run: str
    seeds: tuple[int, ...]
    scores: Mapping[str, Spread]
    above: Difference | None
    against: Difference | None
    epochs: int
    images_seen: int

    def to_dict(self) -> dict[str, Any]:
        """Return the line as plain JSON values."""
        return {
            "row": self.row.label,
            "run": self.run,
            "seeds": list(self.seeds),
            "scores": {name: asdict(spread) for name, spread in self.scores.items()},
            "to_the_row_above": None if self.above is None else asdict(self.above),
            "to_the_reference": None if self.against is None else asdict(self.against),
            "paper": asdict(self.row.printed),
            "epochs": self.epochs,
            "images_seen": self.images_seen,
        }


@dataclass(frozen=True)
class Results:
    """A sheet with its lines, and what stands below them: `origin` by heading, "Commit" and the like."""

    sheet: Sheet
    lines: tuple[Line, ...]
    origin: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole as plain JSON values."""
        return {
            "title": self.sheet.title,
            "lines": [line.to_dict() for line in self.lines],
            "paper_measured_on": self.sheet.measured_on,
            "notes": list(self.sheet.notes),
            "origin": dict(self.origin),
        }


def results_of(sheet: Sheet, plan: Plan, place: Place, found: Found, command: str) -> Results:
    """Return what the finished runs of a sheet gave; `command` is what the user typed."""
    scores = [_scores(plan.runs_of(row), found) for row in sheet.rows]
    lines = []
    for number, row in enumerate(sheet.rows):
        runs = plan.runs_of(row)
        seen = [place.material(run).images_per_epoch * run.recipe.epochs for run in runs]
        lines.append(
            Line(
                row=row,
                run=plan.name_of(row),
                seeds=tuple(run.recipe.seed for run in runs if found[run.folder].metrics),
                scores=scores[number],
                above=_difference(sheet, scores, number, _row_above(sheet, number)),
                against=_difference(sheet, scores, number, row.against),
                epochs=runs[0].recipe.epochs,
                images_seen=round(sum(seen) / len(seen)),
            )
        )
    runs = list({run.folder: run for row in sheet.rows for run in plan.runs_of(row)}.values())
    return Results(sheet, tuple(lines), _origin(runs, place, found, command))


def _scores(runs: Sequence[Run], found: Found) -> dict[str, Spread]:
    finished = [metrics["scores"][TRAINED] for run in runs if (metrics := found[run.folder].metrics)]
    return {name: spread_of([100 * one[name] for one in finished]) for name in FIGURES} if finished else {}


def _row_above(sheet: Sheet, number: int) -> int:
    """Return the number of the row above; -1 for a row that begins a group, which it has nothing in common with."""
    row, other = sheet.rows[number], sheet.rows[number - 1]
    charts = [point.chart if point else None for point in (row.point, other.point)]
    return -1 if row.against == number or charts[0] != charts[1] else number - 1


def _difference(sheet: Sheet, scores: Sequence[Mapping[str, Spread]], one: int, other: int) -> Difference | None:
    if other < 0 or other == one or not scores[one] or not scores[other]:
        return None
    return difference(scores[one][sheet.decides], scores[other][sheet.decides])


def _origin(runs: Sequence[Run], place: Place, found: Found, command: str) -> dict[str, str]:
    """Return where the figures come from, by heading; what differs among the runs is told with all its values."""
    finished = [(run, metrics) for run in runs if (metrics := found[run.folder].metrics)]
    told = {"Runs": f"{len(finished)} of {len(runs)} finished, in {place.folder}", "Command": f"`{command}`"}
    recipe, material = runs[0].recipe, place.material(runs[0])
    told["Training"] = (
        f"{recipe.trunk} (weights: {recipe.trunk_weights or 'random'}) at {recipe.image_size} pixels, {recipe.epochs} "
        f"epochs on {material.images:,} images of {material.vehicles:,} vehicles of {place.dataset.name}"
    )
    if rendered := describe_rendering(place.dataset.root):
        told["Data"] = f"rendered vehicles, {rendered}"
    if finished:
        every = [metrics for _, metrics in finished]
        told["Test"] = _all(counted(metrics["scores"][TRAINED]) for metrics in every)
        told["Commit"] = _all(metrics["commit"] or "not known" for metrics in every)
        told["Device"] = _all(metrics["device"] for metrics in every)
        told["Versions"] = _all(", ".join(map(" ".join, metrics["versions"].items())) for metrics in every)
        told["Training time"] = f"{_duration(sum(place.seconds_of(run) for run, _ in finished))} for the finished runs"
    return told


def _all(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _duration(seconds: float) -> str:
    """Return "3 h 07 min", or "4 min 12 s" below an hour.

    >>> _duration(11_220), _duration(252.4)
    ('3 h 07 min', '4 min 12 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest} s"
