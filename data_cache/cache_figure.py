"""The statistics of a part cache as one figure of three panels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_cache.errors import plain
from data_cache.plots import COLOURS, figure_written_to

WIDTH, HEIGHT, HEIGHT_OF_A_PART = 14.0, 4.6, 0.26  # inches
MOST_PARTS = 40  # bars that can be read; the rest is told in a line
MOST_TICKS = 9


def write_statistics_figure(
    path: Path, score_histogram: Sequence[int], images_by_parts: Sequence[int], shares: Sequence[tuple[str, float]]
) -> None:
    """Write a PNG: counts of scores in equal steps of [0, 1], images by number of parts, share of images by part.

    `shares` has (part, share of images in [0, 1]), the most frequent first. Raises UserError where the file cannot be
    written.
    """
    height = max(HEIGHT, 1.2 + HEIGHT_OF_A_PART * min(len(shares), MOST_PARTS))
    with figure_written_to(path, WIDTH, height) as figure:
        scores, counts, parts = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
        _scores(scores, score_histogram)
        _counts(counts, images_by_parts)
        _parts(parts, shares)
        for axes in (scores, counts, parts):
            axes.set_axisbelow(True)
        for axes in (scores, counts):
            axes.yaxis.get_major_locator().set_params(integer=True)


def _scores(axes: Any, histogram: Sequence[int]) -> None:
    step = 1 / len(histogram)
    edges = [step * number for number in range(len(histogram))]
    axes.bar(edges, histogram, width=0.92 * step, align="edge", color=COLOURS[0])
    axes.set(title="Scores", xlabel="score", ylabel="parts", xlim=(0, 1))


def _counts(axes: Any, images_by_parts: Sequence[int]) -> None:
    numbers = range(len(images_by_parts))
    axes.bar(numbers, images_by_parts, color=COLOURS[1])
    axes.set(title="Parts found in an image", xlabel="parts", ylabel="images")
    axes.set_xticks(list(numbers)[:: 1 + len(images_by_parts) // MOST_TICKS])


def _parts(axes: Any, shares: Sequence[tuple[str, float]]) -> None:
    shown = shares[:MOST_PARTS]
    places = range(len(shown))
    bars = axes.barh(places, [100 * share for _, share in shown], color=COLOURS[2])
    axes.bar_label(bars, [f"{100 * share:.1f}" for _, share in shown], padding=3, fontsize=8)
    # A dollar sign would start a formula.
    axes.set_yticks(places, [plain(name).replace("$", r"\$") for name, _ in shown], fontsize=9)
    axes.invert_yaxis()
    hidden = f"; {len(shares) - len(shown)} parts are not shown" if len(shares) > len(shown) else ""
    axes.set(title="Images that have the part", xlabel=f"percent of images{hidden}", xlim=(0, 108))
