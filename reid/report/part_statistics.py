"""How often each part is found and how much attention it gets, over the scored images and by camera.

Counted are boxes of the useful confidence or more (`useful_boxes`), among those that the network reads.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_cache.datasets.dataset import Dataset
from data_cache.images.plots import COLOURS, figure_written_to
from data_cache.parts.cache import STATUS_FAILED, PartBoxes
from data_cache.parts.selection import useful_boxes, useful_confidence
from data_cache.parts.statistics import low_confidence_warning, median_best_confidence
from reid.features.file import Features
from reid.report.evaluated_run import EvaluatedRun, attends_to_parts

MAX_CAMERAS = 24  # readable columns; VERI-Wild has 174 cameras
ROW_HEIGHT, MARGIN_HEIGHT = 0.3, 1.5  # inches of the chart
MARK_COLOUR = "#24292f"


@dataclass(frozen=True)
class PartUse:
    """One part: the number of images and boxes with it, and its attention.

    `attention` is the mean weight of its boxes; `equal_share` the mean of 1 / (boxes in the image), the weight if all
    boxes shared alike. Both are None if the network does not weigh parts or never saw this one.
    """

    name: str
    images: int
    boxes: int
    attention: float | None = None
    equal_share: float | None = None

    @property
    def ratio(self) -> float | None:
        """attention / equal_share, above 1 if the network prefers the part."""
        return None if self.attention is None or self.equal_share is None else self.attention / self.equal_share


@dataclass(frozen=True)
class PartStatistics:
    """Counts of the scored images with parts, without and failed, and the parts, most frequent first.

    Of at most `top_d` boxes per image those of `useful_confidence` or more are counted, all if it is None.
    `attention_below` is the mean share of an image's attention on the others, None if the network does not weigh parts.
    `warning` is a sentence if the best boxes of the cache have a low confidence.
    """

    images: int
    found: int
    empty: int
    failed: int
    top_d: int
    useful_confidence: float | None
    boxes_per_image: float
    attention_below: float | None
    warning: str | None
    uses: tuple[PartUse, ...]

    @property
    def largest_weight(self) -> float:
        """The largest attention or equal share of any part, the scale of the bars; 1 if there is none."""
        return max(
            (max(use.attention, use.equal_share or 0.0) for use in self.uses if use.attention is not None), default=1.0
        )


@dataclass(frozen=True, eq=False)
class PartsByCamera:
    """Boxes of P parts, most frequent first, in the images of C cameras, by number.

    `mean` (P, C) is the mean number of boxes per image; `images` (C,) counts the images; `left_out` counts the other
    cameras, which have fewer images.
    """

    parts: tuple[str, ...]
    cameras: tuple[int, ...]
    images: tuple[int, ...]
    mean: NDArray[np.float64]
    left_out: int = 0

    @property
    def total(self) -> list[float]:
        """Mean number of boxes of all parts per image, by camera."""
        return [float(value) for value in self.mean.sum(axis=0)]

    @property
    def largest(self) -> float:
        """The largest mean of a part, 1 if there is no box at all."""
        return float(self.mean.max(initial=0.0)) or 1.0


def part_statistics(parts: PartBoxes, features: Features) -> PartStatistics | None:
    """Return the statistics over the images of `features`, None if the part cache has no boxes (K = 0).

    Raises UserError if the part cache lacks an image.
    """
    if not parts.labels.shape[1]:
        return None
    rows = parts.rows(features.names)
    top_d = used_boxes(parts, features)
    labels, useful = parts.labels[rows, :top_d], useful_boxes(parts)[rows, :top_d]
    failed = int((parts.status[rows] == STATUS_FAILED).sum())
    weights = features.attention if attends_to_parts(parts, features) else None
    uses = [
        _part_use(name, useful & (labels == label), labels >= 0, weights) for label, name in enumerate(parts.part_names)
    ]
    found = int(useful.any(axis=1).sum())
    return PartStatistics(
        images=len(rows),
        found=found,
        empty=len(rows) - found - failed,
        failed=failed,
        top_d=top_d,
        useful_confidence=useful_confidence(parts),
        boxes_per_image=float(useful.sum(axis=1).mean()),
        attention_below=None if weights is None else float((weights * ~useful).sum(axis=1, dtype=np.float64).mean()),
        warning=low_confidence_warning(median_best_confidence(parts)),
        uses=tuple(sorted(uses, key=lambda use: -use.images)),
    )


def parts_by_camera(
    parts: PartBoxes, features: Features, dataset: Dataset, *, max_cameras: int = MAX_CAMERAS
) -> PartsByCamera | None:
    """Return the counts over the images of `features`; None if the cache has no boxes or no camera is known.

    Raises UserError if the part cache lacks an image.
    """
    camera_of = dict(zip(dataset.table["name"], dataset.table["camera_id"], strict=True))
    camera = np.array([camera_of[name] for name in features.names], dtype=np.int64)
    if not parts.labels.shape[1] or not (camera >= 0).any():
        return None
    useful = np.where(useful_boxes(parts), parts.labels, -1)
    labels = useful[parts.rows(features.names), : used_boxes(parts, features)]
    numbers, counts = np.unique(camera[camera >= 0], return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_cameras])
    used = [label for label in range(len(parts.part_names)) if (labels == label).any()]
    used.sort(key=lambda label: -int((labels == label).any(axis=1).sum()))
    mean = [
        [float((labels[camera == number] == label).sum(axis=1).mean()) for number in numbers[kept]] for label in used
    ]
    return PartsByCamera(
        parts=tuple(parts.part_names[label] for label in used),
        cameras=tuple(int(number) for number in numbers[kept]),
        images=tuple(int(count) for count in counts[kept]),
        mean=np.array(mean, dtype=np.float64).reshape(len(used), len(kept)),
        left_out=len(numbers) - len(kept),
    )


def used_boxes(parts: PartBoxes, features: Features) -> int:
    """Return the number of boxes used per image: those the network weighs, otherwise all in the cache."""
    return features.attention.shape[1] if attends_to_parts(parts, features) else parts.labels.shape[1]


def write_attention_chart(run: EvaluatedRun, path: Path) -> Path | None:
    """Write a PNG with one bar per part, highest preference first, and return its path; None without part attention.

    A bar is the mean attention of the part's boxes, its mark the equal share. Raises UserError if the file cannot be
    written.
    """
    statistics = part_statistics(run.parts, run.features) if run.attends_to_parts else None
    uses = [use for use in statistics.uses if use.attention is not None] if statistics else []
    if not uses:
        return None
    uses.sort(key=lambda use: use.ratio or 0.0, reverse=True)
    rows = range(len(uses))
    with figure_written_to(path, 8.0, MARGIN_HEIGHT + ROW_HEIGHT * len(uses)) as figure:
        axes = figure.subplots()
        axes.barh(rows, [use.attention for use in uses], color=COLOURS[0], label="mean attention of a box")
        for row, use in zip(rows, uses, strict=True):
            end = max(use.attention or 0.0, use.equal_share or 0.0)
            axes.text(1.02 * end, row, f"{use.attention:.3f} ({use.images:,})", va="center", fontsize=8)
        shares = [use.equal_share for use in uses]
        axes.plot(shares, rows, "|", color=MARK_COLOUR, markersize=12, label="equal share of all boxes")
        # a dollar sign would start a formula
        axes.set_yticks(rows, [use.name.replace("$", r"\$") for use in uses], fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.set_axisbelow(True)
        axes.set(title=f"{run.dataset.name}, {run.metrics['split']}: {run.name}".replace("$", r"\$"), xlim=(0, None))
        least = statistics.useful_confidence if statistics else None
        counted = "" if least is None else f", confidence {least:g} or more"
        axes.set_xlabel(f"attention (in brackets: images with the part{counted})")
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return path


def _part_use(
    name: str, is_part: NDArray[np.bool_], present: NDArray[np.bool_], weights: NDArray[np.float32] | None
) -> PartUse:
    images, boxes = int(is_part.any(axis=1).sum()), int(is_part.sum())
    if weights is None or not boxes:
        return PartUse(name, images, boxes)
    shares = np.broadcast_to(1 / np.maximum(present.sum(axis=1, keepdims=True), 1), is_part.shape)
    return PartUse(name, images, boxes, float(weights[is_part].mean(dtype=np.float64)), float(shares[is_part].mean()))
