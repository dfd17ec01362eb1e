"""What several painters of ground, walls and sprites need: random colours, mottled surfaces and leaves."""

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.scene.wide.noise import noise_patch

Colour = tuple[float, float, float]  # display values
LEAF_GREEN = (60, 83, 41)


def random_colour(rng: np.random.Generator, low: float, high: float, spread: float) -> Colour:
    """Return a colour of a level between two display values, whose channels differ by up to `spread` of it."""
    red, green, blue = np.clip(rng.uniform(low, high) * rng.uniform(1 - spread, 1 + spread, 3), 4, 250)
    return float(red), float(green), float(blue)


def scale_colours(picture: Bytes, *factors: Floats) -> None:
    """Multiply a picture (H, W, 3) by one factor (H, W) for all colours or one for each; in bytes, which is fast."""
    quantised = [cv2.convertScaleAbs(factor, alpha=128) for factor in factors]
    cv2.multiply(picture, cv2.merge(quantised * (3 // len(quantised))), picture, 1 / 128)


def leaves(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return the display values (H, W, 3) of dense leaves in sun and shade."""
    green = np.array(LEAF_GREEN) * rng.uniform(0.6, 1.45) * rng.uniform(0.9, 1.1, 3)
    return np.asarray(np.clip(green * np.exp(0.5 * noise_patch(0.6, shape, 1.0, rng))[..., None], 2, 230))
