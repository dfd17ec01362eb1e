import numpy as np
import pytest
from detect_toy import TINY

from detect.metrics import overlaps
from detect.postprocess import RawParts, by_confidence, finish, sanitise, suppress_doubles

STRANGE = (np.nan, np.inf, -np.inf, 1e30, -1e30, -5.0, 0.0, 3.0, 500.0)


def make(boxes: list[list[float]], scores: list[float], labels: list[int] | None = None) -> RawParts:
    chosen = labels if labels is not None else [0] * len(scores)
    return RawParts(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(chosen, np.int64)
    )


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_in_what_goes_out_is_sound(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = random.choice([*STRANGE, *random.uniform(0, 100, 20)], (60, 4)).astype(np.float32)
    scores = random.choice([np.nan, np.inf, -0.1, 1.5, 0.0, 1.0, *random.uniform(0, 1, 20)], 60).astype(np.float32)
    parts = finish(RawParts(boxes, scores, random.integers(0, 16, 60)), 100, 80, TINY)
    assert len(parts) <= TINY.top_k and np.isfinite(parts.boxes).all()
    assert (parts.boxes >= 0).all() and (parts.boxes <= [100, 80, 100, 80]).all()
    assert (parts.boxes[:, 2:] - parts.boxes[:, :2] >= TINY.minimum_side).all()
    assert ((parts.scores > TINY.score_threshold) & (parts.scores <= 1)).all() and (np.diff(parts.scores) <= 0).all()


def test_a_box_is_clipped_and_a_rest_too_small_is_dropped() -> None:
    parts = sanitise(make([[-5, -5, 50, 50], [99.5, 0, 200, 50], [10, 10, 10.5, 60]], [0.5, 0.6, 0.7]), 100, 80, 1.0)
    assert parts.boxes.tolist() == [[0, 0, 50, 50]]


def test_equal_scores_are_ordered_by_place_whatever_their_order_was() -> None:
    boxes = [[5, 5, 9, 9], [1, 5, 9, 9], [1, 2, 9, 9], [1, 2, 8, 9], [1, 2, 8, 9]]
    labels = [0, 0, 0, 4, 3]
    wanted = [[1, 2, 8, 9], [1, 2, 8, 9], [1, 2, 9, 9], [1, 5, 9, 9], [5, 5, 9, 9]]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5)
        parts = by_confidence(make(boxes, [0.5] * 5, labels).take(order))
        assert parts.boxes.tolist() == wanted and parts.labels.tolist()[:2] == [3, 4]


def test_confidence_comes_before_place() -> None:
    assert by_confidence(make([[0, 0, 9, 9], [5, 5, 9, 9]], [0.4, 0.6])).scores.tolist() == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize("seed", range(5))
def test_no_two_kept_parts_of_a_label_overlap_and_every_dropped_one_had_a_reason(seed: int) -> None:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 40, (80, 2))], axis=1).astype(np.float32)
    labels = random.integers(0, 3, 80)
    parts = by_confidence(RawParts(boxes, random.uniform(0, 1, 80).astype(np.float32), labels))
    kept = suppress_doubles(parts, 0.45)
    same = (kept.labels[:, None] == kept.labels) & ~np.eye(len(kept), dtype=bool)
    assert (overlaps(kept.boxes, kept.boxes)[same] <= 0.45 + 1e-4).all()
    for box, score, label in zip(parts.boxes, parts.scores, parts.labels, strict=True):
        better = (kept.labels == label) & (kept.scores >= score)
        assert (overlaps(box[None], kept.boxes[better]) > 0.45 - 1e-4).any()


def test_parts_of_different_labels_do_not_suppress_each_other() -> None:
    assert len(suppress_doubles(make([[0, 0, 9, 9], [0, 0, 9, 9]], [0.9, 0.8], [1, 2]), 0.45)) == 2


def test_nothing_in_nothing_out() -> None:
    assert len(finish(make([], []), 10, 10, TINY)) == 0


def test_arrays_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores need boxes"):
        make([[0, 0, 1, 1]], [0.5, 0.6])
