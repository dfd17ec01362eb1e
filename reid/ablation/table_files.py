"""A table's results as files: Markdown, CSV, and a chart as PNG."""

import csv
import io
from pathlib import Path

from data_cache.base.files import write_atomically
from reid.ablation.charts import draw_results
from reid.ablation.results import METRIC_NAMES, NOT_RUN, ResultRow, TableResults
from reid.ablation.tables import Table

COLUMNS = (
    "row",
    "run",
    "seeds",
    *(f"{name}{suffix}" for name in METRIC_NAMES for suffix in ("", "_std")),
    *("above", "above_error", "against", "against_error", "paper_mAP", "paper_cmc1", "paper_cmc5"),
    *("epochs", "images_seen"),
)


def write_table(results: TableResults, stem: Path) -> None:
    """Write STEM.md, STEM.csv and STEM.png, each completely or not at all."""
    for suffix, text in ((".md", as_markdown(results)), (".csv", as_csv(results))):
        write_atomically(stem.with_name(stem.name + suffix), text.encode())
    draw_results(results, stem.with_name(stem.name + ".png"))


def as_markdown(results: TableResults) -> str:
    """Return the results as a Markdown section: the table, then its notes and origin."""
    cells = [_headings(results.table), *(_cells(row) for row in results.rows)]
    widths = [max(2, *(len(row[column]) for row in cells)) for column in range(len(cells[0]))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in (cells[0], rule, *cells[1:])
    ]
    notes = [
        "Percent. Mean ± standard deviation (n - 1) over n seeds; differences ± their standard error. Paper: "
        f"{results.table.measured_on}.",
        *results.table.notes,
        *(f"{heading}: {text}" for heading, text in results.origin.items()),
    ]
    return "\n".join([f"# {results.table.title}", "", *lines, "", *(f"- {note}" for note in notes), ""])


def as_csv(results: TableResults) -> str:
    """Return the results as CSV, one line per row, in percent with four decimals; missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in results.rows:
        values: list[float | None] = []
        for name in METRIC_NAMES:
            values += [row.scores[name].mean, row.scores[name].deviation] if row.scores else [None, None]
        for step in (row.above, row.against):
            values += [None, None] if step is None else [step.value, step.error]
        values += [row.row.paper.mAP, row.row.paper.top1, row.row.paper.top5]
        percents = ["" if value is None else f"{value:.4f}" for value in values]
        seeds = " ".join(map(str, row.seeds))
        writer.writerow([row.row.label, row.run, seeds, *percents, row.epochs, row.images_seen])
    return text.getvalue()


def _headings(table: Table) -> list[str]:
    metric = METRIC_NAMES[table.metric]
    differences = [f"{metric} to the row above", f"{metric} to {table.reference_name}"]
    paper = ["paper mAP", "paper Top-1", "paper Top-5"]
    return ["", *METRIC_NAMES.values(), "n", *differences, *paper, "epochs", "images seen", "run"]


def _cells(row: ResultRow) -> list[str]:
    scores = [str(row.scores[name]) for name in METRIC_NAMES] if row.scores else [NOT_RUN, "", ""]
    differences = ["" if step is None else str(step) for step in (row.above, row.against)]
    paper = row.row.paper
    printed = ["" if value is None else f"{value:.1f}" for value in (paper.mAP, paper.top1, paper.top5)]
    sizes = [str(row.epochs), f"{row.images_seen:,}"]
    return [row.row.label, *scores, str(len(row.seeds)), *differences, *printed, *sizes, f"`{row.run}`"]
