"""What the detector found and what the network looks at: counts and mean attention, part by part."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_cache.datasets.dataset import Dataset
from data_cache.images.plots import COLOURS, figure_written_to
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes
from reid.features.file import Features
from reid.report.evaluated_run import ShownRun
from reid.report.tiles import attends_to_parts


@dataclass(frozen=True)
class PartUse:
    """One part over all images scored: in how many it was among the boxes used, and its mean attention there.

    `attention` is the mean weight of its boxes; `equal` what it would be if all boxes of an image shared alike,
    1 / (boxes in that image); `relative` is their quotient, above 1 where the network prefers the part. All are None
    where the network does not weigh parts, or never saw this one.
    """

    name: str
    images: int
    boxes: int
    attention: float | None = None
    equal: float | None = None

    @property
    def relative(self) -> float | None:
        """attention / equal."""
        return None if self.attention is None or self.equal is None else self.attention / self.equal


@dataclass(frozen=True)
class PartStatistics:
    """Counts over the images scored; `depth` boxes of an image are used at most; `uses` has the most frequent first."""

    images: int
    found: int
    empty: int
    failed: int
    depth: int
    boxes_per_image: float
    uses: tuple[PartUse, ...]

    @property
    def largest_weight(self) -> float:
        """The largest mean attention or equal share of a part: the length of a full bar; 1 where there is none."""
        return max(
            (max(use.attention, use.equal or 0.0) for use in self.uses if use.attention is not None), default=1.0
        )


def part_statistics(parts: PartBoxes, features: Features) -> PartStatistics | None:
    """Return the statistics over the images of `features`, or None where the part cache holds no boxes at all.

    Raises UserError where an image is not in the part cache.
    """
    if not parts.labels.shape[1]:
        return None
    rows = parts.rows(features.names)
    weighed, depth = attends_to_parts(parts, features), depth_used(parts, features)
    labels, status = parts.labels[rows, :depth], parts.status[rows]
    weights = features.attention if weighed else None
    uses = [_use(name, labels == label, labels >= 0, weights) for label, name in enumerate(parts.part_names)]
    return PartStatistics(
        images=len(rows),
        found=int((status == STATUS_FOUND).sum()),
        empty=int((status == STATUS_EMPTY).sum()),
        failed=int((status == STATUS_FAILED).sum()),
        depth=depth,
        boxes_per_image=float((labels >= 0).sum(axis=1).mean()),
        uses=tuple(sorted(uses, key=lambda use: -use.images)),
    )


def depth_used(parts: PartBoxes, features: Features) -> int:
    """Return how many boxes of an image are used at most: those that the network weighs, else all in the cache."""
    return features.attention.shape[1] if attends_to_parts(parts, features) else parts.labels.shape[1]


def _use(
    name: str,
    is_part: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    present: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None,
) -> PartUse:
    images, boxes = int(is_part.any(axis=1).sum()), int(is_part.sum())
    if weights is None or not boxes:
        return PartUse(name, images, boxes)
    equal = np.broadcast_to(1 / np.maximum(present.sum(axis=1, keepdims=True), 1), is_part.shape)
    return PartUse(name, images, boxes, float(weights[is_part].mean(dtype=np.float64)), float(equal[is_part].mean()))


MOST_CAMERAS = 24  # columns that can be read; VERI-Wild has 174


@dataclass(frozen=True, eq=False)
class PartsByCamera:
    """Boxes of P parts in the images of C cameras, in the order of their numbers.

    `mean` (P, C) is the number of boxes of a part in an image, on the mean; `images` (C,) counts the camera's images;
    `left_out` the cameras that are not among these, for they have the fewest images. The most frequent part is first.
    """

    parts: tuple[str, ...]
    cameras: tuple[int, ...]
    images: tuple[int, ...]
    mean: NDArray[np.float64]
    left_out: int = 0

    @property
    def total(self) -> list[float]:
        """Boxes of any part in an image, by camera."""
        return [float(value) for value in self.mean.sum(axis=0)]

    @property
    def largest(self) -> float:
        """The largest mean of a part, 1 where there is no box at all."""
        return float(self.mean.max(initial=0.0)) or 1.0


def parts_by_camera(
    parts: PartBoxes, features: Features, dataset: Dataset, *, most: int = MOST_CAMERAS
) -> PartsByCamera | None:
    """Return the counts over the images of `features`; None where the cache holds no boxes or no camera is known.

    Raises UserError where an image is not in the part cache.
    """
    camera_of = dict(zip(dataset.table["name"], dataset.table["camera_id"], strict=True))
    camera = np.array([camera_of[name] for name in features.names], dtype=np.int64)
    if not parts.labels.shape[1] or not (camera >= 0).any():
        return None
    labels = parts.labels[parts.rows(features.names), : depth_used(parts, features)]
    numbers, counts = np.unique(camera[camera >= 0], return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:most])
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


HEIGHT_AROUND, HEIGHT_OF_A_PART = 1.5, 0.3  # inches
EQUAL = "#24292f"


def write_attention_chart(run: ShownRun, path: Path) -> Path | None:
    """Write a PNG of a bar a part, the most preferred first, and return it; None where no parts are weighed.

    A bar is the mean attention of the part's boxes; the mark is what they would get if all boxes of an image got the
    same. Raises UserError where the file cannot be written.
    """
    found = part_statistics(run.parts, run.features) if run.weighs_parts else None
    uses = [use for use in found.uses if use.attention is not None] if found else []
    if not uses:
        return None
    uses.sort(key=lambda use: use.relative or 0.0, reverse=True)
    places = range(len(uses))
    with figure_written_to(path, 8.0, HEIGHT_AROUND + HEIGHT_OF_A_PART * len(uses)) as figure:
        axes = figure.subplots()
        axes.barh(places, [use.attention for use in uses], color=COLOURS[0], label="mean attention of a box")
        for place, use in zip(places, uses, strict=True):
            end = max(use.attention or 0.0, use.equal or 0.0)
            axes.text(1.02 * end, place, f"{use.attention:.3f} ({use.images:,})", va="center", fontsize=8)
        axes.plot(
            [use.equal for use in uses], places, "|", color=EQUAL, markersize=12, label="if all boxes got the same"
        )
        # a dollar sign would start a formula
        axes.set_yticks(places, [use.name.replace("$", r"\$") for use in uses], fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.set_axisbelow(True)
        axes.set(title=f"{run.dataset.name}, {run.metrics['split']}: {run.name}".replace("$", r"\$"), xlim=(0, None))
        axes.set_xlabel("attention (in brackets: images with the part)")
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return path
