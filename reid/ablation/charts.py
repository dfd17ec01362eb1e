"""Charts of a table's results beside the paper's scores: bars with deviations, or lines for Figure 3."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_cache.images.plots import COLOURS, figure_written_to
from reid.ablation.results import METRIC_NAMES, NOT_RUN, ResultRow, TableResults
from reid.ablation.tables import PlotPoint

WIDTH, ROW_HEIGHT, MARGIN_HEIGHT, FIGURE_HEIGHT = 11.0, 0.45, 1.6, 4.6  # inches
GREY = "#57606a"
LABEL_WIDTH = 25.0  # percent; shorter bars have their label on the right


def draw_results(results: TableResults, path: Path) -> None:
    """Write a PNG: bars of mAP and CMC@1 by row, or lines of mAP for a figure. Raises UserError if it fails."""
    if any(row.row.point for row in results.rows):
        _write_line_charts(results, path)
    else:
        _write_bar_charts(results, path)


def _write_bar_charts(results: TableResults, path: Path) -> None:
    rows = results.rows
    with figure_written_to(path, WIDTH, MARGIN_HEIGHT + ROW_HEIGHT * len(rows)) as figure:
        figure.suptitle(results.table.title)
        charts = figure.subplots(1, 2, sharey=True)
        for axes, metric, colour in zip(charts, ("mAP", "cmc1"), COLOURS, strict=False):
            _draw_bars(axes, rows, metric, colour)
            axes.set(xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6), xlabel=f"{METRIC_NAMES[metric]}, percent")
            axes.set_axisbelow(True)
        charts[0].set_yticks(range(len(rows)), [row.row.label for row in rows])
        _draw_legend(figure, results)


def _draw_bars(axes: Any, rows: Sequence[ResultRow], metric: str, colour: str) -> None:
    for y, row in enumerate(rows):
        paper = row.row.paper.mAP if metric == "mAP" else row.row.paper.top1
        if paper is not None:
            axes.plot(paper, y, "D", color=GREY, markeredgecolor="white", markersize=7)
        if not row.scores:
            axes.text(1, y, NOT_RUN, va="center", color=GREY, fontsize=9)
            continue
        score = row.scores[metric]
        axes.barh(y, score.mean, height=0.64, color=colour, xerr=score.deviation, ecolor="black", capsize=3)
        inside = score.mean > LABEL_WIDTH
        x = 1.5 if inside else score.mean + (score.deviation or 0) + 1.5
        axes.text(x, y, str(score), va="center", color="white" if inside else "black", fontsize=9)


def _write_line_charts(results: TableResults, path: Path) -> None:
    points = [row.row.point for row in results.rows if row.row.point]
    titles = list(dict.fromkeys(point.chart for point in points))
    colours = dict(zip(dict.fromkeys(point.line for point in points), COLOURS, strict=False))
    with figure_written_to(path, WIDTH, FIGURE_HEIGHT) as figure:
        figure.suptitle(results.table.title)
        for axes, title in zip(figure.subplots(1, len(titles), squeeze=False, sharey=True)[0], titles, strict=True):
            _draw_line_chart(axes, title, colours, results.rows)
        _draw_legend(figure, results)


def _draw_line_chart(axes: Any, title: str, colours: Mapping[str, str], rows: Sequence[ResultRow]) -> None:
    """Draw the mAP lines of one chart, and a horizontal line for a reference row outside the chart."""
    plotted = [(row.row.point, row) for row in rows if row.row.point and row.row.point.chart == title]
    for name, colour in colours.items():
        scores = [(point.x, row.scores["mAP"]) for point, row in plotted if point.line == name and row.scores]
        if scores:
            means, deviations = [score.mean for _, score in scores], [score.deviation or 0 for _, score in scores]
            axes.errorbar([x for x, _ in scores], means, deviations, fmt=".-", color=colour, capsize=3, label=name)
    for reference in (rows[index] for index in sorted({row.row.reference for _, row in plotted})):
        if reference.scores and all(reference is not row for _, row in plotted):
            axes.axhline(reference.scores["mAP"].mean, color=GREY, linestyle="--", label=reference.row.label)
    axes.set_xscale("log", base=2)
    ticks = sorted({point.x for point, _ in plotted})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.set(title=title, ylabel="mAP, percent")
    if not any(row.scores for _, row in plotted):
        axes.text(0.5, 0.5, NOT_RUN, ha="center", color=GREY, transform=axes.transAxes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    _write_paper_scores(axes, plotted, colours)


def _write_paper_scores(axes: Any, plotted: Sequence[tuple[PlotPoint, ResultRow]], colours: Mapping[str, str]) -> None:
    """Write the paper's scores along the top of a chart: as points far from our lines they would flatten these."""
    axes.margins(y=0.25)
    for point, row in plotted:
        if row.row.paper.mAP is not None:
            style = {"color": colours[point.line], "fontsize": 9, "ha": "center", "va": "top"}
            height = 0.96 - 0.06 * list(colours).index(point.line)  # a share of the chart; x is a data value
            axes.text(point.x, height, f"◆ {row.row.paper.mAP:.1f}", transform=axes.get_xaxis_transform(), **style)


def _draw_legend(figure: Any, results: TableResults) -> None:
    text = f"◆ paper ({results.table.measured_on}); error bars: standard deviation over seeds"
    figure.supxlabel(text, fontsize=9, color=GREY)
