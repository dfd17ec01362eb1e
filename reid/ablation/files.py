"""The results of a sheet as files: Markdown to read, CSV to go on with, PNG to look at."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from data_cache.base.files import write_atomically
from reid.ablation.charts import draw_results
from reid.ablation.results import FIGURES, NOT_RUN, Line, Results
from reid.ablation.tables import Sheet

COLUMNS = (
    "row",
    "run",
    "seeds",
    *(f"{name}{suffix}" for name in FIGURES for suffix in ("", "_std")),
    *("above", "above_error", "against", "against_error", "paper_mAP", "paper_cmc1", "paper_cmc5"),
    *("epochs", "images_seen"),
)


def write_results(results: Results, stem: Path) -> None:
    """Write STEM.md, STEM.csv and STEM.png, each whole or not at all."""
    for suffix, text in ((".md", markdown(results)), (".csv", as_csv(results))):
        write_atomically(stem.with_name(stem.name + suffix), text.encode())
    draw_results(results, stem.with_name(stem.name + ".png"))


def markdown(results: Results) -> str:
    """Return the results as a Markdown section: a table, and below it what it means and where it comes from."""
    cells = [_headings(results.sheet), *(_cells(line) for line in results.lines)]
    widths = [max(2, *(len(row[column]) for row in cells)) for column in range(len(cells[0]))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    table = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in (cells[0], rule, *cells[1:])
    ]
    return "\n".join([f"# {results.sheet.title}", "", *table, "", *(f"- {line}" for line in _below(results)), ""])


def as_csv(results: Results) -> str:
    """Return the results as CSV, a line a row, percent with four decimals; empty where there is nothing."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for line in results.lines:
        found: list[float | None] = []
        for name in FIGURES:
            found += [line.scores[name].mean, line.scores[name].deviation] if line.scores else [None, None]
        for step in (line.above, line.against):
            found += [None, None] if step is None else [step.value, step.error]
        found += [line.row.printed.mAP, line.row.printed.top1, line.row.printed.top5]
        percents = ["" if value is None else f"{value:.4f}" for value in found]
        seeds = " ".join(map(str, line.seeds))
        table.writerow([line.row.label, line.run, seeds, *percents, line.epochs, line.images_seen])
    return text.getvalue()


def _headings(sheet: Sheet) -> list[str]:
    decides = FIGURES[sheet.decides]
    differences = [f"{decides} to the row above", f"{decides} to {sheet.against}"]
    return [
        "",
        *FIGURES.values(),
        "n",
        *differences,
        *("paper mAP", "paper Top-1", "paper Top-5"),
        "epochs",
        "images seen",
        "run",
    ]


def _cells(line: Line) -> list[str]:
    scores = [str(line.scores[name]) for name in FIGURES] if line.scores else [NOT_RUN, *[""] * (len(FIGURES) - 1)]
    differences = ["" if step is None else str(step) for step in (line.above, line.against)]
    printed = line.row.printed
    paper = ["" if value is None else f"{value:.1f}" for value in (printed.mAP, printed.top1, printed.top5)]
    sizes = [str(line.epochs), f"{line.images_seen:,}"]
    return [line.row.label, *scores, str(len(line.seeds)), *differences, *paper, *sizes, f"`{line.run}`"]


def _below(results: Results) -> Sequence[str]:
    return [
        "Percent. Mean ± standard deviation (n - 1) over n seeds; differences ± their standard error. Paper: "
        f"{results.sheet.measured_on}.",
        *results.sheet.notes,
        *(f"{heading}: {text}" for heading, text in results.origin.items()),
    ]
