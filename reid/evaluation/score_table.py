"""Scores as text and as a table for the terminal: metrics in percent, with the counts behind them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reid.retrieval.metrics import Scores

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = {"mAP": "mAP", "mAP10": "mAP@10", "cmc1": "CMC@1", "cmc5": "CMC@5", "cmc10": "CMC@10", "mINP": "mINP"}


def percent(scores: Mapping[str, Any], metric: str) -> str:
    """Return a metric of `Scores.to_dict()` in percent with one decimal, with ± its deviation over several draws.

    A dash stands for a metric that the file of an older version lacks.

    >>> percent({"cmc1": 0.7719, "deviation": {"cmc1": 0.0041}}, "cmc1")
    '77.2 ± 0.4'
    """
    if scores.get(metric) is None:
        return "-"
    deviation = scores.get("deviation")
    spread = f" ± {100 * deviation[metric]:.1f}" if deviation else ""
    return f"{100 * scores[metric]:.1f}{spread}"


def describe_counts(scores: Mapping[str, Any]) -> str:
    """Return test, queries, gallery and draws of `Scores.to_dict()` as a sentence.

    >>> describe_counts({"split": "small", "queries": 5693, "queries_without_match": 0, "gallery": 800, "trials": 10,
    ...     "seed": 0, "precision": "step"})
    'small: 5,693 queries (0 without a match, left out), gallery 800; mean ± deviation of 10 draws, seed 0'
    """
    text = (
        f"{scores['split']}: {scores['queries']:,} queries ({scores['queries_without_match']:,} without a match, "
        f"left out), gallery {scores['gallery']:,}"
    )
    if scores["trials"] > 1:
        text += f"; mean ± deviation of {scores['trials']} draws, seed {scores['seed']}"
    return text + ("; trapezoid precision" if scores["precision"] == "trapezoid" else "")


def decisions_line(metrics: Mapping[str, Any]) -> str:
    """Return the rates of the decisions in a metrics.json with `open_set`, as a line.

    >>> rates = {"top1_precision": 0.9, "top1_recall": 0.75, "top1_f1": 0.818, "tnr": 0.95, "threshold": 0.5}
    >>> decisions_line({"split": "test", "open_set": {"queries": 200, "absent": 40, **rates}})
    'test: decisions at 0.500 on 200 queries, 40 without a match: precision 90.0, recall 75.0, F1 81.8, TNR 95.0 %'
    >>> decisions_line({"split": "test", "open_set": {"queries": 160, "absent": 0, **rates}})
    'test: decisions at 0.500 on 160 queries, 0 without a match: precision 90.0, recall 75.0, F1 81.8 %'
    """
    found = metrics["open_set"]
    rates = {"precision": "top1_precision", "recall": "top1_recall", "F1": "top1_f1"}
    if found["absent"]:
        rates["TNR"] = "tnr"
    shown = ", ".join(f"{name} {100 * found[key]:.1f}" for name, key in rates.items())
    return (
        f"{metrics['split']}: decisions at {found['threshold']:.3f} on {found['queries']:,} queries, "
        f"{found['absent']:,} without a match: {shown} %"
    )


def gap_line(metrics: Mapping[str, Any]) -> str:
    """Return the gap between cameras in a metrics.json with `camera_gap`, as a line.

    >>> gap_line({"split": "test", "camera_gap": {"mAP": 0.213, "cmc1": 0.4}})
    'test: within a camera minus across cameras: mAP +21.3, CMC@1 +40.0'
    """
    gap = ", ".join(f"{HEADINGS[name]} {100 * value:+.1f}" for name, value in metrics["camera_gap"].items())
    return f"{metrics['split']}: within a camera minus across cameras: {gap}"


def score_table(rows: Mapping[str, Scores]) -> "Table":
    """Return a table for the terminal with a line for each of `rows`."""
    from rich.markup import escape
    from rich.table import Table

    counts = dict.fromkeys(describe_counts(scores.to_dict()) for scores in rows.values())
    table = Table("percent", caption="\n".join(map(escape, counts)), caption_justify="left")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    for name, scores in rows.items():
        table.add_row(escape(name), *(percent(scores.to_dict(), metric) for metric in HEADINGS))
    return table
