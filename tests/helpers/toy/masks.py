"""Random part masks in the format that the authors of PGAN published."""

import io
from typing import Any

import numpy as np


def rectangles(count: int, seed: int = 0) -> Any:
    """Return masks (count, 14, 14) of random rectangles."""
    random = np.random.default_rng(seed)
    masks = np.zeros((count, 14, 14), np.uint8)
    for mask in masks:
        top, left = random.integers(0, 14, 2)
        mask[top : random.integers(top, 14) + 1, left : random.integers(left, 14) + 1] = 1
    return masks


def npy(array: Any, **options: Any) -> bytes:
    """Return the .npy file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()
