"""Scores as a table, for the terminal and as plain text; figures in percent, with what was counted below."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reid.retrieval.scores import FIGURES, Scores

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = {"mAP": "mAP", "cmc1": "CMC@1", "cmc5": "CMC@5", "cmc10": "CMC@10", "mINP": "mINP"}
TITLE = "percent"


def percent(scores: Mapping[str, Any], figure: str) -> str:
    """Return a figure of `Scores.to_dict()` as text: percent with one decimal, and ± the deviation where drawn.

    >>> percent({"cmc1": 0.7719, "deviation": {"cmc1": 0.0041}}, "cmc1")
    '77.2 ± 0.4'
    """
    deviation = scores.get("deviation")
    spread = f" ± {100 * deviation[figure]:.1f}" if deviation else ""
    return f"{100 * scores[figure]:.1f}{spread}"


def counted(scores: Mapping[str, Any]) -> str:
    """Return what stands behind `Scores.to_dict()`, as a sentence.

    >>> counted({"split": "small", "queries": 5693, "queries_without_match": 0, "gallery": 800, "trials": 10, "seed": 0,
    ...     "precision": "step"})
    'small: 5,693 queries (0 without a match, left out), gallery 800; mean ± deviation of 10 draws, seed 0'
    """
    text = (
        f"{scores['split']}: {scores['queries']:,} queries ({scores['queries_without_match']:,} without a match, "
        f"left out), gallery {scores['gallery']:,}"
    )
    if scores["trials"] > 1:
        text += f"; mean ± deviation of {scores['trials']} draws, seed {scores['seed']}"
    return text + ("; trapezoid precision" if scores["precision"] == "trapezoid" else "")


def score_table(rows: Mapping[str, Scores]) -> "Table":
    """Return a table for the terminal, a row for each of `rows`."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(TITLE, caption="\n".join(escape(line) for line in _counts(rows)), caption_justify="left")
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    for name, scores in rows.items():
        table.add_row(escape(name), *_figures(scores))
    return table


def score_text(rows: Mapping[str, Scores]) -> str:
    """Return what `score_table` shows as plain text, for a log or a pipe."""
    lines = [[TITLE, *HEADINGS.values()], *([name, *_figures(scores)] for name, scores in rows.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = [
        line[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(width)}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]
    return "\n".join([*table, *_counts(rows)])


def _figures(scores: Scores) -> list[str]:
    return [percent(scores.to_dict(), figure) for figure in FIGURES]


def _counts(rows: Mapping[str, Scores]) -> list[str]:
    return list(dict.fromkeys(counted(scores.to_dict()) for scores in rows.values()))
