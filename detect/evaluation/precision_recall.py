"""Precision over recall of every part by COCO's rules; average precision (AP) is the mean of such a curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.parts.cache import PartBoxes
from detect.annotations.images import AnnotatedImage
from detect.model.ssd import quiet

IOUS, RECALLS = tuple(np.linspace(0.5, 0.95, 10).tolist()), tuple(np.linspace(0, 1, 101).tolist())  # COCO's to the bit
MAX_DETECTIONS = 100  # per image, COCO's limit
SMALL, LARGE = 0.0025, 0.01
# Shares of the image's area: squares of a twentieth and a tenth of its side. COCO's own limits, 32 x 32 and 96 x 96
# pixels, would make nearly every part in an image of 200 pixels small.
SIZES = {"all": (0.0, inf), "small": (0.0, SMALL), "medium": (SMALL, LARGE), "large": (LARGE, inf)}


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Curves of P parts: `labels` (P,), `precision` (10 IoUs, 101 recalls, P parts, 4 sizes) float64 in [0, 1].

    The axes are IOUS, RECALLS, the labels and SIZES. Precision is the highest at that recall or a higher one; 0 at a
    recall that is not reached; NaN if there is no true part of that label and size.
    """

    labels: tuple[int, ...]
    precision: NDArray[np.float64]

    def average(self, *, iou: float | None = None, size: str = "all") -> float:
        """Return AP, the mean over parts, recalls and IoUs, or at one of IOUS; 0 if there is no true part."""
        by_part = self.average_by_part(iou=iou, size=size)
        return float(np.mean(list(by_part.values()))) if by_part else 0.0

    def average_by_part(self, *, iou: float | None = None, size: str = "all") -> dict[int, float]:
        """Return the AP of every label that has a true part of that size."""
        rows = slice(None) if iou is None else [IOUS.index(iou)]
        means = self.precision[rows, :, :, list(SIZES).index(size)].mean(axis=(0, 1))
        return {label: float(mean) for label, mean in zip(self.labels, means, strict=True) if np.isfinite(mean)}

    def curve(self, iou: float, label: int | None = None) -> NDArray[np.float64]:
        """Return the precision (101,) at one of IOUS, of one part or the mean over parts; NaN if there is no part."""
        curves = self.precision[IOUS.index(iou), :, :, 0]
        if not self.labels:
            return np.full(len(RECALLS), np.nan)
        return np.asarray(curves.mean(axis=1) if label is None else curves[:, self.labels.index(label)])


def precision_recall(images: Sequence[AnnotatedImage], detected: PartBoxes) -> PrecisionRecall:
    """Return the curves of the parts that occur in `images`, given the parts `detected`, one row per image."""
    labels = tuple(sorted({int(label) for image in images for label in image.labels}))
    if not labels:
        return PrecisionRecall(labels, np.zeros((len(IOUS), len(RECALLS), 0, len(SIZES))))
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with quiet():
        truth, results = COCO(), COCO()
        truth.dataset = _coco(images, [image.boxes for image in images], [image.labels for image in images], labels)
        results.dataset = _coco(images, detected.boxes, detected.labels, labels, detected.scores)
        truth.createIndex()
        results.createIndex()
        evaluation = COCOeval(truth, results, "bbox")
        settings = {"areaRng": list(SIZES.values()), "areaRngLbl": list(SIZES), "maxDets": [MAX_DETECTIONS]}
        vars(evaluation.params).update(settings)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0]
    return PrecisionRecall(labels, np.where(precision < 0, np.nan, precision))


def relative_areas(image: AnnotatedImage, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the areas of boxes (M, 4) xyxy as shares of the image's area, (M,)."""
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    return np.asarray(sides.prod(axis=1) / (image.width * image.height))


def _coco(
    images: Sequence[AnnotatedImage],
    boxes: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    labels: Sequence[NDArray[Any]] | NDArray[Any],
    categories: Sequence[int],
    scores: NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """Return a COCO document of the boxes of those categories; `area` is the share of the image's area."""
    annotations: list[dict[str, Any]] = []
    for row, image in enumerate(images):
        areas = relative_areas(image, boxes[row])
        for slot in np.flatnonzero(np.isin(labels[row], categories)).tolist():
            x0, y0, x1, y1 = boxes[row][slot].astype(np.float64).tolist()
            annotation = {
                "id": len(annotations) + 1,
                "image_id": row,
                "category_id": int(labels[row][slot]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": float(areas[slot]),
                "iscrowd": 0,
            }
            annotations.append(annotation if scores is None else annotation | {"score": float(scores[row, slot])})
    return {
        "images": [{"id": row} for row in range(len(images))],
        "annotations": annotations,
        "categories": [{"id": label} for label in categories],
    }
