"""Training curves from the logs of both stages, as SVG that takes the colour of the text around it."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_cache.base.files import read_json_lines
from data_cache.images.plots import COLOURS
from reid.training.log import LOSSES, VALIDATION

INK = "#010203"  # stands for the page's text colour until the SVG is made


Line = Mapping[str, Any]


def read_log(path: Path) -> list[Line]:
    """Return the lines of a training log, [] where there is none. Raises UserError where it is damaged."""
    return [*read_json_lines(path)]


def loss_curve(log: Sequence[Line], name: str = "training") -> str | None:
    """Return the losses by epoch as SVG, or None where the log has none; `name` sets its ids apart on a page."""
    return _chart(log, LOSSES, "loss", scale=1.0, name=name)


def validation_curve(log: Sequence[Line]) -> str | None:
    """Return the scores on held-out vehicles by epoch as SVG, in percent, or None where the log has none."""
    return _chart(log, VALIDATION, "percent", scale=100.0, name="validation")


def _chart(log: Sequence[Line], wanted: Mapping[str, str], unit: str, scale: float, name: str) -> str | None:
    series = {label: points for key, label in wanted.items() if (points := _points(log, key))}
    if not series:
        return None
    # A figure of its own, not pyplot: no state is shared with whoever else draws.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 10}
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    with rc_context(settings):
        figure = Figure(figsize=(5.6, 3.0), layout="constrained")
        axes = figure.add_subplot(xlabel="epoch", ylabel=unit)
        for colour, (label, points) in zip(COLOURS, series.items(), strict=False):
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, [scale * value for value in values], color=colour, label=label, marker=".", linewidth=1.6)
        _tidy(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline_svg(buffer.getvalue(), prefix=name)


def _points(log: Sequence[Line], key: str) -> list[tuple[float, float]]:
    """Return (epoch, value); a log without epochs counts its lines. A resumed run's later line replaces the earlier."""
    points = {
        float(line.get("epoch", number)): float(line[key])
        for number, line in enumerate(log, start=1)
        if isinstance(line.get(key), int | float) and math.isfinite(line[key])
    }
    return sorted(points.items())


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, color=INK)
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=9, ncols=2)


def inline_svg(svg: str, prefix: str) -> str:
    """Return an SVG file's element for use inside HTML: text colour from the page, ids apart from other pictures'."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}-", svg)
    return re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%" aria-hidden="true" focusable="false"', svg, count=1
    )
