"""Average precision against its definition, written as loops."""

import numpy as np
import pytest

from data_cache.parts.cache import PartBoxes
from detect.annotations.images import AnnotatedImage
from detect.evaluation.precision_recall import IOUS, RECALLS, SIZES, precision_recall, relative_areas
from helpers.toy.detections import annotated_image, detections, random_case

Box = list[float]


def naive_iou(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    intersection = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return intersection / (sum(areas) - intersection)


def is_of_size(box: Box, size: str) -> bool:
    low, high = SIZES[size]
    return low <= (box[2] - box[0]) * (box[3] - box[1]) / 100**2 <= high


def judged(truth: list[Box], detected: list[tuple[float, Box]], iou: float, size: str) -> list[tuple[float, bool]]:
    """Return (score, right) of one image's boxes of one part; boxes of other sizes that find no part do not count."""
    free = list(range(len(truth)))
    verdicts = []
    for score, box in sorted(detected, key=lambda each: -each[0]):
        reached = [(is_of_size(truth[part], size), naive_iou(truth[part], box), part) for part in free]
        reached = [each for each in reached if each[1] >= iou]
        if reached:
            counts, _, part = max(reached)
            free.remove(part)
            if counts:
                verdicts.append((score, True))
        elif is_of_size(box, size):
            verdicts.append((score, False))
    return verdicts


def naive_ap(images: list[AnnotatedImage], detected: PartBoxes, label: int, iou: float, size: str) -> float | None:
    """Return the mean over 101 recalls of the highest precision at that recall or beyond; None without a true part."""
    verdicts, total = [], 0
    for row, image in enumerate(images):
        truth = [box for box, kind in zip(image.boxes.tolist(), image.labels, strict=True) if kind == label]
        slots = np.flatnonzero(detected.labels[row] == label)
        found = [(float(detected.scores[row, slot]), detected.boxes[row, slot].tolist()) for slot in slots]
        verdicts += judged(truth, found, iou, size)
        total += sum(is_of_size(box, size) for box in truth)
    if not total:
        return None
    right, points = 0, []
    for rank, (_, correct) in enumerate(sorted(verdicts, key=lambda each: -each[0]), start=1):
        right += correct
        points.append((right / total, right / rank))
    return sum(max((p for r, p in points if r >= recall), default=0.0) for recall in RECALLS) / len(RECALLS)


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_equals_its_definition(seed: int) -> None:
    images, detected = random_case(seed)
    curves = precision_recall(images, detected)
    for size in SIZES:
        by_iou = []
        for iou in IOUS:
            naive = {label: naive_ap(images, detected, label, iou, size) for label in curves.labels}
            expected = {label: value for label, value in naive.items() if value is not None}
            assert curves.average_by_part(iou=iou, size=size) == pytest.approx(expected, abs=1e-9)
            by_iou.append(np.mean(list(expected.values())) if expected else 0.0)
            assert curves.average(iou=iou, size=size) == pytest.approx(by_iou[-1], abs=1e-9)
        assert curves.average(size=size) == pytest.approx(np.mean(by_iou), abs=1e-9)


def test_the_random_cases_are_neither_hopeless_nor_perfect_in_any_size() -> None:
    averages = [precision_recall(*random_case(seed)) for seed in range(8)]
    for size in SIZES:
        assert 0.05 < np.mean([curves.average(size=size) for curves in averages]) < 0.95


def test_a_curve_is_that_of_a_part_or_the_mean() -> None:
    """Part 0 is found at once; for part 3 a wrong box comes first: precision 1/2."""
    images = [annotated_image("a", [[0, 0, 40, 40], [50, 50, 90, 90]], [0, 3])]
    detected = ([[0, 0, 40, 40], [0, 60, 30, 90], [50, 50, 90, 90]], [0, 3, 3], [0.9, 0.8, 0.7])
    curves = precision_recall(images, detections(images, [detected]))
    assert curves.curve(0.5, 0) == pytest.approx(np.ones(101))
    assert curves.curve(0.75, 3) == pytest.approx(np.full(101, 0.5))
    assert curves.curve(0.5) == pytest.approx(np.full(101, 0.75))


def test_ious_and_recalls_are_those_of_coco() -> None:
    from pycocotools.cocoeval import Params

    params = Params()
    assert (list(IOUS), list(RECALLS)) == (params.iouThrs.tolist(), params.recThrs.tolist())


def test_without_true_parts_there_is_no_curve() -> None:
    images = [annotated_image("a", [], [])]
    curves = precision_recall(images, detections(images, [([[0, 0, 9, 9]], [0], [0.9])]))
    assert curves.labels == () and curves.average() == 0.0 and curves.average_by_part(iou=0.5) == {}
    assert np.isnan(curves.curve(0.5)).all()


def test_areas_are_shares_of_the_image() -> None:
    image = AnnotatedImage("a", 200, 50, None, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    assert relative_areas(image, np.array([[0, 0, 20, 5], [10, 10, 110, 60]], np.float32)).tolist() == [0.01, 0.5]
