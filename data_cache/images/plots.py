"""Plots as PNG files in one style."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_cache.base.files import read_json_lines, replacing

COLOURS = ("#2f81f7", "#d97706", "#2da44e", "#a371f7", "#e5534b")


@contextmanager
def figure_written_to(path: Path, width: float = 7.0, height: float = 4.5) -> Iterator[Any]:
    """Yield a matplotlib Figure of that size in inches, then write it to `path` as PNG, atomically.

    Raises UserError if the file cannot be written.
    """
    from matplotlib.figure import Figure  # pyplot would share state with the caller's figures

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    yield figure
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def draw_curves(log: Path, path: Path, charts: Mapping[str, Mapping[str, str]]) -> None:
    """Plot values of a training log by epoch as PNG; `charts` maps title -> log key -> label, charts side by side.

    If an epoch is logged twice, as after a resume, the later line counts; values that are not numbers are skipped.
    Raises UserError if the log is damaged or `path` cannot be written.
    """
    lines = read_json_lines(log)
    with figure_written_to(path, width=4.5 * len(charts), height=3.6) as figure:
        all_axes = figure.subplots(1, len(charts), squeeze=False)[0]
        for axes, (title, labels) in zip(all_axes, charts.items(), strict=True):
            for colour, (key, label) in zip(COLOURS, labels.items(), strict=False):
                if points := points_by_epoch(lines, key):
                    axes.plot(*zip(*points, strict=True), ".-", color=colour, label=label)
            axes.set(title=title, xlabel="epoch")
            axes.set_ylim(bottom=0)
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            if axes.lines:
                axes.legend(frameon=False)


def points_by_epoch(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """Return (epoch, value) of the lines that have both as numbers, sorted; of an epoch's lines the last counts."""
    numbers = (line for line in lines if all(isinstance(line.get(name), int | float) for name in ("epoch", key)))
    return sorted({line["epoch"]: line[key] for line in numbers}.items())
