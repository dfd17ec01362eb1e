import json
from itertools import pairwise

import numpy as np
import pytest

from data_cache.parts.names import PART_NAMES
from detect.annotations.reading import AnnotatedImage
from detect.evaluation.metrics import DEPTHS, NOT_FOUND, finding_ranks, measure, overlaps, recall_by_depth
from detect.model.nms import RawParts
from helpers.toy.answers import answer, image, most_pairs, random_case

TRUTH = [image("a", [[0, 0, 40, 40], [50, 50, 90, 90]], [0, 3]), image("b", [[10, 10, 60, 60]], [3])]
NOTHING = answer([], [], [])


def naive_hits(record: AnnotatedImage, parts: RawParts, depth: int, with_label: bool) -> int:
    """Return the most parts that the first `depth` boxes find, a box a part, by trying all pairings."""
    shared = overlaps(record.boxes, parts.boxes[:depth]) >= 0.5
    same = record.labels[:, None] == parts.labels[None, :depth]
    return most_pairs(shared & (same | (not with_label)))


def test_the_truth_itself_scores_one() -> None:
    found = [answer(each.boxes.tolist(), each.labels.tolist(), [0.9] * len(each.labels)) for each in TRUTH]
    metrics = measure(TRUTH, found)
    assert metrics.ap == metrics.ap50 == metrics.ap75 == pytest.approx(1)
    assert metrics.recall == metrics.recall_with_label == metrics.recall_limit == 1
    assert metrics.ap_by_part == metrics.ap50_by_part == pytest.approx({PART_NAMES[0]: 1, PART_NAMES[3]: 1})
    assert (metrics.images, metrics.parts) == (2, 3)
    assert metrics.parts_by_part == {PART_NAMES[0]: 1, PART_NAMES[3]: 2}


def test_finding_nothing_scores_zero() -> None:
    metrics = measure(TRUTH, [NOTHING] * 2)
    assert metrics.ap == metrics.ap50 == metrics.ap75 == metrics.recall == metrics.recall_with_label == 0
    assert set(metrics.ap_by_part.values()) == {0}


@pytest.mark.parametrize("images", [[], [image("a", [], [])]])
def test_without_a_true_part_all_is_zero(images: list[AnnotatedImage]) -> None:
    metrics = measure(images, [answer([[0, 0, 9, 9]], [0], [0.9])] * len(images))
    assert metrics.ap == metrics.recall == metrics.recall_limit == metrics.parts == 0
    assert metrics.ap_by_part == metrics.ap_by_size == {}


def test_average_precision_of_a_worked_example() -> None:
    """Part 3: a wrong box ranks before the two right ones: precision 1/2, 2/3 -> interpolated 2/3 everywhere."""
    found = [answer([[0, 60, 30, 90], [50, 50, 90, 90]], [3, 3], [0.9, 0.8]), answer([[10, 10, 60, 60]], [3], [0.7])]
    assert measure(TRUTH, found).ap_by_part[PART_NAMES[3]] == pytest.approx(2 / 3, abs=1e-9)


def test_sizes_are_shares_of_the_image() -> None:
    """In 100 x 100 pixels, 4 x 4 are small, 8 x 8 medium and 20 x 20 large; only the large one is found."""
    images = [image("a", [[0, 0, 4, 4], [20, 20, 28, 28], [50, 50, 70, 70]], [0, 0, 0])]
    metrics = measure(images, [answer([[50, 50, 70, 70]], [0], [0.9])])
    assert metrics.parts_by_size == {"small": 1, "medium": 1, "large": 1}
    assert metrics.ap_by_size == pytest.approx({"small": 0, "medium": 0, "large": 1})
    assert measure(TRUTH, [NOTHING] * 2).parts_by_size == {"large": 3}


def test_recall_counts_the_most_confident_only_and_the_label_where_asked() -> None:
    found = [answer([[0, 0, 40, 40], [50, 50, 90, 90]], [5, 3], [0.9, 0.8]), answer([[0, 0, 9, 9]], [3], [0.5])]
    first, second, *_, last = recall_by_depth(TRUTH, found)
    assert (first.depth, first.recall, first.recall_with_label) == (1, pytest.approx(1 / 3), 0)
    assert (second.recall, second.recall_with_label) == pytest.approx((2 / 3, 1 / 3))
    assert (last.depth, last.recall) == (16, second.recall)


