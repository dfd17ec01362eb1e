import numpy as np
import pytest

from data_cache.attributes import PART_NAMES
from detect.annotations import AnnotatedImage
from detect.metrics import measure, overlaps, recall
from detect.postprocess import RawParts


def image(name: str, boxes: list[list[float]], labels: list[int]) -> AnnotatedImage:
    return AnnotatedImage(name, 100, 100, None, np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64))


def answer(boxes: list[list[float]], labels: list[int], scores: list[float]) -> RawParts:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return RawParts(corners, np.array(scores, np.float32), np.array(labels, np.int64))


TRUTH = [image("a", [[0, 0, 40, 40], [50, 50, 90, 90]], [0, 3]), image("b", [[10, 10, 60, 60]], [3])]


def test_the_truth_itself_scores_one() -> None:
    found = [answer(each.boxes.tolist(), each.labels.tolist(), [0.9] * len(each.labels)) for each in TRUTH]
    metrics = measure(TRUTH, found)
    assert metrics.ap == metrics.ap50 == metrics.recall == metrics.recall_with_label == pytest.approx(1)
    assert metrics.ap_by_part == pytest.approx({PART_NAMES[0]: 1, PART_NAMES[3]: 1})
    assert (metrics.images, metrics.parts, metrics.recall_limit) == (2, 3, 1.0)


def test_the_limit_of_recall_counts_the_parts_beyond_the_depth() -> None:
    crowded = image("a", [[x, 0, x + 5, 5] for x in range(0, 60, 5)], [0] * 12)
    assert measure([crowded], [answer([], [], [])]).recall_limit == pytest.approx(8 / 12)


def test_finding_nothing_scores_zero() -> None:
    metrics = measure(TRUTH, [answer([], [], [])] * 2)
    assert metrics.ap == metrics.ap50 == metrics.recall == 0


def test_average_precision_of_a_worked_example() -> None:
    """Part 3: a wrong box ranks before the two right ones: precision 1/2, 2/3 -> interpolated 2/3 everywhere."""
    found = [answer([[0, 60, 30, 90], [50, 50, 90, 90]], [3, 3], [0.9, 0.8]), answer([[10, 10, 60, 60]], [3], [0.7])]
    assert measure(TRUTH, found).ap_by_part[PART_NAMES[3]] == pytest.approx(2 / 3, abs=1e-6)


def test_recall_counts_the_most_confident_only_and_the_label_where_asked() -> None:
    found = [answer([[0, 0, 40, 40], [50, 50, 90, 90]], [5, 3], [0.9, 0.8]), answer([[0, 0, 9, 9]], [3], [0.5])]
    assert recall(TRUTH, found, 8, with_label=False) == pytest.approx(2 / 3)
    assert recall(TRUTH, found, 1, with_label=False) == pytest.approx(1 / 3)
    assert recall(TRUTH, found, 8, with_label=True) == pytest.approx(1 / 3)


def test_overlaps_of_worked_examples() -> None:
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [4, 4, 4, 4]], np.float32)
    assert overlaps(first, second)[0].tolist() == pytest.approx([1, 1 / 3, 0, 0])
