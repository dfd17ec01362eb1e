"""Comparison of two evaluations of one test, query by query, from their metrics.json and queries.csv."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sorted_glob
from reid.evaluation.metrics_file import QUERIES, again, not_evaluated, plain_row, read_metrics, read_queries
from reid.evaluation.score_table import HEADINGS
from reid.retrieval.paired_bootstrap import LEVEL, Difference, PairedResults, numbered, paired_bootstrap
from reid.runs import METRICS, run_name

if TYPE_CHECKING:
    from rich.table import Table

Unit = Literal["query", "vehicle"]
RESAMPLES = 10_000
PROTOCOL = ("same_camera_is_junk", "draws", "seed", "precision", "ranks")  # entries of metrics.json that must be equal


@dataclass(frozen=True)
class Comparison:
    """How the second of two runs differs from the first on a test, by metric; `queries` counts those with a match."""

    dataset: str
    split: str
    first: str
    second: str
    folders: tuple[Path, Path]
    queries: int
    draws: int
    resampled: Unit
    resamples: int
    seed: int
    metrics: Mapping[str, Difference]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; metrics and differences are fractions, not percent."""
        content = {**asdict(self), "level": LEVEL, "metrics": {name: asdict(one) for name, one in self.metrics.items()}}
        return {**content, "folders": [str(folder) for folder in self.folders]}

    def describe(self) -> str:
        """Return in words what was resampled.

        >>> Comparison("veri", "test", "a", "b", (Path("a"), Path("b")), 1678, 1, "query", 10000, 0, {}).describe()
        'veri test: 1,678 queries; 95 % intervals of the paired bootstrap, 10,000 resamples of the queries, seed 0'
        """
        draws = f" in {self.draws} draws of the gallery" if self.draws > 1 else ""
        units = "queries" if self.resampled == "query" else "vehicles"
        return (
            f"{self.dataset} {self.split}: {self.queries:,} queries{draws}; {100 * LEVEL:.0f} % intervals of the "
            f"paired bootstrap, {self.resamples:,} resamples of the {units}, seed {self.seed}"
        )


def compare_evaluations(
    first: Path, second: Path, split: str, *, resamples: int = RESAMPLES, seed: int = 0, unit: Unit = "query"
) -> Comparison:
    """Compare two runs' folders as evaluated on a test, by the paired bootstrap over its queries, or their vehicles.

    Raises UserError if one is not evaluated on the test, if both are the same folder, or if data set, protocol or
    queries are not the same.
    """
    if first.resolve() == second.resolve():
        raise UserError(f"{first}: compared with itself; name another run")
    metrics = [_metrics_of(folder, split) for folder in (first, second)]
    _require_same_protocol(first, second, *metrics)
    tables = [
        read_queries(folder / split / QUERIES, row, one["scores"][row])
        for folder, one in zip((first, second), metrics, strict=True)
        for row in [plain_row(one, folder / split / METRICS)]
    ]
    _require_same_queries(first, second, *tables)
    results = _paired(*tables, unit=unit)
    names = run_name(first), run_name(second)
    if names[0] == names[1]:  # of two data sets, or two folders of runs
        names = str(first), str(second)
    return Comparison(
        dataset=metrics[0]["dataset"],
        split=split,
        first=names[0],
        second=names[1],
        folders=(first, second),
        queries=len(np.unique(results.query)),
        draws=len(np.unique(results.draw)),
        resampled=unit,
        resamples=resamples,
        seed=seed,
        metrics=paired_bootstrap(results, resamples=resamples, seed=seed),
    )