def test_recall_is_also_told_as_share_of_what_so_many_boxes_can_reach() -> None:
    """Twelve parts: eight boxes can find eight of them; here the best eight find six, four with the right label."""
    boxes = [[x, 0, x + 5, 5] for x in range(0, 60, 5)]
    found = answer([*boxes[:6], [0, 50, 9, 59], [20, 50, 29, 59]], [0, 0, 0, 0, 1, 1, 0, 0], [0.9] * 8)
    metrics = measure([image("a", [*boxes, [90, 90, 99, 99]], [0] * 12 + [1])], [found])
    row = metrics.recall_by_depth[DEPTHS.index(8)]
    assert (row.limit, row.recall, row.share) == pytest.approx((8 / 13, 6 / 13, 6 / 8))
    assert (row.recall_with_label, row.share_with_label) == pytest.approx((4 / 13, 4 / 8))
    assert (metrics.recall_depth, metrics.recall_limit) == (8, row.limit)
    assert (metrics.recall, metrics.recall_with_label) == (row.recall, row.recall_with_label)


@pytest.mark.parametrize("seed", range(6))
def test_recall_agrees_with_trying_every_pairing(seed: int) -> None:
    images, found = random_case(seed, images=8)
    few = [(record, parts) for record, parts in zip(images, found, strict=True) if len(record.labels) <= 6]
    total = sum(len(record.labels) for record, _ in few)
    assert total
    for row in recall_by_depth(*zip(*few, strict=True)):
        hits = [sum(naive_hits(*pair, row.depth, with_label) for pair in few) for with_label in (False, True)]
        reachable = sum(min(len(record.labels), row.depth) for record, _ in few)
        assert [row.recall, row.recall_with_label] == pytest.approx([count / total for count in hits], abs=1e-9)
        assert [row.share, row.share_with_label] == pytest.approx([count / reachable for count in hits], abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_recall_grows_with_depth_and_stays_below_its_limit(seed: int) -> None:
    rows = recall_by_depth(*random_case(seed))
    assert [row.depth for row in rows] == list(DEPTHS)
    assert all(row.recall_with_label <= row.recall <= row.limit and row.share <= 1 for row in rows)
    assert all(a.recall <= b.recall and a.limit <= b.limit for a, b in pairwise(rows))


def test_boxes_of_parts_that_are_never_annotated_change_nothing() -> None:
    """Eight sure boxes of another part would take all the places of recall@8."""
    found = [answer(each.boxes.tolist(), each.labels.tolist(), [0.5] * len(each.labels)) for each in TRUTH]
    others = [[x, 0, x + 9, 9] for x in range(8)]
    fuller = [
        answer([*others, *parts.boxes.tolist()], [9] * 8 + parts.labels.tolist(), [0.9] * 8 + parts.scores.tolist())
        for parts in found
    ]
    assert measure(TRUTH, fuller) == measure(TRUTH, found)
    assert measure(TRUTH, fuller).recall == 1


def test_finding_ranks_names_the_box_of_every_part() -> None:
    found = answer([[0, 0, 9, 9], [50, 50, 90, 90], [0, 0, 40, 40]], [0, 3, 5], [0.9, 0.8, 0.7])
    assert finding_ranks(TRUTH[0], found, with_label=False).tolist() == [2, 1]
    assert finding_ranks(TRUTH[0], found, with_label=True).tolist() == [NOT_FOUND, 1]


def test_metrics_are_plain_json() -> None:
    metrics = measure(*random_case(0))
    content = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert content["ap"] == metrics.ap and "curves" not in content
    assert content["recall_by_depth"][7]["share"] == metrics.recall_by_depth[7].share
    assert set(content["ap_by_part"]) == set(content["ap50_by_part"]) == set(content["parts_by_part"])


def test_overlaps_of_worked_examples() -> None:
    first = np.array([[0, 0, 10, 10]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [4, 4, 4, 4]], np.float32)
    assert overlaps(first, second)[0].tolist() == pytest.approx([1, 1 / 3, 0, 0])
