"""The table of scores: percent, deviation, counts, names as they are."""

import io

from rich.console import Console

from reid.evaluation.score_table import describe_counts, score_table
from reid.retrieval.metrics import METRIC_NAMES, Scores


def scores(value: float, deviation: float | None = None, **changes: object) -> Scores:
    values = dict.fromkeys(METRIC_NAMES, value)
    counts = {"split": "test", "queries": 10, "queries_without_match": 2, "gallery": 24, "trials": 1, "seed": None}
    spread = None if deviation is None else dict.fromkeys(METRIC_NAMES, deviation)
    return Scores(**{**values, **counts, "deviation": spread, **changes})  # type: ignore[arg-type]


def test_table_shows_percent_deviation_and_counts() -> None:
    drawn = scores(0.5, 0.02, split="small", trials=10, seed=0)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(score_table({"trained [bold]": scores(1.0), "untrained": drawn}))
    text = console.export_text()
    lines = {line.strip("│ ").partition("│")[0].strip(): line for line in text.splitlines()}
    assert lines["trained [bold]"].count("100.0") == 6 and lines["untrained"].count("50.0 ± 2.0") == 6
    assert "test: 10 queries (2 without a match, left out), gallery 24" in text
    assert "mean ± deviation of 10 draws, seed 0" in " ".join(text.split())


def test_counts_name_the_trapezoid_form() -> None:
    assert describe_counts(scores(1.0, precision="trapezoid").to_dict()).endswith("; trapezoid precision")
