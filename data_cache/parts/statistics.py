"""Statistics of a part cache: images, parts of each kind, scores and sizes, as a table, JSON and a figure.

Counted are the useful boxes (`useful_boxes`); the histogram alone is of all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import printable
from data_cache.base.files import write_json
from data_cache.base.options import remedy_command
from data_cache.images.plots import COLOURS, figure_written_to
from data_cache.parts.cache import STATUS_FAILED, PartBoxes
from data_cache.parts.selection import BoxChoice, First, label_coverage, useful_boxes, useful_confidence

if TYPE_CHECKING:
    from rich.table import Table

SCORE_BINS = 20
# Warn if the best boxes have a lower median confidence. The shipped detector's is 0.95 or more on rendered vehicles and
# on photographs of cars, trucks and buses, and 0.74 on motorcycles, which it has never seen (docs/results/parts.md).
LOW_CONFIDENCE = 0.8
FIGURE_WIDTH, MIN_FIGURE_HEIGHT, BAR_HEIGHT = 14.0, 4.6, 0.26  # inches
MAX_BARS = 40  # parts in the figure
MAX_TICKS = 9


@dataclass(frozen=True)
class PartSummary:
    """One part: its useful boxes, the images that have one and their share, and its median score and area.

    `share` is of the images that did not fail, areas are shares of the image's; medians are None without a box.
    """

    name: str
    boxes: int
    images: int
    share: float
    median_score: float | None
    median_area: float | None


@dataclass(frozen=True)
class Coverage:
    """By part the share of images with one of its useful boxes among the `top_d` that the network reads.

    `confident` reads the most confident, `varied` those of a `BoxChoice`.
    """

    top_d: int
    per_label: int | None
    first: First
    confident: dict[str, float]
    varied: dict[str, float]


@dataclass(frozen=True)
class CacheStatistics:
    """Statistics of a part cache.

    Boxes of `useful_confidence` or more are counted, all if it is None: then scores are no confidences. `found` and
    `empty` are images with and without such a box; `boxes_below` counts the other boxes. `failures` counts reasons
    without file names. `images_by_parts[n]` counts images with n parts, n = 0 ... K, without failed ones.
    `score_histogram` has 20 equal bins of [0, 1], of all boxes. `median_best` is the median over the images of their
    best box's confidence, 0 without a box; None if scores are no confidences. `parts` is sorted by number of images.
    `scores_are` is the fingerprint's remark on scores, if any: "rank only" for imported masks.
    """

    images: int
    found: int
    empty: int
    failed: int
    failures: dict[str, int]
    useful_confidence: float | None
    boxes: int
    boxes_below: int
    median_best: float | None
    parts_per_image: float
    images_by_parts: tuple[int, ...]
    score_histogram: tuple[int, ...]
    scores_are: str | None
    parts: tuple[PartSummary, ...]
    coverage: Coverage | None = None

    @property
    def warning(self) -> str | None:
        """A sentence if the best boxes have a low confidence, so that the detector probably does not fit the images."""
        return low_confidence_warning(self.median_best)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, and `warning`; without `coverage` if there is none."""
        fields = {name: value for name, value in asdict(self).items() if name != "coverage" or value is not None}
        return {**fields, "warning": self.warning}


