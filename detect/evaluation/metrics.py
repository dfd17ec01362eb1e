"""Quality of a part detector: COCO average precision, and recall of the true parts by the D most confident boxes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data_cache.parts.cache import PartBoxes
from data_cache.parts.names import PART_NAMES
from data_cache.parts.selection import BoxChoice, boxes_in_slots, selected_slots, slots_where
from detect.annotations.images import AnnotatedImage
from detect.evaluation.precision_recall import SIZES, PrecisionRecall, precision_recall, relative_areas

TOP_D = range(1, 17)  # up to the number of boxes in a part cache
REPORTED_D = 8  # as in the paper
MOST_CONFIDENT = BoxChoice(REPORTED_D)
RECALL_IOU = 0.5
NOT_FOUND = int(np.iinfo(np.int64).max)  # the rank of a part that no box finds

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class DepthRecall:
    """Recall of the true parts by the `depth` (D) most confident boxes of every image at IoU 0.5, all in [0, 1].

    If images show more than D parts, no detector reaches 1: `limit` is the highest recall that D boxes can reach, and
    the shares of it are the numbers to compare. Field names are keys of metrics.json.
    """

    depth: int
    limit: float
    recall: float  # with any label
    share: float  # recall / limit
    recall_with_label: float  # with the correct label
    share_with_label: float


@dataclass(frozen=True)
class DetectorMetrics:
    """Scores on annotated images, all in [0, 1]; parts and sizes that never occur have no entry.

    Boxes of labels that never occur are ignored, so that a data set with only some of the parts annotated does not
    punish a detector that finds more. Sizes are shares of the image's area, see `precision_recall.SIZES`. Field names
    are keys of metrics.json.
    """

    images: int
    parts: int
    ap: float  # mean over parts and IoU 0.50:0.95, of the 100 most confident boxes of an image
    ap50: float
    ap75: float
    recall: float  # this and the next two are those of DepthRecall at D = recall_depth
    recall_with_label: float
    recall_limit: float
    recall_depth: int
    ap_by_part: dict[str, float]
    ap50_by_part: dict[str, float]
    parts_by_part: dict[str, int]
    recall_by_part: dict[str, float]  # by the boxes that the network of stage two reads, see `recall_of_read_boxes`
    ap_by_size: dict[str, float]
    parts_by_size: dict[str, int]
    recall_by_depth: tuple[DepthRecall, ...]
    curves: PrecisionRecall = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, without the curves."""
        fields = {name: value for name, value in vars(self).items() if name != "curves"}
        return fields | {"recall_by_depth": [asdict(each) for each in self.recall_by_depth]}


def measure(
    images: Sequence[AnnotatedImage], detected: PartBoxes, *, choice: BoxChoice = MOST_CONFIDENT
) -> DetectorMetrics:
    """Return the metrics of the parts `detected` in `images`, one row per image in the same order.

    Detections with a label that is not annotated in their image are not counted: they may be right. `choice` changes
    `recall_by_part` only: it is that of the chosen boxes.
    """
    read = recall_of_read_boxes(images, detected, choice)
    detected = without_unannotated(images, detected)
    curves = precision_recall(images, detected)
    recalls = recall_by_top_d(images, detected, curves.labels)
    reported = recalls[TOP_D.index(REPORTED_D)]
    sizes = _parts_by_size(images)
    return DetectorMetrics(
        images=len(images),
        parts=sum(len(image.labels) for image in images),
        ap=curves.average(),
        ap50=curves.average(iou=0.5),
        ap75=curves.average(iou=0.75),
        recall=reported.recall,
        recall_with_label=reported.recall_with_label,
        recall_limit=reported.limit,
        recall_depth=REPORTED_D,
        ap_by_part=_by_name(curves.average_by_part()),
        ap50_by_part=_by_name(curves.average_by_part(iou=0.5)),
        parts_by_part=_by_name(Counter(int(label) for image in images for label in image.labels)),
        recall_by_part=_by_name(read),
        ap_by_size={size: curves.average(size=size) for size in sizes},
        parts_by_size=sizes,
        recall_by_depth=recalls,
        curves=curves,
    )


def without_unannotated(images: Sequence[AnnotatedImage], detected: PartBoxes) -> PartBoxes:
    """Return `detected` without the boxes whose label is not annotated in their image."""
    kept = np.array(
        [np.isin(labels, [*image.annotated]) for image, labels in zip(images, detected.labels, strict=True)], dtype=bool
    ).reshape(detected.labels.shape)
    if (kept | (detected.labels < 0)).all():
        return detected
    return boxes_in_slots(detected, slots_where(kept))


