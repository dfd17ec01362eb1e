"""The batched post-processing: equal to the naive one, image by image, whatever comes in."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from detect.model.nms import PartBatch, RawParts, by_confidence, finish, overlap, sanitise, suppress_doubles
from helpers.naive.parts import assert_same, naive_parts
from helpers.toy.annotations import TINY

STRANGE = (np.nan, np.inf, -np.inf, 1e30, -1e30, -5.0, -0.0, 0.0, 3.0, 500.0)
BAD_SCORES = (np.nan, np.inf, -np.inf, -0.1, 0.0, 0.02, 1.0, 1.5)


def batch(boxes: Sequence[object], scores: Sequence[object], labels: Sequence[object] | None = None) -> PartBatch:
    """Return a batch of one image."""
    chosen = labels if labels is not None else [0] * len(scores)
    return PartBatch(
        torch.tensor(boxes, dtype=torch.float32).reshape(1, -1, 4),
        torch.tensor(scores, dtype=torch.float32)[None],
        torch.tensor(chosen, dtype=torch.int64)[None],
    )


def drawn(seed: int, images: int, count: int, grid: float | None, strange: bool) -> tuple[PartBatch, torch.Tensor]:
    """Draw boxes on a grid of that step (many ties and equal overlaps), or anywhere; with broken numbers or not."""
    random = np.random.default_rng(seed)
    low = random.uniform(-20, 90, (images, count, 2))
    boxes = np.concatenate([low, low + random.uniform(0, 60, (images, count, 2))], axis=2)
    scores = random.uniform(0, 1, (images, count))
    if grid:
        boxes, scores = np.round(boxes / grid) * grid, np.round(scores * 8) / 8
    if strange:
        boxes = np.where(random.random(boxes.shape) < 0.05, random.choice(STRANGE, boxes.shape), boxes)
        scores = np.where(random.random(scores.shape) < 0.1, random.choice(BAD_SCORES, scores.shape), scores)
    tensors = (torch.tensor(array, dtype=torch.float32) for array in (boxes, scores))
    labels = torch.tensor(random.integers(0, 4, (images, count)))
    return PartBatch(*tensors, labels), torch.tensor(random.integers(1, 120, (images, 2)))


@pytest.mark.parametrize("strange", [False, True])
@pytest.mark.parametrize("grid", [None, 1.0, 20.0])
@pytest.mark.parametrize(("images", "count"), [(1, 1), (3, 7), (4, 60), (1, 400)])
@pytest.mark.parametrize("iou", [0.45, 0.5])
def test_a_batch_gives_what_the_definition_gives_image_by_image(
    images: int, count: int, grid: float | None, strange: bool, iou: float
) -> None:
    recipe = TINY.model_copy(update={"nms_iou": iou})
    for seed in range(2):
        found, sizes = drawn(seed, images, count, grid, strange)
        parts = finish(found, sizes, recipe)
        assert parts.boxes.shape == (images, recipe.top_k, 4) and parts.labels.shape == (images, recipe.top_k)
        for row, own in enumerate(parts.split()):
            arrays = (tensor[row].numpy() for tensor in (found.boxes, found.scores, found.labels))
            width, height = sizes[row].tolist()
            assert_same(own, naive_parts(*arrays, (width, height), recipe))


@pytest.mark.parametrize("seed", range(10))
def test_whatever_comes_in_what_goes_out_is_sound(seed: int) -> None:
    random = np.random.default_rng(seed)
    boxes = torch.tensor(random.choice([*STRANGE, *random.uniform(0, 100, 20)], (2, 60, 4)), dtype=torch.float32)
    scores = torch.tensor(random.choice([*BAD_SCORES, *random.uniform(0, 1, 20)], (2, 60)), dtype=torch.float32)
    found = PartBatch(boxes, scores, torch.tensor(random.integers(0, 16, (2, 60))))
    parts = finish(found, torch.tensor([[100, 80], [0, 0]]), TINY)
    assert (parts.labels[1] == -1).all()  # an image that could not be read has no size
    empty = parts.labels < 0
    assert (parts.boxes[empty] == 0).all() and (parts.scores[empty] == 0).all()
    assert not (empty[:, :-1] & ~empty[:, 1:]).any()
    (own, _) = parts.split()
    assert np.isfinite(own.boxes).all() and (own.boxes >= 0).all() and (own.boxes <= [100, 80, 100, 80]).all()
    assert (own.boxes[:, 2:] - own.boxes[:, :2] >= TINY.minimum_side).all()
    assert ((own.scores > TINY.score_threshold) & (own.scores <= 1)).all() and (np.diff(own.scores) <= 0).all()


def test_a_box_is_clipped_and_a_rest_too_small_is_dropped() -> None:
    found = batch([[-5, -5, 50, 50], [99.5, 0, 200, 50], [10, 10, 10.5, 60]], [0.5, 0.6, 0.7])
    (parts,) = sanitise(found, torch.tensor([[100, 80]]), TINY).split()
    assert parts.boxes.tolist() == [[0, 0, 50, 50]]


def test_equal_scores_are_ordered_by_place_whatever_their_order_was() -> None:
    boxes = [[5, 5, 9, 9], [1, 5, 9, 9], [1, 2, 9, 9], [1, 2, 8, 9], [1, 2, 8, 9]]
    labels = [0, 0, 0, 4, 3]
    wanted = [[1, 2, 8, 9], [1, 2, 8, 9], [1, 2, 9, 9], [1, 5, 9, 9], [5, 5, 9, 9]]
    for seed in range(5):
        order = torch.tensor(np.random.default_rng(seed).permutation(5))[None]
        parts = by_confidence(batch(boxes, [0.5] * 5, labels).take(order))
        assert parts.boxes[0].tolist() == wanted and parts.labels[0, :2].tolist() == [3, 4]


def test_confidence_comes_before_place() -> None:
    ordered = by_confidence(batch([[0, 0, 9, 9], [5, 5, 9, 9]], [0.4, 0.6]))
    assert ordered.scores[0].tolist() == pytest.approx([0.6, 0.4])


def test_what_a_suppressed_box_overlaps_stays() -> None:
    # each overlaps its neighbours by 7/13 and the next but one by 4/16: the second goes, so the third is the second's
    chain = batch([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10], [9, 0, 19, 10]], [0.9, 0.8, 0.7, 0.6])
    (parts,) = finish(chain, torch.tensor([[100, 100]]), TINY).split()
    assert parts.boxes[:, 0].tolist() == [0, 6]


def test_an_overlap_of_just_the_limit_is_none() -> None:
    recipe = TINY.model_copy(update={"nms_iou": 0.5})
    (parts,) = finish(batch([[0, 0, 8, 4], [0, 0, 4, 4]], [0.9, 0.8]), torch.tensor([[100, 80]]), recipe).split()
    assert len(parts) == 2


def test_parts_of_different_labels_do_not_suppress_each_other_and_doubles_do() -> None:
    same = [[0, 0, 9, 9]] * 4
    (parts,) = finish(batch(same, [0.9] * 4, [1, 2, 2, 1]), torch.tensor([[10, 10]]), TINY).split()
    assert parts.labels.tolist() == [1, 2]


def test_of_many_sound_boxes_the_most_confident_fill_the_places() -> None:
    apart = [[10 * place, 0, 10 * place + 5, 5] for place in range(40)]
    scores = np.linspace(0.1, 0.9, 40)
    (parts,) = finish(batch(apart, scores.tolist()), torch.tensor([[500, 10]]), TINY).split()
    assert parts.boxes[:, 0].tolist() == [10 * place for place in range(39, 39 - TINY.top_k, -1)]


@pytest.mark.parametrize(("images", "count"), [(0, 5), (2, 0), (0, 0)])
def test_nothing_in_nothing_out(images: int, count: int) -> None:
    found = PartBatch(
        torch.zeros(images, count, 4), torch.zeros(images, count), torch.zeros(images, count, dtype=torch.int64)
    )
    parts = finish(found, torch.full((images, 2), 9), TINY)
    assert parts.labels.shape == (images, TINY.top_k) and (parts.labels == -1).all()
    assert [len(own) for own in parts.split()] == [0] * images


def test_places_that_stay_empty_are_empty() -> None:
    ranked = sanitise(batch([[0, 0, 9, 9], [1, 0, 9, 9]], [0.9, 0.8]), torch.tensor([[10, 10]]), TINY)
    parts = suppress_doubles(ranked, 0.45, 3)
    assert parts.labels.tolist() == [[0, -1, -1]] and parts.scores[0, 1:].tolist() == [0, 0]


def test_overlap_of_two_boxes_worked_out() -> None:
    first = torch.tensor([[0.0, 0, 4, 4]])
    second = torch.tensor([[2.0, 0, 6, 4], [4, 0, 8, 4], [0, 0, 4, 4], [9, 9, 10, 10]])
    assert overlap(first, second).tolist() == pytest.approx([8 / 24, 0, 1, 0])


def test_arrays_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="2 scores need boxes"):
        RawParts(np.zeros((1, 4), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int64))
