import numpy as np
import pytest

from detect.evaluation.metrics import NOT_FOUND, matched_ranks
from helpers.toy.detections import max_matching


@pytest.mark.parametrize("seed", range(30))
def test_the_matching_is_the_largest_for_every_number_of_boxes(seed: int) -> None:
    random = np.random.default_rng(seed)
    overlaps = random.random(random.integers(1, 6, 2)).astype(np.float32)
    ranks = matched_ranks(overlaps, 0.5)
    for top_d in range(1, overlaps.shape[1] + 1):
        assert (ranks < top_d).sum() == max_matching(overlaps[:, :top_d] >= 0.5)


@pytest.mark.parametrize("seed", range(10))
def test_matched_pairs_overlap_enough_and_share_no_box(seed: int) -> None:
    overlaps = np.random.default_rng(seed).random((6, 8)).astype(np.float32)
    ranks = matched_ranks(overlaps, 0.7)
    found = np.flatnonzero(ranks != NOT_FOUND)
    assert len(found) and (overlaps[found, ranks[found]] >= 0.7).all()
    assert len(set(ranks[found].tolist())) == len(found)


def test_a_box_leaves_its_best_part_to_a_box_without_alternative() -> None:
    """The first box overlaps part 0 most, but part 0 is all that the second box covers."""
    assert matched_ranks(np.array([[0.9, 0.6], [0.7, 0.1]], np.float32), 0.5).tolist() == [1, 0]


def test_a_single_box_takes_the_part_that_it_overlaps_most() -> None:
    assert matched_ranks(np.array([[0.6], [0.8], [0.7]], np.float32), 0.5).tolist() == [NOT_FOUND, 0, NOT_FOUND]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_no_parts_or_no_boxes(shape: tuple[int, int]) -> None:
    assert matched_ranks(np.zeros(shape, np.float32), 0.5).tolist() == [NOT_FOUND] * shape[0]