def common_splits(first: Path, second: Path, split: str | None) -> list[str]:
    """Return the tests of `--split` to compare two runs on: one, `all`, or by default that with the largest gallery.

    Raises UserError if both were evaluated on no common test.
    """
    if split not in (None, "all"):
        return [str(split)]
    tests = [{path.parent.name: path for path in sorted_glob(run, f"*/{METRICS}")} for run in (first, second)]
    common = [name for name in tests[0] if name in tests[1]]
    if not common:
        evaluated = [", ".join(names) or "none" for names in tests]
        raise UserError(f"{first} was evaluated on {evaluated[0]}, {second} on {evaluated[1]}; {again()} on one test")
    gallery = {name: _plain_scores(tests[0][name])["gallery"] for name in common}
    by_size = sorted(common, key=lambda name: gallery[name])
    return by_size if split else by_size[-1:]


def comparison_table(comparison: Comparison) -> "Table":
    """Return a table for the terminal with a line for each metric."""
    from rich.markup import escape
    from rich.table import Table

    caption = f"first: {comparison.first}; second: {comparison.second}\n{comparison.describe()}"
    table = Table("percent", caption=escape(caption), caption_justify="left")
    headings = ("first", "second", "difference", "95 % interval", "second not better", "better / worse / equal")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, one in comparison.metrics.items():
        table.add_row(
            HEADINGS[name],
            f"{100 * one.first:.1f}",
            f"{100 * one.second:.1f}",
            f"{100 * one.difference:+.1f}",
            interval_text(one),
            f"{100 * one.not_better:.1f}",
            f"{one.won:,} / {one.lost:,} / {one.equal:,}",
        )
    return table


def interval_text(difference: Difference) -> str:
    """Return the interval of a difference in percent.

    >>> interval_text(Difference(0.5, 0.52, 0.02, (-0.0041, 0.0443), 0.05, 3, 1, 0))
    '-0.4 to +4.4'
    """
    low, high = difference.interval
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def _metrics_of(folder: Path, split: str) -> dict[str, Any]:
    path = folder / split / METRICS
    if not path_exists(path):
        raise not_evaluated(path, split)
    return read_metrics(path)


def _plain_scores(path: Path) -> dict[str, Any]:
    metrics = read_metrics(path)
    return dict(metrics["scores"][plain_row(metrics, path)])


def _require_same_protocol(first: Path, second: Path, one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    mine, theirs = (_protocol(metrics) for metrics in (one, other))
    for name in mine.keys() & theirs.keys():  # earlier versions recorded fewer
        if mine[name] != theirs[name]:
            raise UserError(
                f"{second} was evaluated with {name} {theirs[name]}, {first} with {mine[name]}; "
                "evaluate both on the same data with the same options"
            )


def _protocol(metrics: Mapping[str, Any]) -> dict[str, Any]:
    protocol = metrics.get("protocol", {})
    return {"data set": metrics["dataset"], **{name: protocol[name] for name in PROTOCOL if name in protocol}}


def _require_same_queries(first: Path, second: Path, one: pd.DataFrame, other: pd.DataFrame) -> None:
    columns = ["draw", "name", "vehicle_id", "positives"]
    if len(one) != len(other):
        raise UserError(f"{first} has {len(one):,} query results, {second} {len(other):,}; {again()} on both")
    differ = (one[columns] != other[columns]).any(axis=1).to_numpy()
    if differ.any():
        row = int(differ.argmax())
        raise UserError(
            f"{first} and {second} have different queries: {differ.sum():,} of {len(one):,}, first "
            f"{one['name'].iloc[row]} and {other['name'].iloc[row]}; {again()} on both"
        )


def _paired(one: pd.DataFrame, other: pd.DataFrame, *, unit: Unit) -> PairedResults:
    matched = (one["positives"] > 0).to_numpy()
    one, other = one[matched], other[matched]
    query = numbered(one["name"].tolist())
    return PairedResults(
        draw=numbered(one["draw"].astype(str).tolist()),
        query=query,
        units=query if unit == "query" else numbered(one["vehicle_id"].tolist()),
        first_ranks=one["first_hit_rank"].to_numpy(),
        second_ranks=other["first_hit_rank"].to_numpy(),
        first_precision=one["average_precision"].to_numpy(),
        second_precision=other["average_precision"].to_numpy(),
    )
