"""Vectorised rasterisation: which triangle is nearest at each pixel centre."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.synthetic.geometry.arrays import Floats, Integers

NOTHING = -1


def signed_area(screen: Floats) -> Floats:
    """Return the areas (T,) in square pixels of triangles (T, 3, 2), positive if they face the camera.

    A triangle faces the camera if its corners run counter-clockwise on the screen, whose rows grow downwards.
    """
    first, second = screen[:, 1] - screen[:, 0], screen[:, 2] - screen[:, 0]
    return 0.5 * (first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1])


def planes(screen: Floats, values: Floats) -> Floats:
    """Return (T, C, 3): a, b, c with value = a·column + b·row + c, given values (T, 3, C) at corners (T, 3, 2)."""
    first, second = screen[:, 1] - screen[:, 0], screen[:, 2] - screen[:, 0]
    scale = 1.0 / (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    one, two = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    by_column = (one * second[:, 1:2] - two * first[:, 1:2]) * scale[:, None]
    by_row = (two * first[:, 0:1] - one * second[:, 0:1]) * scale[:, None]
    constant = values[:, 0] - by_column * screen[:, 0, 0:1] - by_row * screen[:, 0, 1:2]
    return np.stack([by_column, by_row, constant], axis=-1)


def rasterise(screen: Floats, inverse_depth: Floats, shape: tuple[int, int]) -> Integers:
    """Return (H, W) int64: the index of the nearest triangle at each pixel centre, or NOTHING.

    `screen` (T, 3, 2) holds columns and rows in pixels, `inverse_depth` (T, 3) is 1/z, which is affine on the screen.
    A triangle covers the pixels whose centres lie inside or on its edge; the largest 1/z wins, then the higher index.
    Each triangle is split into one span of columns per row, so the work is proportional to the pixels covered.
    """
    height, width = shape
    buffer = np.zeros(height * width, dtype=np.uint64)
    usable = np.flatnonzero(np.abs(signed_area(screen)) > 1e-9)
    corners = screen[usable].astype(np.float64)
    triangle, row, start, count = _spans(corners, height, width)
    depth = planes(corners, inverse_depth[usable, :, None].astype(np.float64))[:, 0]
    fragment = np.repeat(np.arange(len(count)), count)
    column = np.arange(len(fragment)) - np.repeat(np.cumsum(count) - count, count) + start[fragment]
    base = depth[triangle, 1] * (row + 0.5) + depth[triangle, 2]
    nearness = base[fragment] + depth[triangle, 0][fragment] * (column + 0.5)
    bits = np.maximum(nearness, 0.0).astype(np.float32).view(np.uint32).astype(np.uint64)
    keys = (bits << np.uint64(32)) | (usable[triangle][fragment] + 1).astype(np.uint64)
    np.maximum.at(buffer, row[fragment] * width + column, keys)
    return ((buffer & np.uint64(0xFFFFFFFF)).astype(np.int64) - 1).reshape(shape)


def _spans(corners: Floats, height: int, width: int) -> tuple[Integers, Integers, Integers, Integers]:
    """Return triangle, row, first column and number of columns of every non-empty span."""
    top = np.clip(np.ceil(_fold(np.minimum, corners[:, :, 1]) - 0.5), 0, height).astype(np.int64)
    below = np.clip(np.floor(_fold(np.maximum, corners[:, :, 1]) - 0.5) + 1, 0, height).astype(np.int64)
    rows = np.maximum(below - top, 0)
    triangle = np.repeat(np.arange(len(corners)), rows)
    row = np.arange(len(triangle)) - np.repeat(np.cumsum(rows) - rows, rows) + top[triangle]
    along, across, constant = _edges(corners)
    value = across[triangle] * (row[:, None] + 0.5) + constant[triangle]
    slope = along[triangle]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -value / slope
    left = _fold(np.maximum, np.where(slope > 0, crossing, -np.inf))
    right = _fold(np.minimum, np.where(slope < 0, crossing, np.inf))
    outside = _fold(np.logical_or, (slope == 0) & (value < 0))
    start = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    end = np.clip(np.floor(right - 0.5) + 1, 0, width).astype(np.int64)
    filled = np.flatnonzero((end > start) & ~outside)
    return triangle[filled], row[filled], start[filled], (end - start)[filled]


def _fold(choose: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
    """Return (N,): `choose` over the columns of (N, 3); NumPy's own reduction is slow along such a short axis."""
    return np.asarray(choose(choose(values[:, 0], values[:, 1]), values[:, 2]))


def _edges(corners: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a, b, c (T, 3) of the edge functions a·column + b·row + c, positive inside for either orientation."""
    following = np.roll(corners, -1, axis=1)
    along = corners[:, :, 1] - following[:, :, 1]
    across = following[:, :, 0] - corners[:, :, 0]
    constant = -(along * corners[:, :, 0] + across * corners[:, :, 1])
    sign = -np.sign(signed_area(corners))[:, None]
    return along * sign, across * sign, constant * sign
