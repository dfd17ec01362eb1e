from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from data_cache.parts.names import PART_NAMES
from data_cache.parts.selection import BoxChoice
from detect.annotations.images import ALL_LABELS, AnnotatedImage
from detect.evaluation.metrics import NOT_FOUND, REPORTED_D, TOP_D, box_iou, finding_ranks, measure, recall_by_top_d
from helpers.toy.detections import NOTHING, annotated_image, detections, max_matching, perfect, random_case

TRUTH = [
    annotated_image("a", [[0, 0, 40, 40], [50, 50, 90, 90]], [0, 3]),
    annotated_image("b", [[10, 10, 60, 60]], [3]),
]
LABELS = range(16)


def naive_hits(
    image: AnnotatedImage, boxes: NDArray[np.float32], labels: NDArray[np.int8], top_d: int, with_label: bool
) -> int:
    """Return the largest number of parts that the first `top_d` boxes find, one per box, by trying all pairings."""
    allowed = box_iou(image.boxes, boxes[:top_d]) >= 0.5
    same = image.labels[:, None] == labels[None, :top_d]
    return max_matching(allowed & (same | (not with_label)))


def test_perfect_detections_score_one() -> None:
    metrics = measure(TRUTH, detections(TRUTH, perfect(TRUTH)))
    assert metrics.ap == metrics.ap50 == metrics.ap75 == pytest.approx(1)
    assert metrics.recall == metrics.recall_with_label == metrics.recall_limit == 1
    assert metrics.ap_by_part == metrics.ap50_by_part == pytest.approx({PART_NAMES[0]: 1, PART_NAMES[3]: 1})
    assert (metrics.images, metrics.parts) == (2, 3)
    assert metrics.parts_by_part == {PART_NAMES[0]: 1, PART_NAMES[3]: 2}


def test_no_detections_score_zero() -> None:
    metrics = measure(TRUTH, detections(TRUTH, [NOTHING] * 2))
    assert metrics.ap == metrics.ap50 == metrics.ap75 == metrics.recall == metrics.recall_with_label == 0
    assert set(metrics.ap_by_part.values()) == {0}


@pytest.mark.parametrize("images", [[], [annotated_image("a", [], [])]])
def test_without_true_parts_everything_is_zero(images: list[AnnotatedImage]) -> None:
    metrics = measure(images, detections(images, [([[0, 0, 9, 9]], [0], [0.9])] * len(images)))
    assert metrics.ap == metrics.recall == metrics.recall_limit == metrics.parts == 0
    assert metrics.ap_by_part == metrics.ap_by_size == {}


def test_detections_that_an_image_does_not_annotate_are_not_counted() -> None:
    partly = replace(annotated_image("c", [[0, 0, 40, 40]], [3]), annotated=frozenset({3}))
    fully = annotated_image("d", [[5, 5, 40, 40], [60, 60, 80, 80]], [3, 0])
    found = ([[50, 50, 90, 90], [0, 0, 40, 40], [50, 0, 90, 20]], [0, 3, 0], [0.9, 0.8, 0.7])
    images = [partly, fully]
    everything = detections(images, [found, *perfect([fully])])
    without = detections(images, [([found[0][1]], [3], [0.8]), *perfect([fully])])
    assert measure(images, everything) == measure(images, without)
    assert measure(images, everything).ap == pytest.approx(1)
    assert measure([replace(partly, annotated=ALL_LABELS), fully], everything).ap < 1


def test_recall_by_part_is_that_of_the_boxes_which_the_network_reads() -> None:
    wheels = [[10 * i, 50, 10 * i + 8, 58] for i in range(9)]
    image = annotated_image("a", [*wheels, [0, 0, 40, 20]], [14] * 9 + [9])
    logo_last = ([*wheels, [0, 0, 40, 22]], [14] * 9 + [1], [0.9 - 0.05 * i for i in range(10)])
    detected = detections([image], [logo_last])
    assert measure([image], detected).recall_by_part == pytest.approx({"logo": 0, "wheel": 8 / 9})
    varied = measure([image], detected, choice=BoxChoice(8, 3))
    assert varied.recall_by_part == pytest.approx({"logo": 1, "wheel": 3 / 9})
    assert replace(varied, recall_by_part={}) == replace(measure([image], detected), recall_by_part={})


@pytest.mark.parametrize("seed", range(5))
def test_recall_by_part_agrees_with_the_best_matching(seed: int) -> None:
    images, detected = random_case(seed)
    by_part = measure(images, detected).recall_by_part
    labels = np.concatenate([image.labels for image in images])
    total = sum(by_part[PART_NAMES[label]] * int((labels == label).sum()) for label in set(labels.tolist()))
    expected = sum(
        naive_hits(image, boxes, found, REPORTED_D, with_label=False)
        for image, boxes, found in zip(images, detected.boxes, detected.labels, strict=True)
    )
    assert total == pytest.approx(expected)


def test_average_precision_of_a_worked_example() -> None:
    """Part 3: a wrong box ranks before the two right ones: precision 1/2, 2/3 -> interpolated 2/3 everywhere."""
    first = ([[0, 60, 30, 90], [50, 50, 90, 90]], [3, 3], [0.9, 0.8])
    metrics = measure(TRUTH, detections(TRUTH, [first, ([[10, 10, 60, 60]], [3], [0.7])]))
    assert metrics.ap_by_part[PART_NAMES[3]] == pytest.approx(2 / 3, abs=1e-9)


