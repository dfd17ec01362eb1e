"""Occluders between camera and vehicle: poles, other vehicles, leaves."""

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.scene.light import Light

OCCLUDED = 0.28  # share of the pictures
# the rear half of a vehicle from the side, in shares of its visible width and height
SILHOUETTE = np.array([(-1.0, -0.2), (-1.0, 1.0), (0.5, 1.0), (0.85, 0.55), (1.0, 0.5), (1.0, -0.2)])
PANE = np.array([(-1.0, 0.52), (-1.0, 0.92), (0.45, 0.92), (0.75, 0.52)])


def paint_occluders(rng: np.random.Generator, shape: tuple[int, int], light: Light) -> tuple[Floats, Floats]:
    """Sample at most one occluder; return its colour (H, W, 3) and opacity (H, W, 1), 0 where there is none."""
    colour, opacity = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.uint8)
    brightness = (0.7 * light.horizon + 0.3 * light.sun_colour)[:, 0]
    if rng.random() < OCCLUDED:
        paint = (_paint_pole, _paint_vehicle, _paint_foliage)[int(rng.choice(3, p=(0.35, 0.30, 0.35)))]
        paint(rng, colour, opacity, brightness)
    return colour, (opacity.astype(np.float32) / 255)[..., None]


def _fill(mask: Bytes, corners: Floats, line_type: int = cv2.LINE_AA) -> None:
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 255, line_type, 4)


def _paint_pole(rng: np.random.Generator, colour: Floats, opacity: Bytes, brightness: Floats) -> None:
    height, width = opacity.shape
    middle, half = rng.uniform(0.05, 0.95) * width, rng.uniform(0.008, 0.025) * width
    foot = middle + rng.normal(0, 0.02) * width
    _fill(opacity, np.array([(middle - half, 0), (middle + half, 0), (foot + half, height), (foot - half, height)]))
    rounded = 1 - 0.6 * np.clip(np.abs(np.arange(width) - middle) / (2 * half), 0, 1)
    colour[:] = rng.uniform(0.1, 0.45) * brightness * rounded[None, :, None]


def _paint_vehicle(rng: np.random.Generator, colour: Floats, opacity: Bytes, brightness: Floats) -> None:
    """Paint another vehicle, cut off by the left or right edge of the picture."""
    height, width = opacity.shape
    from_left = rng.random() < 0.5
    size = np.array([rng.uniform(0.1, 0.3) * width, rng.uniform(0.25, 0.6) * height])

    def pixels(shares: Floats) -> Floats:
        across, up = (shares * size).T
        return np.stack([across if from_left else width - across, height - up], axis=1)

    _fill(opacity, pixels(SILHOUETTE))
    fade = np.linspace(1.1, 0.7, height)[:, None, None]
    colour[:] = rng.uniform(0.03, 0.6) * rng.uniform(0.6, 1.0, 3) * brightness * fade
    glass = np.zeros_like(opacity)
    _fill(glass, pixels(PANE), cv2.LINE_8)
    colour[glass > 0] = 0.04 * brightness


def _paint_foliage(rng: np.random.Generator, colour: Floats, opacity: Bytes, brightness: Floats) -> None:
    height, width = opacity.shape
    centre = np.array([rng.choice((0.0, 1.0)) * width, rng.uniform(0, 0.35) * height])
    for _ in range(int(rng.integers(14, 40))):
        column, row = (round(float(value)) for value in centre + rng.normal(0, 0.10, 2) * width)
        radius = rng.uniform(0.012, 0.045) * width
        axes = (max(1, round(radius)), max(1, round(radius * rng.uniform(0.5, 0.9))))
        leaf = cv2.ellipse2Poly((column, row), axes, int(rng.integers(180)), 0, 360, 30)
        shade = np.array([0.05, 0.13, 0.03]) * rng.uniform(0.4, 1.6) * brightness
        cv2.fillPoly(opacity, [leaf], 255, cv2.LINE_AA)
        cv2.fillPoly(colour, [leaf], tuple(float(channel) for channel in shade))
