"""Training curves of both stages as inline SVG in the text colour of the page."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from data_cache.images.plots import COLOURS, points_by_epoch
from reid.training.log import LOSSES, VALIDATION

INK = "#010203"  # placeholder, replaced by currentColor
LOSS_LABELS = {**LOSSES, "loss_cls": "classes", "loss_bbox": "boxes"}  # of both stages
LINES = ("-", "--")  # of the metrics of one run, if several runs share a chart
LogLine = Mapping[str, Any]
Log = Sequence[LogLine]


@dataclass(frozen=True)
class _Curve:
    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    line: str = "-"


def loss_curve(log: Log, name: str = "training") -> str | None:
    """Return the losses of either stage by epoch as SVG, None without any; `name` makes the ids unique on a page."""
    return _chart(_terms(log, LOSS_LABELS), "loss", scale=1.0, name=name)


def validation_curve(log: Log) -> str | None:
    """Return the scores on held-out vehicles by epoch, in percent, as SVG; None if the log has none."""
    return _chart(_terms(log, VALIDATION), "percent", scale=100.0, name="validation")


def compared_loss_curve(logs: Sequence[tuple[str, Log]]) -> str | None:
    """Return the total loss of several runs, (name, log) each, in one chart as SVG; None if no log has one."""
    return _chart(_by_run(logs, {"loss": ""}), "total loss", scale=1.0, name="training")


def compared_validation_curve(logs: Sequence[tuple[str, Log]]) -> str | None:
    """Return the held-out scores of several runs in one chart, in percent, as SVG; None if no log has any."""
    labels = {key: f": {label}" for key, label in VALIDATION.items()}
    return _chart(_by_run(logs, labels), "percent", scale=100.0, name="validation")


def threshold_curve(curve: Mapping[str, Sequence[tuple[float, float]]], threshold: float) -> str | None:
    """Return rates, (threshold, rate) by label, in percent as SVG, with a line at the threshold that is used."""
    curves = [_Curve(label, points, colour) for (label, points), colour in zip(curve.items(), COLOURS, strict=False)]
    return _chart(curves, "percent", scale=100.0, name="decisions", mark=threshold)


def inline_svg(svg: str, prefix: str) -> str:
    """Return the <svg> element of a file for use in HTML: text in the page's colour, ids with a prefix."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}-", svg)
    return re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%" aria-hidden="true" focusable="false"', svg, count=1
    )


def _terms(log: Log, labels: Mapping[str, str]) -> list[_Curve]:
    """Return the curves of one run, each in its own colour."""
    found = [(label, points) for key, label in labels.items() if (points := points_by_epoch(log, key))]
    return [_Curve(label, points, colour) for (label, points), colour in zip(found, cycle(COLOURS), strict=False)]


def _by_run(logs: Sequence[tuple[str, Log]], labels: Mapping[str, str]) -> list[_Curve]:
    """Return the curves of several runs: a colour for each run, a kind of line for each log key."""
    return [
        _Curve(run + label, points, colour, line)
        for (run, log), colour in zip(logs, cycle(COLOURS), strict=False)
        for (key, label), line in zip(labels.items(), LINES, strict=False)
        if (points := points_by_epoch(log, key))
    ]


def _chart(curves: Sequence[_Curve], unit: str, *, scale: float, name: str, mark: float | None = None) -> str | None:
    """Return a chart by epoch as SVG; with a `mark` it is by threshold, and a line shows the mark."""
    if not curves:
        return None
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not pyplot, which has global state

    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 10}
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    with rc_context(settings):
        figure = Figure(figsize=(5.0, 3.0 + 0.2 * max(0, (len(curves) - 4 + 1) // 2)), layout="constrained")
        axes: Any = figure.add_subplot(xlabel="epoch" if mark is None else "threshold", ylabel=unit)
        for curve in curves:
            epochs, values = zip(*curve.points, strict=True)
            style = {
                "color": curve.colour,
                "linestyle": curve.line,
                "marker": "." if mark is None else "",
                "linewidth": 1.6,
            }
            # a dollar sign would start a formula
            label = curve.label.replace("$", r"\$")
            axes.plot(epochs, [scale * value for value in values], label=label, **style)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25, color=INK)
        axes.set_ylim(bottom=0)
        if mark is None:
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        else:
            axes.axvline(mark, color=INK, linestyle=":", linewidth=1.2)
        figure.legend(frameon=False, fontsize=9, ncols=2, loc="outside lower center")
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline_svg(buffer.getvalue(), prefix=name)