def test_sizes_are_shares_of_the_image() -> None:
    """In 100 x 100 pixels, 4 x 4 are small, 8 x 8 medium and 20 x 20 large; only the large one is found."""
    images = [annotated_image("a", [[0, 0, 4, 4], [20, 20, 28, 28], [50, 50, 70, 70]], [0, 0, 0])]
    metrics = measure(images, detections(images, [([[50, 50, 70, 70]], [0], [0.9])]))
    assert metrics.parts_by_size == {"small": 1, "medium": 1, "large": 1}
    assert metrics.ap_by_size == pytest.approx({"small": 0, "medium": 0, "large": 1})
    assert measure(TRUTH, detections(TRUTH, [NOTHING] * 2)).parts_by_size == {"large": 3}


def test_recall_counts_the_most_confident_boxes_with_and_without_label() -> None:
    first = ([[0, 0, 40, 40], [50, 50, 90, 90]], [5, 3], [0.9, 0.8])
    detected = detections(TRUTH, [first, ([[0, 0, 9, 9]], [3], [0.5])])
    one, two, *_, last = recall_by_top_d(TRUTH, detected, LABELS)
    assert (one.depth, one.recall, one.recall_with_label) == (1, pytest.approx(1 / 3), 0)
    assert (two.recall, two.recall_with_label) == pytest.approx((2 / 3, 1 / 3))
    assert (last.depth, last.recall) == (16, two.recall)


def test_recall_is_also_a_share_of_the_limit() -> None:
    """Thirteen parts: eight boxes can find eight of them; here the best eight find six, four with the right label."""
    boxes = [[x, 0, x + 5, 5] for x in range(0, 60, 5)]
    images = [annotated_image("a", [*boxes, [90, 90, 99, 99]], [0] * 12 + [1])]
    detected = ([*boxes[:6], [0, 50, 9, 59], [20, 50, 29, 59]], [0, 0, 0, 0, 1, 1, 0, 0], [0.9] * 8)
    metrics = measure(images, detections(images, [detected]))
    row = metrics.recall_by_depth[TOP_D.index(8)]
    assert (row.limit, row.recall, row.share) == pytest.approx((8 / 13, 6 / 13, 6 / 8))
    assert (row.recall_with_label, row.share_with_label) == pytest.approx((4 / 13, 4 / 8))
    assert (metrics.recall_depth, metrics.recall_limit) == (8, row.limit)
    assert (metrics.recall, metrics.recall_with_label) == (row.recall, row.recall_with_label)


@pytest.mark.parametrize("seed", range(6))
def test_recall_equals_trying_every_pairing(seed: int) -> None:
    images, detected = random_case(seed, max_parts=6)  # more would take too long
    total = sum(len(image.labels) for image in images)
    rows = list(zip(images, detected.boxes, detected.labels, strict=True))
    for row in recall_by_top_d(images, detected, LABELS):
        hits = [sum(naive_hits(*each, row.depth, with_label) for each in rows) for with_label in (False, True)]
        reachable = sum(min(len(image.labels), row.depth) for image in images)
        assert [row.recall, row.recall_with_label] == pytest.approx([count / total for count in hits], abs=1e-9)
        assert [row.share, row.share_with_label] == pytest.approx([count / reachable for count in hits], abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_recall_grows_with_the_number_of_boxes_up_to_the_limit(seed: int) -> None:
    rows = recall_by_top_d(*random_case(seed), LABELS)
    assert [row.depth for row in rows] == list(TOP_D)
    assert all(row.recall_with_label <= row.recall <= row.limit and row.share <= 1 for row in rows)
    assert all(one.recall <= two.recall and one.limit <= two.limit for one, two in pairwise(rows))


def test_boxes_of_parts_that_are_never_annotated_change_only_what_the_network_reads() -> None:
    """Eight confident boxes of another part would take all the slots of recall@8; those of the network they do take."""
    others = [[x, 0, x + 9, 9] for x in range(8)]
    found = perfect(TRUTH, 0.5)
    fuller = [([*others, *boxes], [9] * 8 + [*labels], [0.9] * 8 + [*scores]) for boxes, labels, scores in found]
    metrics = measure(TRUTH, detections(TRUTH, fuller))
    expected = measure(TRUTH, detections(TRUTH, found))
    assert replace(metrics, recall_by_part=expected.recall_by_part) == expected and metrics.recall == 1
    assert set(metrics.recall_by_part.values()) == {0} and set(expected.recall_by_part.values()) == {1}


def test_finding_ranks_of_a_worked_example() -> None:
    boxes = np.array([[0, 0, 9, 9], [50, 50, 90, 90], [0, 0, 40, 40]], np.float32)
    assert finding_ranks(TRUTH[0], boxes).tolist() == [2, 1]
    assert finding_ranks(TRUTH[0], boxes, np.array([0, 3, 5])).tolist() == [NOT_FOUND, 1]


def test_iou_of_worked_examples() -> None:
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [4, 4, 4, 4]], np.float32)
    assert box_iou(first, second)[0].tolist() == pytest.approx([1, 1 / 3, 0, 0])
