"""Training curves of both stages as inline SVG in the text colour of the page."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from data_cache.images.plots import COLOURS, points_by_epoch
from reid.training.log import LOSSES, VALIDATION

INK = "#010203"  # placeholder, replaced by currentColor
LOSS_LABELS = {**LOSSES, "loss_cls": "classes", "loss_bbox": "boxes"}  # of both stages
LogLine = Mapping[str, Any]


def loss_curve(log: Sequence[LogLine], name: str = "training") -> str | None:
    """Return the losses of either stage by epoch as SVG, None without any; `name` makes the ids unique on a page."""
    return _chart(log, LOSS_LABELS, "loss", scale=1.0, name=name)


def validation_curve(log: Sequence[LogLine]) -> str | None:
    """Return the scores on held-out vehicles by epoch, in percent, as SVG; None if the log has none."""
    return _chart(log, VALIDATION, "percent", scale=100.0, name="validation")


def inline_svg(svg: str, prefix: str) -> str:
    """Return the <svg> element of a file for use in HTML: text in the page's colour, ids with a prefix."""
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}-", svg)
    return re.sub(
        r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%" aria-hidden="true" focusable="false"', svg, count=1
    )


def _chart(log: Sequence[LogLine], labels: Mapping[str, str], unit: str, scale: float, name: str) -> str | None:
    series = {label: points for key, label in labels.items() if (points := points_by_epoch(log, key))}
    if not series:
        return None
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not pyplot, which has global state

    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "font.size": 10}
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    with rc_context(settings):
        figure = Figure(figsize=(5.6, 3.0), layout="constrained")
        axes: Any = figure.add_subplot(xlabel="epoch", ylabel=unit)
        for colour, (label, points) in zip(COLOURS, series.items(), strict=False):
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, [scale * value for value in values], color=colour, label=label, marker=".", linewidth=1.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25, color=INK)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize=9, ncols=2)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return inline_svg(buffer.getvalue(), prefix=name)