def cache_statistics(parts: PartBoxes, choice: BoxChoice | None = None) -> CacheStatistics:
    """Return the statistics of a cache; means and shares are over images that did not fail.

    With `choice` they have the coverage by its boxes, and by as many of the most confident.
    """
    read = parts.status != STATUS_FAILED
    present, useful = parts.labels >= 0, useful_boxes(parts)
    images_by_parts = np.bincount(useful.sum(axis=1)[read], minlength=parts.labels.shape[1] + 1)
    histogram, _ = np.histogram(parts.scores[present], bins=SCORE_BINS, range=(0, 1))
    summaries = [
        _part_summary(parts, useful & (parts.labels == label), name, int(read.sum()))
        for label, name in enumerate(parts.part_names)
    ]
    coverage = None
    if choice is not None:
        confident, varied = label_coverage(parts, BoxChoice(choice.top_d)), label_coverage(parts, choice)
        coverage = Coverage(**asdict(choice), confident=confident, varied=varied)
    return CacheStatistics(
        images=len(parts.names),
        found=int(useful.any(axis=1).sum()),
        empty=int(images_by_parts[0]),
        failed=int((~read).sum()),
        failures=_failure_counts(parts.names, parts.failure),
        useful_confidence=useful_confidence(parts),
        boxes=int(useful.sum()),
        boxes_below=int((present & ~useful).sum()),
        median_best=median_best_confidence(parts),
        parts_per_image=float(useful.sum() / max(read.sum(), 1)),
        images_by_parts=tuple(images_by_parts.tolist()),
        score_histogram=tuple(histogram.tolist()),
        scores_are=parts.fingerprint.get("scores"),
        parts=tuple(sorted(summaries, key=lambda part: -part.images)),
        coverage=coverage,
    )


def median_best_confidence(parts: PartBoxes) -> float | None:
    """Return the median confidence of the images' best boxes, 0 for an image without any; failed images do not count.

    None if there is no image or scores are not confidences.
    """
    read = parts.status != STATUS_FAILED
    return None if useful_confidence(parts) is None else _median(parts.scores.max(axis=1, initial=0)[read])


def low_confidence_warning(median_best: float | None) -> str | None:
    """Return a sentence if the best boxes' median confidence is below LOW_CONFIDENCE."""
    if median_best is None or median_best >= LOW_CONFIDENCE:
        return None
    return (
        f"the best boxes have a median confidence of {median_best:.2f}, below {LOW_CONFIDENCE}: the detector probably "
        f"was not trained on such images; look at some with {remedy_command('parts preview')}, and adapt it with "
        f"{remedy_command('parts train')}"
    )


def _part_summary(parts: PartBoxes, is_part: NDArray[np.bool_], name: str, images_read: int) -> PartSummary:
    images = int(is_part.any(axis=1).sum())
    sides = parts.boxes[is_part][:, 2:].astype(np.float64) - parts.boxes[is_part][:, :2]
    image_areas = parts.image_size[np.nonzero(is_part)[0]].astype(np.float64).prod(axis=1)
    return PartSummary(
        name=name,
        boxes=int(is_part.sum()),
        images=images,
        share=images / max(images_read, 1),
        median_score=_median(parts.scores[is_part]),
        median_area=_median(sides.prod(axis=1) / image_areas),
    )


