"""The batched post-processing equals the naive one, image by image, for any input."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data_cache.parts.cache import STATUS_EMPTY, STATUS_FOUND, PartBoxes
from data_cache.parts.names import PART_NAMES
from detect.model.nms import PartBatch, drop_invalid, iou, postprocess, sort_by_score
from helpers.naive.parts import assert_same, naive_parts, unpack
from helpers.toy.annotations import TINY

ODD_NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e30, -5.0, -0.0, 0.0, 3.0, 500.0)
ODD_SCORES = (np.nan, np.inf, -np.inf, -0.1, 0.0, 0.02, 1.0, 1.5)
SIDES = st.integers(1, 500)
# any numbers, and many on a coarse grid, so that boxes touch, coincide and have no area
NUMBERS = st.one_of(st.floats(width=32), st.integers(-4, 12).map(lambda number: 10.0 * number))
SCORES = st.one_of(st.floats(width=32), st.integers(-1, 9).map(lambda number: number / 8))
CANDIDATES = st.lists(st.tuples(*[NUMBERS] * 4, SCORES, st.integers(0, 3)), max_size=12)


def one_image(boxes: Sequence[object], scores: Sequence[object], labels: Sequence[object] | None = None) -> PartBatch:
    """Return a batch of one image."""
    chosen = labels if labels is not None else [0] * len(scores)
    return PartBatch(
        torch.tensor(boxes, dtype=torch.float32).reshape(1, -1, 4),
        torch.tensor(scores, dtype=torch.float32)[None],
        torch.tensor(chosen, dtype=torch.int64)[None],
    )


def random_batch(seed: int, images: int, count: int, grid: float | None, odd: bool) -> tuple[PartBatch, torch.Tensor]:
    """Return boxes on a grid of that step (many ties and equal overlaps) or anywhere, and image sizes."""
    random = np.random.default_rng(seed)
    low = random.uniform(-20, 90, (images, count, 2))
    boxes = np.concatenate([low, low + random.uniform(0, 60, (images, count, 2))], axis=2)
    scores = random.uniform(0, 1, (images, count))
    if grid:
        boxes, scores = np.round(boxes / grid) * grid, np.round(scores * 8) / 8
    if odd:
        boxes = np.where(random.random(boxes.shape) < 0.05, random.choice(ODD_NUMBERS, boxes.shape), boxes)
        scores = np.where(random.random(scores.shape) < 0.1, random.choice(ODD_SCORES, scores.shape), scores)
    tensors = (torch.tensor(array, dtype=torch.float32) for array in (boxes, scores))
    labels = torch.tensor(random.integers(0, 4, (images, count)))
    return PartBatch(*tensors, labels), torch.tensor(random.integers(1, 120, (images, 2)))


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("grid", [None, 1.0, 20.0])
@pytest.mark.parametrize(("images", "count"), [(1, 1), (3, 7), (4, 60), (1, 400)])
@pytest.mark.parametrize("iou_threshold", [0.45, 0.5])
def test_a_batch_equals_the_naive_computation_image_by_image(
    images: int, count: int, grid: float | None, odd: bool, iou_threshold: float
) -> None:
    recipe = TINY.model_copy(update={"nms_iou": iou_threshold})
    for seed in range(2):
        candidates, sizes = random_batch(seed, images, count, grid, odd)
        parts = postprocess(candidates, sizes, recipe)
        assert parts.boxes.shape == (images, recipe.top_k, 4) and parts.labels.shape == (images, recipe.top_k)
        for row, found in enumerate(unpack(parts)):
            arrays = (tensor[row].numpy() for tensor in (candidates.boxes, candidates.scores, candidates.labels))
            width, height = sizes[row].tolist()
            assert_same(found, naive_parts(*arrays, (width, height), recipe))


@given(CANDIDATES, SIDES, SIDES)
def test_any_numbers_give_the_naive_parts_and_fulfil_the_caches_contract(
    rows: list[tuple[Any, ...]], width: int, height: int
) -> None:
    table = np.array(rows, np.float64).reshape(-1, 6)
    boxes, scores = table[:, :4].astype(np.float32), table[:, 4].astype(np.float32)
    labels = table[:, 5].astype(np.int64)
    candidates = PartBatch(*(torch.from_numpy(array)[None] for array in (boxes, scores, labels)))
    parts = postprocess(candidates, torch.tensor([[width, height]]), TINY)
    (found,) = unpack(parts)
    assert_same(found, naive_parts(boxes, scores, labels, (width, height), TINY))
    PartBoxes(  # raises UserError if its contract is violated
        names=("a",),
        image_size=np.array([(width, height)], np.int32),
        boxes=parts.boxes.numpy(),
        scores=parts.scores.numpy(),
        labels=parts.labels.numpy().astype(np.int8),
        status=np.array([STATUS_FOUND if len(found.scores) else STATUS_EMPTY], np.uint8),
        failure=("",),
        part_names=PART_NAMES,
        fingerprint={},
    )


def test_an_image_without_a_size_has_no_parts() -> None:
    parts = postprocess(one_image([[0, 0, 9, 9]], [0.9]), torch.tensor([[0, 0]]), TINY)
    assert (parts.labels == -1).all() and (parts.boxes == 0).all() and (parts.scores == 0).all()


def test_boxes_are_clipped_and_dropped_if_the_rest_is_too_small() -> None:
    candidates = one_image([[-5, -5, 50, 50], [99.5, 0, 200, 50], [10, 10, 10.5, 60]], [0.5, 0.6, 0.7])
    (parts,) = unpack(drop_invalid(candidates, torch.tensor([[100, 80]]), TINY))
    assert parts.boxes.tolist() == [[0, 0, 50, 50]]


def test_equal_scores_are_sorted_by_coordinates_then_label() -> None:
    boxes = [[5, 5, 9, 9], [1, 5, 9, 9], [1, 2, 9, 9], [1, 2, 8, 9], [1, 2, 8, 9], [9, 9, 10, 10]]
    expected = [[9, 9, 10, 10], [1, 2, 8, 9], [1, 2, 8, 9], [1, 2, 9, 9], [1, 5, 9, 9], [5, 5, 9, 9]]
    for seed in range(5):
        order = torch.tensor(np.random.default_rng(seed).permutation(6))[None]
        parts = sort_by_score(one_image(boxes, [0.5] * 5 + [0.6], [0, 0, 0, 4, 3, 0]).take(order))
        assert parts.boxes[0].tolist() == expected and parts.labels[0, :3].tolist() == [0, 3, 4]


def test_a_suppressed_box_suppresses_no_other() -> None:
    # each overlaps its neighbours by 7/13 and the next but one by 4/16: the second is suppressed, so the third is kept
    chain = one_image([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10], [9, 0, 19, 10]], [0.9, 0.8, 0.7, 0.6])
    (parts,) = unpack(postprocess(chain, torch.tensor([[100, 100]]), TINY))
    assert parts.boxes[:, 0].tolist() == [0, 6]


def test_an_iou_equal_to_the_threshold_does_not_suppress() -> None:
    recipe = TINY.model_copy(update={"nms_iou": 0.5})
    candidates = one_image([[0, 0, 8, 4], [0, 0, 4, 4]], [0.9, 0.8])
    (parts,) = unpack(postprocess(candidates, torch.tensor([[100, 80]]), recipe))
    assert len(parts.scores) == 2


@pytest.mark.parametrize(("images", "count"), [(0, 5), (2, 0), (0, 0)])
def test_no_images_or_no_candidates(images: int, count: int) -> None:
    candidates = PartBatch(
        torch.zeros(images, count, 4), torch.zeros(images, count), torch.zeros(images, count, dtype=torch.int64)
    )
    parts = postprocess(candidates, torch.full((images, 2), 9), TINY)
    assert parts.labels.shape == (images, TINY.top_k) and (parts.labels == -1).all()


def test_iou_of_worked_examples() -> None:
    first = torch.tensor([[0.0, 0, 4, 4]])
    second = torch.tensor([[2.0, 0, 6, 4], [4, 0, 8, 4], [0, 0, 4, 4], [9, 9, 10, 10]])
    assert iou(first, second).tolist() == pytest.approx([8 / 24, 0, 1, 0])
