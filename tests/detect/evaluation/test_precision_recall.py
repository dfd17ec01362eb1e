"""Average precision against its definition, written out in loops."""

import numpy as np
import pytest

from detect.annotations.reading import AnnotatedImage
from detect.evaluation.precision_recall import IOUS, RECALLS, SIZES, PrecisionRecall, precision_recall, relative_areas
from detect.model.nms import RawParts
from helpers.toy.answers import answer, image, random_case

Box = list[float]


def overlap(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


def is_of_size(box: Box, size: str) -> bool:
    low, high = SIZES[size]
    return low <= (box[2] - box[0]) * (box[3] - box[1]) / 100**2 <= high


def judged(truth: list[Box], found: list[tuple[float, Box]], iou: float, size: str) -> list[tuple[float, bool]]:
    """Return (score, right) of one image's boxes of one part; what lies in no true part of the size may not count."""
    free = list(range(len(truth)))
    verdicts = []
    for score, box in sorted(found, key=lambda each: -each[0]):
        reached = [(is_of_size(truth[part], size), overlap(truth[part], box), part) for part in free]
        reached = [each for each in reached if each[1] >= iou]
        if reached:
            counts, _, part = max(reached)
            free.remove(part)
            if counts:
                verdicts.append((score, True))
        elif is_of_size(box, size):
            verdicts.append((score, False))
    return verdicts


def naive_ap(images: list[AnnotatedImage], found: list[RawParts], label: int, iou: float, size: str) -> float | None:
    """Return the mean over 101 recalls of the highest precision at that recall or beyond; None without a true part."""
    verdicts, total = [], 0
    for record, parts in zip(images, found, strict=True):
        truth = [box for box, kind in zip(record.boxes.tolist(), record.labels, strict=True) if kind == label]
        rows = zip(parts.scores.tolist(), parts.boxes.tolist(), parts.labels, strict=True)
        verdicts += judged(truth, [(score, box) for score, box, kind in rows if kind == label], iou, size)
        total += sum(is_of_size(box, size) for box in truth)
    if not total:
        return None
    right, points = 0, []
    for place, (_, correct) in enumerate(sorted(verdicts, key=lambda each: -each[0]), start=1):
        right += correct
        points.append((right / total, right / place))
    return sum(max((p for r, p in points if r >= recall), default=0.0) for recall in RECALLS) / len(RECALLS)


@pytest.mark.parametrize("seed", range(8))
def test_it_agrees_with_the_definition(seed: int) -> None:
    images, found = random_case(seed)
    curves = precision_recall(images, found)
    for size in SIZES:
        by_iou = []
        for iou in IOUS:
            naive = {label: naive_ap(images, found, label, iou, size) for label in curves.labels}
            expected = {label: value for label, value in naive.items() if value is not None}
            assert curves.average_by_part(iou=iou, size=size) == pytest.approx(expected, abs=1e-9)
            by_iou.append(np.mean(list(expected.values())) if expected else 0.0)
            assert curves.average(iou=iou, size=size) == pytest.approx(by_iou[-1], abs=1e-9)
        assert curves.average(size=size) == pytest.approx(np.mean(by_iou), abs=1e-9)


def test_the_random_cases_try_every_size_and_are_neither_hopeless_nor_perfect() -> None:
    averages = [precision_recall(*random_case(seed)) for seed in range(8)]
    for size in SIZES:
        assert 0.05 < np.mean([curves.average(size=size) for curves in averages]) < 0.95


def test_a_curve_is_that_of_a_part_or_their_mean() -> None:
    """Part 0 is found at once; for part 3 a wrong box comes first: precision 1/2."""
    images = [image("a", [[0, 0, 40, 40], [50, 50, 90, 90]], [0, 3])]
    found = [answer([[0, 0, 40, 40], [0, 60, 30, 90], [50, 50, 90, 90]], [0, 3, 3], [0.9, 0.8, 0.7])]
    curves = precision_recall(images, found)
    assert curves.curve(0.5, 0) == pytest.approx(np.ones(101))
    assert curves.curve(0.75, 3) == pytest.approx(np.full(101, 0.5))
    assert curves.curve(0.5) == pytest.approx(np.full(101, 0.75))


def test_the_points_are_those_of_coco() -> None:
    from pycocotools.cocoeval import Params

    params = Params()
    assert (list(IOUS), list(RECALLS)) == (params.iouThrs.tolist(), params.recThrs.tolist())


def test_a_box_larger_than_the_image_counts_against_it() -> None:
    found = [answer([[0, 0, 300, 300], [10, 10, 40, 40]], [0, 0], [0.9, 0.8])]
    assert precision_recall([image("a", [[10, 10, 40, 40]], [0])], found).average() == pytest.approx(0.5)


def test_without_a_true_part_there_is_no_curve() -> None:
    curves = precision_recall([image("a", [], [])], [answer([[0, 0, 9, 9]], [0], [0.9])])
    assert curves.labels == () and curves.average() == 0.0 and curves.average_by_part(iou=0.5) == {}
    assert np.isnan(curves.curve(0.5)).all()


def test_areas_are_shares_of_the_image() -> None:
    record = AnnotatedImage("a", 200, 50, None, np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    assert relative_areas(record, np.array([[0, 0, 20, 5], [10, 10, 110, 60]], np.float32)).tolist() == [0.01, 0.5]


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(10, 101, 1, 2\), expected \(10, 101, 1, 4\)"):
        PrecisionRecall((3,), np.zeros((10, 101, 1, 2)))
