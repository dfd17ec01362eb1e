"""Figures as PNG files, in one style, written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_cache.files import replacing

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
