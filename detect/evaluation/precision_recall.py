"""Precision over recall of every part, by COCO's rules: the curves of which average precision (AP) is the mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.annotations.reading import AnnotatedImage
from detect.model.nms import RawParts
from detect.model.ssd import quiet

IOUS, RECALLS = tuple(np.linspace(0.5, 0.95, 10).tolist()), tuple(np.linspace(0, 1, 101).tolist())  # COCO's to the bit
SMALL, LARGE = 0.0025, 0.01
# Shares of the image's area: a twentieth and a tenth of its sides. COCO's own limits, 32 x 32 and 96 x 96 pixels, would
# call nearly every part of a picture of 200 pixels small.
SIZES = {"all": (0.0, inf), "small": (0.0, SMALL), "medium": (SMALL, LARGE), "large": (LARGE, inf)}
BOXES = 100  # in an image, COCO's limit

Boxes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Curves of P parts: `labels` (P,), `precision` (10 IoUs, 101 recalls, P parts, 4 sizes) float64 in [0, 1].

    The axes are IOUS, RECALLS, the labels and SIZES. Precision is the highest at that recall or beyond, 0 at a recall
    that is not reached, and NaN where there is no true part of that label and size.
    """

    labels: tuple[int, ...]
    precision: NDArray[np.float64]

    def __post_init__(self) -> None:
        expected = (len(IOUS), len(RECALLS), len(self.labels), len(SIZES))
        if self.precision.shape != expected:
            raise ValueError(f"precision has shape {self.precision.shape}, expected {expected}")

    def average(self, *, iou: float | None = None, size: str = "all") -> float:
        """Return AP, the mean over parts, recalls and IoUs, or at one of IOUS; 0 where there is no true part."""
        by_part = self.average_by_part(iou=iou, size=size)
        return float(np.mean(list(by_part.values()))) if by_part else 0.0

    def average_by_part(self, *, iou: float | None = None, size: str = "all") -> dict[int, float]:
        """Return the AP of every label that has a true part of that size."""
        rows = slice(None) if iou is None else [IOUS.index(iou)]
        means = self.precision[rows, :, :, list(SIZES).index(size)].mean(axis=(0, 1))
        return {label: float(mean) for label, mean in zip(self.labels, means, strict=True) if np.isfinite(mean)}

    def curve(self, iou: float, label: int | None = None) -> NDArray[np.float64]:
        """Return the precision (101,) at one of IOUS, of a part or as mean over the parts; NaN where there is none."""
        curves = self.precision[IOUS.index(iou), :, :, 0]
        if not self.labels:
            return np.full(len(RECALLS), np.nan)
        return np.asarray(curves.mean(axis=1) if label is None else curves[:, self.labels.index(label)])


def precision_recall(images: Sequence[AnnotatedImage], found: Sequence[RawParts]) -> PrecisionRecall:
    """Return the curves of the parts that occur in `images`, for the parts `found` in each of them."""
    labels = tuple(sorted({int(label) for image in images for label in image.labels}))
    if not labels:
        return PrecisionRecall(labels, np.zeros((len(IOUS), len(RECALLS), 0, len(SIZES))))
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with quiet():
        truth, answer = COCO(), COCO()
        truth.dataset = _coco(images, [(image.boxes, image.labels, None) for image in images], labels)
        answer.dataset = _coco(images, [(parts.boxes, parts.labels, parts.scores) for parts in found], labels)
        truth.createIndex()
        answer.createIndex()
        evaluation = COCOeval(truth, answer, "bbox")
        settings = {"areaRng": list(SIZES.values()), "areaRngLbl": list(SIZES), "maxDets": [BOXES]}
        vars(evaluation.params).update(settings)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0]
    return PrecisionRecall(labels, np.where(precision < 0, np.nan, precision))


def relative_areas(image: AnnotatedImage, boxes: Boxes) -> NDArray[np.float64]:
    """Return the areas of boxes (M, 4) xyxy as shares of the image's, (M,): what SIZES divides."""
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    return np.asarray(sides.prod(axis=1) / (image.width * image.height))


def _coco(
    images: Sequence[AnnotatedImage],
    marked: Sequence[tuple[Boxes, NDArray[np.int64], NDArray[np.float32] | None]],
    labels: Sequence[int],
) -> dict[str, Any]:
    """Return COCO's document of boxes in images; an `area` is a share of the image's area."""
    annotations: list[dict[str, Any]] = []
    for index, (image, (boxes, classes, scores)) in enumerate(zip(images, marked, strict=True)):
        areas = relative_areas(image, boxes)
        for row, (x0, y0, x1, y1) in enumerate(boxes.astype(np.float64).tolist()):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": index,
                "category_id": int(classes[row]),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": float(areas[row]),
                "iscrowd": 0,
            }
            annotations.append(annotation if scores is None else annotation | {"score": float(scores[row])})
    return {
        "images": [{"id": index} for index in range(len(images))],
        "annotations": annotations,
        "categories": [{"id": label} for label in labels],
    }
