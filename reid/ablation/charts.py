"""The results of a sheet as a picture: bars with deviations beside what the paper prints, or lines for its figure."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_cache.images.plots import COLOURS, figure_written_to
from reid.ablation.results import FIGURES, NOT_RUN, Line, Results
from reid.ablation.tables import Point

WIDTH, HEIGHT_OF_A_ROW, HEIGHT_AROUND = 11.0, 0.45, 1.6  # inches
INK = "#57606a"
ROOM_FOR_A_LABEL = 25.0  # percent: in a shorter bar the figures would not fit


def draw_results(results: Results, path: Path) -> None:
    """Write a PNG: bars of mAP and CMC@1 by row, or lines of mAP for a figure. Raises UserError where it cannot."""
    if any(line.row.point for line in results.lines):
        _write_lines(results, path)
    else:
        _write_bars(results, path)


def _write_bars(results: Results, path: Path) -> None:
    with figure_written_to(path, WIDTH, HEIGHT_AROUND + HEIGHT_OF_A_ROW * len(results.lines)) as figure:
        figure.suptitle(results.sheet.title)
        charts = figure.subplots(1, 2, sharey=True)
        for axes, name, colour in zip(charts, ("mAP", "cmc1"), COLOURS, strict=False):
            _bars(axes, results.lines, name, colour)
            _printed_marks(axes, [(_printed(line, name), place) for place, line in enumerate(results.lines)])
            axes.set(xlim=(0, 100), ylim=(len(results.lines) - 0.4, -0.6), xlabel=f"{FIGURES[name]}, percent")
            axes.set_axisbelow(True)
        charts[0].set_yticks(range(len(results.lines)), [line.row.label for line in results.lines])
        _tell_marks(figure, results)


def _bars(axes: Any, lines: Sequence[Line], name: str, colour: str) -> None:
    for place, line in enumerate(lines):
        if not line.scores:
            axes.text(1, place, NOT_RUN, va="center", color=INK, fontsize=9)
            continue
        spread = line.scores[name]
        axes.barh(place, spread.mean, height=0.64, color=colour, xerr=spread.deviation, ecolor="black", capsize=3)
        inside = spread.mean > ROOM_FOR_A_LABEL
        start = 1.5 if inside else spread.mean + (spread.deviation or 0) + 1.5
        axes.text(start, place, str(spread), va="center", color="white" if inside else "black", fontsize=9)


def _write_lines(results: Results, path: Path) -> None:
    points = [line.row.point for line in results.lines if line.row.point]
    titles = list(dict.fromkeys(point.chart for point in points))
    colours = dict(zip(dict.fromkeys(point.line for point in points), COLOURS, strict=False))
    with figure_written_to(path, WIDTH, 4.6) as figure:
        figure.suptitle(results.sheet.title)
        for axes, title in zip(figure.subplots(1, len(titles), squeeze=False, sharey=True)[0], titles, strict=True):
            _lines(axes, title, colours, results)
        _tell_marks(figure, results)


def _lines(axes: Any, title: str, colours: Mapping[str, str], results: Results) -> None:
    """Draw the lines of one chart: mAP by x, and as a level the row that they are held against, if it is elsewhere."""
    here = [(line.row.point, line) for line in results.lines if line.row.point and line.row.point.chart == title]
    for name, colour in colours.items():
        drawn = [(point.x, line) for point, line in here if point.line == name]
        found = [(x, line.scores["mAP"]) for x, line in drawn if line.scores]
        if found:
            means, deviations = zip(*((spread.mean, spread.deviation or 0) for _, spread in found), strict=True)
            places = [x for x, _ in found]
            axes.errorbar(places, means, deviations, fmt=".-", color=colour, capsize=3, label=name)
    for reference in (results.lines[place] for place in sorted({line.row.against for _, line in here})):
        if reference.scores and all(reference is not line for _, line in here):
            level = reference.scores["mAP"].mean
            axes.axhline(level, color=INK, linestyle="--", label=reference.row.label)
    axes.set_xscale("log", base=2)
    ticks = sorted({point.x for point, _ in here})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.set(title=title, ylabel="mAP, percent")
    if not any(line.scores for _, line in here):
        axes.text(0.5, 0.5, NOT_RUN, ha="center", color=INK, transform=axes.transAxes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    _printed_texts(axes, here, colours)


def _printed_marks(axes: Any, places: Iterable[tuple[float | None, float | None]]) -> None:
    """Mark what the paper prints, where it prints something; `places` are (x, y)."""
    marks = [(x, y) for x, y in places if x is not None and y is not None]
    if marks:
        axes.plot(*zip(*marks, strict=True), "D", color=INK, markeredgecolor="white", markersize=7)


def _printed_texts(axes: Any, here: Sequence[tuple[Point, Line]], colours: Mapping[str, str]) -> None:
    """Write what the paper prints along the top of a chart: as marks they would flatten lines far from them."""
    axes.margins(y=0.25)
    for point, line in here:
        if line.row.printed.mAP is not None:
            style = {"color": colours[point.line], "fontsize": 9, "ha": "center", "va": "top"}
            height = 0.96 - 0.06 * list(colours).index(point.line)  # of the chart's, where x is in its own unit
            axes.text(point.x, height, f"◆ {line.row.printed.mAP:.1f}", transform=axes.get_xaxis_transform(), **style)


def _printed(line: Line, name: str) -> float | None:
    return line.row.printed.mAP if name == "mAP" else line.row.printed.top1


def _tell_marks(figure: Any, results: Results) -> None:
    """Tell below all charts what the marks are."""
    text = f"◆ paper ({results.sheet.measured_on}); error bars: standard deviation over seeds"
    figure.supxlabel(text, fontsize=9, color=INK)