def recall_by_top_d(
    images: Sequence[AnnotatedImage], detected: PartBoxes, labels: Sequence[int]
) -> tuple[DepthRecall, ...]:
    """Return the recall by the 1 to 16 most confident boxes of each image, among those of the given labels."""
    ranks: list[NDArray[np.int64]] = []
    ranks_with_label: list[NDArray[np.int64]] = []
    for image, boxes, found in zip(images, detected.boxes, detected.labels, strict=True):
        kept = np.isin(found, labels)
        ranks.append(finding_ranks(image, boxes[kept]))
        ranks_with_label.append(finding_ranks(image, boxes[kept], found[kept]))
    any_label, right_label = (np.concatenate([np.zeros(0, np.int64), *each]) for each in (ranks, ranks_with_label))
    counts = np.array([len(image.labels) for image in images], dtype=np.int64)
    total = max(int(counts.sum()), 1)
    rows = []
    for top_d in TOP_D:
        reachable = int(np.minimum(counts, top_d).sum())
        hits, labelled = int((any_label < top_d).sum()), int((right_label < top_d).sum())
        shares = hits / max(reachable, 1), labelled / max(reachable, 1)
        rows.append(DepthRecall(top_d, reachable / total, hits / total, shares[0], labelled / total, shares[1]))
    return tuple(rows)


def recall_of_read_boxes(
    images: Sequence[AnnotatedImage], detected: PartBoxes, choice: BoxChoice = MOST_CONFIDENT
) -> dict[int, float]:
    """Return for each label the share of its true parts that the boxes read by the network find, with any label.

    They are chosen among those that the part cache keeps.
    """
    cached = boxes_in_slots(detected, selected_slots(detected, BoxChoice(max(TOP_D))))
    read = boxes_in_slots(cached, selected_slots(cached, choice))
    found: dict[int, list[bool]] = {}
    for image, boxes, labels in zip(images, read.boxes, read.labels, strict=True):
        ranks = finding_ranks(image, boxes[labels >= 0])
        for label, rank in zip(image.labels.tolist(), ranks.tolist(), strict=True):
            found.setdefault(label, []).append(rank != NOT_FOUND)
    return {label: sum(each) / len(each) for label, each in found.items()}


def finding_ranks(
    image: AnnotatedImage, boxes: NDArray[np.float32], labels: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """Return for each true part of an image the rank of the box (N, 4) that finds it, (M,); see `matched_ranks`.

    With `labels` (N,), a box finds only parts of its own label.
    """
    overlaps = box_iou(image.boxes, boxes)
    if labels is not None:
        overlaps = np.where(image.labels[:, None] == labels, overlaps, np.float32(0))
    return matched_ranks(overlaps, RECALL_IOU)


def matched_ranks(overlaps: NDArray[np.float32], minimum: float) -> NDArray[np.int64]:
    """Return for each of M parts the rank of the box that finds it, (M,), from their IoU with N boxes, (M, N).

    Boxes are sorted by confidence: rank 0 is the most confident; NOT_FOUND means none. Matched pairs overlap by at
    least `minimum`. The matching is the best one for every D: the first D boxes find as many parts as there are ranks
    below D, and no matching finds more. (By COCO's rule a box takes the part that it overlaps most; so the box of a
    light cover may take the lamp behind it, whose own box then finds nothing.)
    """
    ranks = np.full(len(overlaps), NOT_FOUND, dtype=np.int64)
    best_first = np.argsort(-overlaps, axis=0, kind="stable")
    candidates = [
        [part for part in best_first[:, rank].tolist() if overlaps[part, rank] >= minimum]
        for rank in range(overlaps.shape[1])
    ]
    for rank in range(len(candidates)):
        _assign(rank, candidates, ranks, set())
    return ranks


def _assign(rank: int, candidates: list[list[int]], ranks: NDArray[np.int64], tried: set[int]) -> bool:
    """Give a box one of its candidate parts, reassigning other boxes if necessary; return whether it got one.

    This follows an augmenting path: no box that has a part loses it without another, so every D stays optimal.
    """
    for part in candidates[rank]:
        if part in tried:
            continue
        tried.add(part)
        if ranks[part] == NOT_FOUND or _assign(int(ranks[part]), candidates, ranks, tried):
            ranks[part] = rank
            return True
    return False


def box_iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of boxes (M, 4) and (N, 4) xyxy, as (M, N)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = (high - low).clip(min=0).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = area[0][:, None] + area[1][None] - intersection
    return np.asarray(intersection / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)


def _by_name(by_label: Mapping[int, Number]) -> dict[str, Number]:
    return {PART_NAMES[label]: by_label[label] for label in sorted(by_label)}


def _parts_by_size(images: Sequence[AnnotatedImage]) -> dict[str, int]:
    """Return the number of true parts by size, without sizes that never occur; a limit belongs to both its sides."""
    areas = np.concatenate([np.zeros(0), *(relative_areas(image, image.boxes) for image in images)])
    limits = {size: ends for size, ends in SIZES.items() if size != "all"}
    counts = {size: int(((areas >= low) & (areas <= high)).sum()) for size, (low, high) in limits.items()}
    return {size: count for size, count in counts.items() if count}
