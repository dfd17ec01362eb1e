"""How good a part detector is: COCO average precision, and the recall of true parts by the most confident D boxes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.attributes import PART_NAMES
from detect.annotations import AnnotatedImage
from detect.postprocess import RawParts
from detect.quiet import quiet

RECALL_DEPTH = 8  # the paper's D
RECALL_IOU = 0.5


@dataclass(frozen=True)
class DetectorMetrics:
    """Scores over some annotated images, all in [0, 1]; a part that never occurs has no entry in `ap_by_part`."""

    images: int
    parts: int
    ap: float  # mean over parts and IoU 0.50:0.95, at most 100 boxes an image
    ap50: float
    recall: float  # of true parts by the top D boxes at IoU 0.5, whatever their label
    recall_with_label: float  # the same, the label being right
    recall_limit: float  # the highest recall that D boxes an image can reach here, each covering one part
    recall_depth: int
    ap_by_part: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)


def measure(images: Sequence[AnnotatedImage], found: Sequence[RawParts]) -> DetectorMetrics:
    """Return the metrics of the parts `found` in each of `images`."""
    precision = _average_precision(images, found)
    present = {int(label) for image in images for label in image.labels}
    by_part = {PART_NAMES[label]: float(precision[:, label].mean()) for label in sorted(present)}
    labels = sorted(present)
    parts = sum(len(image.labels) for image in images)
    return DetectorMetrics(
        images=len(images),
        parts=parts,
        ap=float(precision[:, labels].mean()) if labels else 0.0,
        ap50=float(precision[0, labels].mean()) if labels else 0.0,
        recall=recall(images, found, RECALL_DEPTH, with_label=False),
        recall_with_label=recall(images, found, RECALL_DEPTH, with_label=True),
        recall_limit=sum(min(len(image.labels), RECALL_DEPTH) for image in images) / max(parts, 1),
        recall_depth=RECALL_DEPTH,
        ap_by_part=by_part,
    )


def recall(images: Sequence[AnnotatedImage], found: Sequence[RawParts], depth: int, *, with_label: bool) -> float:
    """Return the share of true parts that one of the `depth` most confident boxes covers with IoU 0.5 or more."""
    hits = total = 0
    for image, parts in zip(images, found, strict=True):
        covered = overlaps(image.boxes, parts.boxes[:depth]) >= RECALL_IOU
        if with_label:
            covered &= image.labels[:, None] == parts.labels[:depth]
        hits += int(covered.any(axis=1).sum())
        total += len(image.labels)
    return hits / total if total else 0.0


def overlaps(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of boxes (M, 4) and (N, 4) xyxy, as (M, N)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    area = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    union = area[0][:, None] + area[1][None] - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny), dtype=np.float32)


def _average_precision(images: Sequence[AnnotatedImage], found: Sequence[RawParts]) -> NDArray[np.float64]:
    """Return COCO's precision, averaged over recall: (10 IoUs, parts); 0 for a part that never occurs."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with quiet():
        truth, answer = COCO(), COCO()
        truth.dataset = _coco(images, [(image.boxes, image.labels, None) for image in images])
        answer.dataset = _coco(images, [(parts.boxes, parts.labels, parts.scores) for parts in found])
        truth.createIndex()
        answer.createIndex()
        evaluation = COCOeval(truth, answer, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (IoU, recall, part), all areas, 100 boxes
    return np.asarray(np.maximum(precision, 0).mean(axis=1))


def _coco(images: Sequence[AnnotatedImage], boxes: Sequence[tuple[Any, Any, Any]]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for index, (corners, labels, scores) in enumerate(boxes):
        for row, (x0, y0, x1, y1) in enumerate(np.asarray(corners, dtype=np.float64)):
            width, height = float(x1 - x0), float(y1 - y0)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": index,
                "category_id": int(labels[row]),
                "bbox": [float(x0), float(y0), width, height],
                "area": width * height,
                "iscrowd": 0,
            }
            annotations.append(annotation if scores is None else annotation | {"score": float(scores[row])})
    return {
        "images": [{"id": i, "width": image.width, "height": image.height} for i, image in enumerate(images)],
        "annotations": annotations,
        "categories": [{"id": label, "name": name} for label, name in enumerate(PART_NAMES)],
    }
