"""Masks of parts, whatever the boxes: the cells that a box touches, by a loop over the cells; and the way back."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from data_cache.base.npy import GRID, read_masks
from data_cache.parts.import_masks import mask_boxes
from helpers.toy.masks import npy
from reid.model.pgan import BORDER, masked_average, masked_softmax, part_masks

CELLS = st.integers(1, 14)
EIGHTHS = 1024  # corners are multiples of 1/1024, which float32 holds
MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(0, 4), st.just(GRID), st.just(GRID)))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """A box in [0, 1]."""
    x0, y0 = draw(st.integers(0, EIGHTHS - 1)), draw(st.integers(0, EIGHTHS - 1))
    x1, y1 = draw(st.integers(x0 + 1, EIGHTHS)), draw(st.integers(y0 + 1, EIGHTHS))
    return x0 / EIGHTHS, y0 / EIGHTHS, x1 / EIGHTHS, y1 / EIGHTHS


def mask_of(box: tuple[float, ...], height: int, width: int) -> NDArray[np.bool_]:
    mask = part_masks(torch.tensor([[box]]), torch.tensor([[True]]), height, width)
    return np.asarray(mask[0, 0].numpy() == 1)


def touched(low: float, high: float, cells: int) -> list[bool]:
    """Which cells [k, k + 1] the interval reaches into by more than the border's share; the first one at least."""
    inside = [high * cells - BORDER > cell and low * cells + BORDER < cell + 1 for cell in range(cells)]
    first = min(int(low * cells + BORDER), cells - 1)
    return [one or cell == first for cell, one in enumerate(inside)]


@given(boxes(), CELLS, CELLS)
def test_a_mask_is_the_cells_that_its_box_touches(box: tuple[float, ...], height: int, width: int) -> None:
    rows, columns = touched(box[1], box[3], height), touched(box[0], box[2], width)
    assert mask_of(box, height, width).tolist() == [[row and column for column in columns] for row in rows]


@given(boxes(), CELLS, CELLS)
def test_a_mask_turns_with_its_box(box: tuple[float, ...], height: int, width: int) -> None:
    turned = (1 - box[2], box[1], 1 - box[0], box[3])
    if mask_of(box, height, width).sum() > 1:  # of a box within a border two cells are as good
        np.testing.assert_array_equal(mask_of(turned, height, width), mask_of(box, height, width)[:, ::-1])


@given(boxes(), boxes(), CELLS, CELLS)
def test_a_box_around_two_covers_both_their_masks(
    one: tuple[float, ...], other: tuple[float, ...], height: int, width: int
) -> None:
    around = (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))
    both = mask_of(one, height, width) | mask_of(other, height, width)
    assert (mask_of(around, height, width) >= both).all()


@given(st.integers(0, 13), st.integers(0, 13), st.integers(1, 14), st.integers(1, 14))
def test_the_box_of_a_rectangle_of_cells_has_its_mask(left: int, top: int, width: int, height: int) -> None:
    cells = np.zeros((1, GRID, GRID), bool)
    cells[0, top : top + height, left : left + width] = True
    (box,) = mask_boxes(cells).extents
    np.testing.assert_array_equal(mask_of(tuple(box), GRID, GRID), cells[0])


@given(MASKS)
def test_masks_come_back_from_their_file_and_their_boxes_hold_them(masks: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(read_masks(Path("m.npy"), npy(masks)), masks)
    found = mask_boxes(masks)
    kept = masks[masks.any(axis=(1, 2))][::-1]
    assert len(found.extents) == len(kept) and found.all_zero == len(masks) - len(kept)
    for box, mask in zip(found.extents, kept, strict=True):
        assert (mask_of(tuple(box), GRID, GRID) >= mask).all()


@given(arrays.arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)), arrays.arrays(np.bool_, (3, 4)))
def test_attention_is_shared_out_among_the_parts_that_are_there(
    logits: NDArray[np.float32], present: NDArray[np.bool_]
) -> None:
    weights = masked_softmax(torch.from_numpy(logits), torch.from_numpy(present)).numpy()
    assert (weights[~present] == 0).all() and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), present.any(axis=1).astype(float), atol=1e-5)


@given(boxes(), arrays.arrays(np.float32, (1, 2, 5, 7), elements=st.floats(-100, 100, width=32)))
def test_the_average_of_a_part_is_that_of_its_cells(box: tuple[float, ...], values: NDArray[np.float32]) -> None:
    mask = mask_of(box, 5, 7)
    found = masked_average(torch.from_numpy(values), torch.from_numpy(mask).float()[None, None])
    np.testing.assert_allclose(found[0, 0].numpy(), values[0][:, mask].mean(axis=1), atol=1e-3)
