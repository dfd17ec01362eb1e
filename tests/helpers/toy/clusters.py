"""Features of length 1 in clusters, random and seeded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def unit(matrix: NDArray[Any]) -> Matrix:
    """The rows of `matrix` at length 1."""
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def clustered(seed: int, count: int, channels: int = 16, noise: float = 0.5) -> Matrix:
    """`count` features of some vehicles, about six each."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(2, count // 6), channels))
    chosen = centres[random.integers(0, len(centres), count)]
    return unit(chosen + noise * random.standard_normal((count, channels)))
