"""True parts and a detector's answers for them, by hand or at random."""

import numpy as np
from numpy.typing import NDArray

from detect.annotations.reading import AnnotatedImage
from detect.model.nms import RawParts


def image(name: str, boxes: list[list[float]], labels: list[int], side: int = 100) -> AnnotatedImage:
    """Return a square image with these true parts."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return AnnotatedImage(name, side, side, None, corners, np.array(labels, np.int64))


def answer(boxes: list[list[float]], labels: list[int], scores: list[float]) -> RawParts:
    """Return these found parts."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return RawParts(corners, np.array(scores, np.float32), np.array(labels, np.int64))


def random_case(seed: int, images: int = 6, labels: int = 4) -> tuple[list[AnnotatedImage], list[RawParts]]:
    """Return images with parts of all sizes, and answers: some parts missed, most moved a little, some mislabelled."""
    random = np.random.default_rng(seed)
    truth, found = [], []
    for index in range(images):
        count = int(random.integers(0, 12))
        corner, side = random.uniform(0, 70, (count, 2)), np.exp(random.uniform(np.log(2), np.log(30), (count, 2)))
        boxes, kinds = np.concatenate([corner, corner + side], axis=1), random.integers(0, labels, count)
        truth.append(image(str(index), boxes.tolist(), kinds.tolist()))
        copies = np.repeat(np.arange(count), random.integers(0, 3, count))
        moved = boxes[copies] + random.normal(0, 0.08, (len(copies), 4)) * np.tile(side[copies], 2)
        mistaken = random.random(len(copies)) < 0.2
        kinds = np.where(mistaken, random.integers(0, labels, len(copies)), kinds[copies])
        scores = np.sort(random.random(len(copies)))[::-1]
        kept = (moved[:, 2:] > moved[:, :2]).all(axis=1)
        found.append(answer(moved[kept].tolist(), kinds[kept].tolist(), scores[kept].tolist()))
    return truth, found


def most_pairs(allowed: NDArray[np.bool_]) -> int:
    """Return how many pairs the best pairing of rows with columns has, by trying all: (M, N) tells which may pair."""
    if not allowed.size:
        return 0
    others = allowed[:, 1:]
    taken = [1 + most_pairs(np.delete(others, row, axis=0)) for row in np.flatnonzero(allowed[:, 0])]
    return max([most_pairs(others), *taken])