def _median(values: NDArray[Any]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _failure_counts(names: Sequence[str], failures: Sequence[str]) -> dict[str, int]:
    """Count the reasons of failures without the image's path at their start, the most frequent first.

    >>> _failure_counts(["a.jpg", "b.jpg"], ["data/a.jpg: no such file", "data/b.jpg: no such file"])
    {'no such file': 2}
    """
    reasons: Counter[str] = Counter()
    for name, failure in zip(names, failures, strict=True):
        if failure:
            stem = PurePosixPath(name).with_suffix("").as_posix()  # a mask has another suffix than its image
            reasons[failure.partition(stem)[2].partition(": ")[2] or failure] += 1
    return dict(reasons.most_common())


def statistics_table(statistics: CacheStatistics, title: str) -> "Table":
    """Return the statistics as a terminal table, one row per part, with totals below."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), caption=escape("\n".join(_totals(statistics))), caption_justify="left")
    table.add_column("part")
    coverage = statistics.coverage
    ways = [] if coverage is None else [f"% of top {coverage.top_d}", "% of chosen"]
    for heading in ("boxes", "images", "% of images", *ways, "median score", "median % of area"):
        table.add_column(heading, justify="right")
    for part in statistics.parts:
        score = "-" if part.median_score is None else f"{part.median_score:.2f}"
        area = "-" if part.median_area is None else f"{100 * part.median_area:.2f}"
        name = escape(printable(part.name))
        covered = [] if coverage is None else [coverage.confident[part.name], coverage.varied[part.name]]
        percent = [f"{100 * share:.1f}" for share in (part.share, *covered)]
        table.add_row(name, f"{part.boxes:,}", f"{part.images:,}", *percent, score, area)
    return table


def _totals(statistics: CacheStatistics) -> list[str]:
    least, best = statistics.useful_confidence, statistics.median_best
    by_parts = ", ".join(f"{number}: {images:,}" for number, images in enumerate(statistics.images_by_parts) if images)
    below = f"counted are boxes of confidence {least} or more; {statistics.boxes_below:,} others are stored too"
    return [
        f"{statistics.images:,} images: {statistics.found:,} with parts, {statistics.empty:,} without, "
        f"{statistics.failed:,} failed",
        f"{statistics.boxes:,} parts, {statistics.parts_per_image:.2f} per image; "
        f"images by number of parts {by_parts or 'none'}",
        *([] if least is None else [below]),
        *([] if best is None else [f"median confidence of the images' best boxes: {best:.2f}"]),
        *([f"scores: {printable(statistics.scores_are)}"] if statistics.scores_are else []),
        *(f"failed, {count:,}: {printable(reason)}" for reason, count in statistics.failures.items()),
        *([f"warning: {statistics.warning}"] if statistics.warning else []),
    ]


def write_statistics(statistics: CacheStatistics, folder: Path) -> tuple[Path, Path]:
    """Write stats.json and stats.png into `folder` and return their paths. Raises UserError if that fails."""
    numbers, figure = folder / "stats.json", folder / "stats.png"
    write_json(numbers, statistics.to_dict())
    _write_figure(statistics, figure)
    return numbers, figure


def _write_figure(statistics: CacheStatistics, path: Path) -> None:
    """Plot the score histogram, the images by number of parts, and the share of images that have each part."""
    height = max(MIN_FIGURE_HEIGHT, 1.2 + BAR_HEIGHT * min(len(statistics.parts), MAX_BARS))
    with figure_written_to(path, FIGURE_WIDTH, height) as figure:
        scores, counts, parts = figure.subplots(1, 3, width_ratios=(1, 1, 1.3))
        bin_width = 1 / SCORE_BINS
        edges = [bin_width * number for number in range(SCORE_BINS)]
        scores.bar(edges, statistics.score_histogram, width=0.92 * bin_width, align="edge", color=COLOURS[0])
        least = statistics.useful_confidence
        dashed = "" if least is None else f"; counted as parts from {least:g} (dashed)"
        scores.set(title="Scores of all boxes", xlabel=f"score{dashed}", ylabel="boxes", xlim=(0, 1))
        numbers = range(len(statistics.images_by_parts))
        counts.bar(numbers, statistics.images_by_parts, color=COLOURS[1])
        if statistics.useful_confidence is not None:
            scores.axvline(statistics.useful_confidence, color="black", linewidth=1, linestyle="--")
        counts.set(title="Parts found in an image", xlabel="parts", ylabel="images")
        counts.set_xticks(list(numbers)[:: 1 + len(numbers) // MAX_TICKS])
        _plot_shares(parts, statistics.parts)
        for axes in (scores, counts, parts):
            axes.set_axisbelow(True)
        for axes in (scores, counts):
            axes.yaxis.get_major_locator().set_params(integer=True)


def _plot_shares(axes: Any, parts: Sequence[PartSummary]) -> None:
    shown = parts[:MAX_BARS]
    positions = range(len(shown))
    bars = axes.barh(positions, [100 * part.share for part in shown], color=COLOURS[2])
    axes.bar_label(bars, [f"{100 * part.share:.1f}" for part in shown], padding=3, fontsize=8)
    # a dollar sign would start a formula
    axes.set_yticks(positions, [printable(part.name).replace("$", r"\$") for part in shown], fontsize=9)
    axes.invert_yaxis()
    hidden = f"; {len(parts) - len(shown)} parts are not shown" if len(parts) > len(shown) else ""
    axes.set(title="Images that have the part", xlabel=f"percent of images{hidden}", xlim=(0, 108))
