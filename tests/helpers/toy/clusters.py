"""Random features of length 1 in clusters."""

import numpy as np
from numpy.typing import NDArray

from helpers.naive.ranking import unit

Matrix = NDArray[np.float32]


def clustered(seed: int, count: int, channels: int = 16, noise: float = 0.5) -> Matrix:
    """Return `count` features of several vehicles, about six per vehicle."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(2, count // 6), channels))
    chosen = centres[random.integers(0, len(centres), count)]
    return unit(chosen + noise * random.standard_normal((count, channels)))
