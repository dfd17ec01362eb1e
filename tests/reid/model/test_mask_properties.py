"""Properties of part masks for random boxes, and the conversion of published masks to boxes and back."""

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
from reid.model.pgan import part_masks

CELLS = st.integers(1, 14)
STEPS = 1024  # corners are multiples of 1/1024, exact in float32
MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(0, 4), st.just(GRID), st.just(GRID)))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """A box in [0, 1]."""
    x0, y0 = draw(st.integers(0, STEPS - 1)), draw(st.integers(0, STEPS - 1))
    x1, y1 = draw(st.integers(x0 + 1, STEPS)), draw(st.integers(y0 + 1, STEPS))
    return x0 / STEPS, y0 / STEPS, x1 / STEPS, y1 / STEPS


def mask_of(box: tuple[float, ...], height: int, width: int) -> NDArray[np.bool_]:
    mask = part_masks(torch.tensor([[box]]), torch.tensor([[True]]), height, width)
    return np.asarray(mask[0, 0].numpy() == 1)


@given(boxes(), CELLS, CELLS)
def test_the_mask_of_a_mirrored_box_is_mirrored(box: tuple[float, ...], height: int, width: int) -> None:
    mirrored = (1 - box[2], box[1], 1 - box[0], box[3])
    if mask_of(box, height, width).sum() > 1:  # a box on the border of two cells may touch either
        np.testing.assert_array_equal(mask_of(mirrored, height, width), mask_of(box, height, width)[:, ::-1])


@given(boxes(), boxes(), CELLS, CELLS)
def test_the_mask_of_an_enclosing_box_covers_the_masks(
    one: tuple[float, ...], other: tuple[float, ...], height: int, width: int
) -> None:
    around = (min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3]))
    both = mask_of(one, height, width) | mask_of(other, height, width)
    assert (mask_of(around, height, width) >= both).all()


@given(st.integers(0, 13), st.integers(0, 13), st.integers(1, 14), st.integers(1, 14))
def test_the_mask_of_the_box_of_a_rectangle_of_cells_is_that_rectangle(
    left: int, top: int, width: int, height: int
) -> None:
    cells = np.zeros((1, GRID, GRID), bool)
    cells[0, top : top + height, left : left + width] = True
    (box,) = mask_boxes(cells).extents
    np.testing.assert_array_equal(mask_of(tuple(box), GRID, GRID), cells[0])


@given(MASKS)
def test_published_masks_are_read_back_and_their_boxes_cover_them(masks: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(read_masks(Path("m.npy"), npy(masks)), masks)
    found = mask_boxes(masks)
    kept = masks[masks.any(axis=(1, 2))][::-1]
    assert len(found.extents) == len(kept) and found.all_zero == len(masks) - len(kept)
    for box, mask in zip(found.extents, kept, strict=True):
        assert (mask_of(tuple(box), GRID, GRID) >= mask).all()
