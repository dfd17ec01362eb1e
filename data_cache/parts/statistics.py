"""What a part cache holds, in numbers: images, parts of each kind, scores, sizes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import printable
from data_cache.base.files import write_json
from data_cache.images.plots import COLOURS, figure_written_to
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes

if TYPE_CHECKING:
    from rich.table import Table

SCORE_BINS = 20
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
    axes.set_yticks(places, [printable(name).replace("$", r"\$") for name, _ in shown], fontsize=9)
    axes.invert_yaxis()
    hidden = f"; {len(shares) - len(shown)} parts are not shown" if len(shares) > len(shown) else ""
    axes.set(title="Images that have the part", xlabel=f"percent of images{hidden}", xlim=(0, 108))


@dataclass(frozen=True)
class PartSummary:
    """One part: its boxes, the images that have one, and its median score and area (share of the image's).

    `share` is of the images that were read; medians are None where there is no box.
    """

    name: str
    boxes: int
    images: int
    share: float
    median_score: float | None
    median_area: float | None


@dataclass(frozen=True)
class CacheStatistics:
    """A part cache in numbers.

    `failures` counts the reasons, file names aside. `images_by_parts[n]` are the images read in which n parts were
    found, n = 0 ... K. `score_histogram` counts the scores in 20 equal steps of [0, 1]. `parts` has the part that most
    images have first. `scores_are` is what the fingerprint says of them, if anything: "rank only" for imported masks.
    """

    images: int
    found: int
    empty: int
    failed: int
    failures: dict[str, int]
    boxes: int
    parts_per_image: float
    images_by_parts: tuple[int, ...]
    score_histogram: tuple[int, ...]
    scores_are: str | None
    parts: tuple[PartSummary, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as printable JSON values."""
        return asdict(self)


def cache_statistics(parts: PartBoxes) -> CacheStatistics:
    """Return the statistics of a cache; means and shares are over the images that did not fail."""
    read = parts.status != STATUS_FAILED
    present = parts.labels >= 0
    images_by_parts = np.bincount(present.sum(axis=1)[read], minlength=parts.labels.shape[1] + 1)
    histogram, _ = np.histogram(parts.scores[present], bins=SCORE_BINS, range=(0, 1))
    summaries = [_part_summary(parts, label, int(read.sum())) for label in range(len(parts.part_names))]
    return CacheStatistics(
        images=len(parts.names),
        found=int((parts.status == STATUS_FOUND).sum()),
        empty=int((parts.status == STATUS_EMPTY).sum()),
        failed=int((parts.status == STATUS_FAILED).sum()),
        failures=_reasons(parts.names, parts.failure),
        boxes=int(present.sum()),
        parts_per_image=float(present.sum() / max(read.sum(), 1)),
        images_by_parts=tuple(images_by_parts.tolist()),
        score_histogram=tuple(histogram.tolist()),
        scores_are=parts.fingerprint.get("scores"),
        parts=tuple(sorted(summaries, key=lambda part: -part.images)),
    )


def _part_summary(parts: PartBoxes, label: int, images_read: int) -> PartSummary:
    is_part = parts.labels == label
    images = int(is_part.any(axis=1).sum())
    sides = parts.boxes[is_part][:, 2:].astype(np.float64) - parts.boxes[is_part][:, :2]
    whole = parts.image_size[np.nonzero(is_part)[0]].astype(np.float64).prod(axis=1)
    return PartSummary(
        name=parts.part_names[label],
        boxes=int(is_part.sum()),
        images=images,
        share=images / max(images_read, 1),
        median_score=_median(parts.scores[is_part]),
        median_area=_median(sides.prod(axis=1) / whole),
    )


def _median(values: NDArray[Any]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _reasons(names: Sequence[str], failures: Sequence[str]) -> dict[str, int]:
    """Count the reasons, the most frequent first; a path of the image, which begins a reason, is left out.

    >>> _reasons(["a.jpg", "b.jpg"], ["data/a.jpg: no such file", "data/b.jpg: no such file"])
    {'no such file': 2}
    """
    reasons = Counter(_without_path(name, reason) for name, reason in zip(names, failures, strict=True) if reason)
    return dict(reasons.most_common())


def _without_path(name: str, reason: str) -> str:
    stem = PurePosixPath(name).with_suffix("").as_posix()  # a mask has another suffix than its picture
    return reason.partition(stem)[2].partition(": ")[2] or reason


def statistics_table(statistics: CacheStatistics, title: str) -> "Table":
    """Return the statistics as a table for the terminal: a row a part, the whole below."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), caption=escape("\n".join(_summary(statistics))), caption_justify="left")
    table.add_column("part")
    for heading in ("boxes", "images", "% of images", "median score", "median % of area"):
        table.add_column(heading, justify="right")
    for part in statistics.parts:
        counts = (f"{part.boxes:,}", f"{part.images:,}", f"{100 * part.share:.1f}")
        table.add_row(
            escape(printable(part.name)), *counts, _figure(part.median_score, 2), _figure(part.median_area, 2, 100)
        )
    return table


def _figure(value: float | None, digits: int, scale: float = 1) -> str:
    return "-" if value is None else f"{scale * value:.{digits}f}"


def _summary(statistics: CacheStatistics) -> list[str]:
    by_parts = ", ".join(f"{number}: {images:,}" for number, images in enumerate(statistics.images_by_parts) if images)
    return [
        f"{statistics.images:,} images: {statistics.found:,} with parts, {statistics.empty:,} without, "
        f"{statistics.failed:,} failed",
        f"{statistics.boxes:,} parts, {statistics.parts_per_image:.2f} an image; images by parts {by_parts or 'none'}",
        *([f"scores: {printable(statistics.scores_are)}"] if statistics.scores_are else []),
        *(f"failed, {count:,}: {printable(reason)}" for reason, count in statistics.failures.items()),
    ]


def write_statistics(statistics: CacheStatistics, folder: Path) -> tuple[Path, Path]:
    """Write stats.json and stats.png into `folder`; return both paths. Raises UserError where that is refused."""
    numbers, picture = folder / "stats.json", folder / "stats.png"
    write_json(numbers, statistics.to_dict())
    shares = [(part.name, part.share) for part in statistics.parts]
    write_statistics_figure(picture, statistics.score_histogram, statistics.images_by_parts, shares)
    return numbers, picture
