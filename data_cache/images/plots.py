"""Figures as PNG files, in one style, written whole or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_cache.base.files import read_json_lines, replacing

COLOURS = ("#2f81f7", "#d97706", "#2da44e", "#a371f7", "#e5534b")


@contextmanager
def figure_written_to(path: Path, width: float = 7.0, height: float = 4.5) -> Iterator[Any]:
    """Yield a matplotlib Figure of that size in inches; at the end it is written to `path` as PNG.

    Raises UserError where the file cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: no state is shared with whoever else draws

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    yield figure
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def draw_curves(log: Path, path: Path, charts: Mapping[str, Mapping[str, str]]) -> None:
    """Draw values by epoch from a training's `log` as PNG, a chart beside the other: title -> key in the log -> label.

    Where an epoch has two lines, as after a stop, the later counts; what is no number is left out. Raises UserError
    where the log is damaged or `path` cannot be written.
    """
    lines = read_json_lines(log)
    with figure_written_to(path, width=4.5 * len(charts), height=3.6) as figure:
        for axes, (title, labels) in zip(
            figure.subplots(1, len(charts), squeeze=False)[0], charts.items(), strict=True
        ):
            _draw(axes, lines, labels)
            axes.set(title=title, xlabel="epoch")


def _draw(axes: Any, lines: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> None:
    for colour, (key, label) in zip(COLOURS, labels.items(), strict=False):
        points = sorted({line["epoch"]: line[key] for line in lines if _are_numbers(line, "epoch", key)}.items())
        if points:
            axes.plot(*zip(*points, strict=True), ".-", color=colour, label=label)
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if axes.lines:
        axes.legend(frameon=False)


def _are_numbers(line: Mapping[str, Any], *keys: str) -> bool:
    return all(isinstance(line.get(key), int | float) for key in keys)
