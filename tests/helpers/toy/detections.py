"""True parts and the detections of a detector, by hand or at random."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_cache.parts.cache import PartBoxes
from data_cache.parts.names import PART_NAMES
from data_cache.parts.packing import FlatBoxes, ImageEntry, pack_boxes
from detect.annotations.images import AnnotatedImage

Detected = tuple[Sequence[Sequence[float]], Sequence[int], Sequence[float]]  # boxes, labels and scores of one image
NOTHING: Detected = ([], [], [])


def annotated_image(name: str, boxes: Sequence[Sequence[float]], labels: Sequence[int]) -> AnnotatedImage:
    """Return an image of 100 x 100 with these true parts."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return AnnotatedImage(name, 100, 100, None, corners, np.array(labels, np.int64))


def detections(images: Sequence[AnnotatedImage], detected: Sequence[Detected]) -> PartBoxes:
    """Return the part cache of `images` with these detections, one triple per image."""
    flat = FlatBoxes(
        image=np.array([index for index, (_, labels, _) in enumerate(detected) for _ in labels], np.int64),
        boxes=np.array([box for boxes, _, _ in detected for box in boxes], np.float32).reshape(-1, 4),
        scores=np.array([score for _, _, scores in detected for score in scores], np.float32),
        labels=np.array([label for _, labels, _ in detected for label in labels], np.int64),
    )
    entries = [ImageEntry(image.name, image.width, image.height) for image in images]
    return pack_boxes(entries, flat, top_k=100, part_names=PART_NAMES, fingerprint={})


def perfect(images: Sequence[AnnotatedImage], score: float = 0.9) -> list[Detected]:
    """Return detections equal to the true parts."""
    return [(image.boxes.tolist(), image.labels.tolist(), [score] * len(image.labels)) for image in images]


def random_case(seed: int, max_parts: int = 11) -> tuple[list[AnnotatedImage], PartBoxes]:
    """Return images with parts of all sizes, and detections: some missing, most shifted a little, some mislabelled."""
    random = np.random.default_rng(seed)
    truth: list[AnnotatedImage] = []
    detected: list[Detected] = []
    for index in range(6):
        count = int(random.integers(0, max_parts + 1))
        corner, side = random.uniform(0, 70, (count, 2)), np.exp(random.uniform(np.log(2), np.log(30), (count, 2)))
        boxes, kinds = np.concatenate([corner, corner + side], axis=1), random.integers(0, 4, count)
        truth.append(annotated_image(str(index), boxes.tolist(), kinds.tolist()))
        copies = np.repeat(np.arange(count), random.integers(0, 3, count))
        shifted = boxes[copies] + random.normal(0, 0.08, (len(copies), 4)) * np.tile(side[copies], 2)
        shifted = shifted.clip(0, 100).astype(np.float32)
        mistaken = random.random(len(copies)) < 0.2
        kinds = np.where(mistaken, random.integers(0, 4, len(copies)), kinds[copies])
        scores = np.sort(random.random(len(copies)))[::-1]
        kept = (shifted[:, 2:] > shifted[:, :2]).all(axis=1)
        detected.append((shifted[kept].tolist(), kinds[kept].tolist(), scores[kept].tolist()))
    return truth, detections(truth, detected)


def max_matching(allowed: NDArray[np.bool_]) -> int:
    """Return the size of the largest matching of rows with columns, (M, N), by trying all."""
    if not allowed.size:
        return 0
    others = allowed[:, 1:]
    matched = [1 + max_matching(np.delete(others, row, axis=0)) for row in np.flatnonzero(allowed[:, 0])]
    return max([max_matching(others), *matched])
