"""How good a part detector is: COCO average precision, and the recall of true parts by the most confident D boxes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data_cache.parts.names import PART_NAMES
from detect.annotations.reading import AnnotatedImage
from detect.evaluation.precision_recall import SIZES, PrecisionRecall, precision_recall, relative_areas
from detect.model.nms import RawParts

RECALL_DEPTH = 8  # the paper's D
DEPTHS = range(1, 17)  # up to the boxes that a part cache holds
RECALL_IOU = 0.5

Number = TypeVar("Number", int, float)
NOT_FOUND = int(np.iinfo(np.int64).max)  # the rank of no box: deeper than every depth


def matched_ranks(overlaps: NDArray[np.float32], minimum: float) -> NDArray[np.int64]:
    """Return for each of M parts the rank of the box that finds it, (M,), from its IoU with N boxes, (M, N).

    The boxes come by falling confidence: rank 0 is the most confident, NOT_FOUND is none. The two of a pair overlap by
    `minimum` or more. No pairing finds more parts, at any depth: the first D boxes find as many as there are ranks
    below D. (By COCO's rule a box takes the part that it overlaps most; so the box of a light cover may take the lamp
    behind it, whose own box then finds nothing.)
    """
    ranks = np.full(len(overlaps), NOT_FOUND, dtype=np.int64)
    best_first = np.argsort(-overlaps, axis=0, kind="stable")
    wanted = [
        [part for part in best_first[:, rank].tolist() if overlaps[part, rank] >= minimum]
        for rank in range(overlaps.shape[1])
    ]
    for rank in range(len(wanted)):
        _place(rank, wanted, ranks, set())
    return ranks


def _place(rank: int, wanted: list[list[int]], ranks: NDArray[np.int64], tried: set[int]) -> bool:
    """Give a box one of the parts that it wants, moving the box that holds it where need be; tell whether it got one.

    This is an augmenting path: no box that has a part is left without one, which makes every depth the best it can be.
    """
    for part in wanted[rank]:
        if part in tried:
            continue
        tried.add(part)
        if ranks[part] == NOT_FOUND or _place(int(ranks[part]), wanted, ranks, tried):
            ranks[part] = rank
            return True
    return False


@dataclass(frozen=True)
class DepthRecall:
    """Recall of the true parts by the `depth` most confident boxes of every image at IoU 0.5, all in [0, 1].

    Where images show more parts than `depth`, no detector reaches 1: `limit` is the highest recall that so many boxes
    can reach, and the shares of it are the numbers to judge by.
    """

    depth: int
    limit: float
    recall: float  # whatever the label of the box
    share: float  # recall / limit
    recall_with_label: float  # the label being right
    share_with_label: float


@dataclass(frozen=True)
class DetectorMetrics:
    """Scores over some annotated images, all in [0, 1]; a part or a size that never occurs has no entry.

    Only parts that occur in the images count. Boxes of other labels are left out first, so that they take no places in
    the recall: a set in which only some of the parts are annotated does not punish a detector that finds more. Sizes
    are shares of the image's area, see `detect.evaluation.precision_recall.SIZES`.
    """

    images: int
    parts: int
    ap: float  # mean over parts and IoU 0.50:0.95, of the 100 most confident boxes of an image
    ap50: float
    ap75: float
    recall: float  # of true parts by the top `recall_depth` boxes; see DepthRecall, which stands for all depths below
    recall_with_label: float
    recall_limit: float
    recall_depth: int
    ap_by_part: dict[str, float]
    ap50_by_part: dict[str, float]
    parts_by_part: dict[str, int]
    ap_by_size: dict[str, float]
    parts_by_size: dict[str, int]
    recall_by_depth: tuple[DepthRecall, ...]
    curves: PrecisionRecall = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, the curves apart."""
        fields = {name: value for name, value in vars(self).items() if name != "curves"}
        return fields | {"recall_by_depth": [asdict(each) for each in self.recall_by_depth]}


def measure(images: Sequence[AnnotatedImage], found: Sequence[RawParts]) -> DetectorMetrics:
    """Return the metrics of the parts `found` in each of `images`, the most confident first."""
    curves = precision_recall(images, found)
    depths = recall_by_depth(images, [_only(curves.labels, parts) for parts in found])
    chosen = depths[DEPTHS.index(RECALL_DEPTH)]
    sizes = _parts_by_size(images)
    return DetectorMetrics(
        images=len(images),
        parts=sum(len(image.labels) for image in images),
        ap=curves.average(),
        ap50=curves.average(iou=0.5),
        ap75=curves.average(iou=0.75),
        recall=chosen.recall,
        recall_with_label=chosen.recall_with_label,
        recall_limit=chosen.limit,
        recall_depth=RECALL_DEPTH,
        ap_by_part=_named(curves.average_by_part()),
        ap50_by_part=_named(curves.average_by_part(iou=0.5)),
        parts_by_part=_named(Counter(int(label) for image in images for label in image.labels)),
        ap_by_size={size: curves.average(size=size) for size in sizes},
        parts_by_size=sizes,
        recall_by_depth=depths,
        curves=curves,
    )


def recall_by_depth(images: Sequence[AnnotatedImage], found: Sequence[RawParts]) -> tuple[DepthRecall, ...]:
    """Return the recall by the most confident 1 to 16 boxes `found` in each of `images`; 0 where no part is true."""
    counts = np.array([len(image.labels) for image in images], dtype=np.int64)
    pairs = list(zip(images, found, strict=True))
    ranks, ranks_with_label = (
        np.array([rank for pair in pairs for rank in finding_ranks(*pair, with_label=with_label)], dtype=np.int64)
        for with_label in (False, True)
    )
    total = max(int(counts.sum()), 1)
    rows = []
    for depth in DEPTHS:
        reachable = int(np.minimum(counts, depth).sum())
        hits, labelled = int((ranks < depth).sum()), int((ranks_with_label < depth).sum())
        shares = hits / max(reachable, 1), labelled / max(reachable, 1)
        rows.append(DepthRecall(depth, reachable / total, hits / total, shares[0], labelled / total, shares[1]))
    return tuple(rows)


def finding_ranks(image: AnnotatedImage, found: RawParts, *, with_label: bool) -> NDArray[np.int64]:
    """Return for every true part of an image the rank of the box that finds it, (M,); see `matched_ranks`."""
    shared = overlaps(image.boxes, found.boxes)
    if with_label:
        shared = np.where(image.labels[:, None] == found.labels, shared, np.float32(0))
    return matched_ranks(shared, RECALL_IOU)


def overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of boxes (M, 4) and (N, 4) xyxy, as (M, N)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = area[0][:, None] + area[1][None] - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)


def _only(labels: Sequence[int], parts: RawParts) -> RawParts:
    kept = np.isin(parts.labels, labels)
    return RawParts(parts.boxes[kept], parts.scores[kept], parts.labels[kept])


def _named(by_label: Mapping[int, Number]) -> dict[str, Number]:
    return {PART_NAMES[label]: by_label[label] for label in sorted(by_label)}


def _parts_by_size(images: Sequence[AnnotatedImage]) -> dict[str, int]:
    """Return how many true parts each size has, without sizes that never occur; a limit belongs to both sides."""
    shares = np.concatenate([np.zeros(0), *(relative_areas(image, image.boxes) for image in images)])
    limits = {size: ends for size, ends in SIZES.items() if size != "all"}
    counts = {size: int(((shares >= low) & (shares <= high)).sum()) for size, (low, high) in limits.items()}
    return {size: count for size, count in counts.items() if count}
