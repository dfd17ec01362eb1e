"""Things in front of everything: wire fences, leaves, window frames, and text that cameras and web pages add."""

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.scene.wide.noise import noise_patch

NEAR = 0.07  # share of the pictures behind a fence or leaves close to the camera
LABELLED = 0.08  # share of the pictures with text
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)


def paint_near(shape: tuple[int, int], brightness: Floats, rng: np.random.Generator) -> tuple[Floats, Floats] | None:
    """Sample something close to the camera; return its light (H, W, 3) and opacity (H, W), mostly None."""
    if rng.random() >= NEAR:
        return None
    mask = np.zeros(shape, np.uint8)
    painter, roughness = NEARBY[int(rng.choice(3, p=NEARBY_SHARES))]
    tint = painter(mask, rng)
    soft = cv2.GaussianBlur(mask, (0, 0), 0.4 + rng.exponential(0.006) * shape[1])
    texture = np.exp(roughness * noise_patch(0.7, shape, 2.0, rng))[..., None]
    light = (tint * brightness * texture).astype(np.float32)
    return light, soft.astype(np.float32) / 255


def _paint_mesh(mask: Bytes, rng: np.random.Generator) -> Floats:
    """Draw thin wires crossing each other."""
    height, width = mask.shape
    pitch, slope = rng.uniform(0.1, 0.24) * width, rng.uniform(0.6, 1.4)
    thick = max(1, round(rng.uniform(0.001, 0.005) * width))
    for start in np.arange(-height * slope, width + height * slope, pitch):
        for sign in (-1, 1):
            cv2.line(mask, (round(start), 0), (round(start + sign * slope * height), height), 255, thick, cv2.LINE_AA)
    return np.ones(3) * rng.uniform(0.03, 0.4)


def _paint_leaves(mask: Bytes, rng: np.random.Generator) -> Floats:
    """Draw twigs and leaves that hang into the picture from one corner."""
    height, width = mask.shape
    corner = np.array([rng.choice((0.0, 1.0)) * width, rng.choice((0.0, 0.0, 1.0)) * height])
    for _ in range(int(rng.integers(15, 60))):
        column, row = (round(float(value)) for value in corner + rng.normal(0, 0.13, 2) * width)
        axes = tuple(max(1, round(float(radius) * width)) for radius in rng.uniform((0.012, 0.006), (0.045, 0.02)))
        cv2.ellipse(mask, (column, row), axes, int(rng.integers(180)), 0, 360, 255, cv2.FILLED)
    return np.array([0.05, 0.12, 0.03]) * rng.uniform(0.5, 1.8)


def _paint_bars(mask: Bytes, rng: np.random.Generator) -> Floats:
    """Draw one or two bars, such as window frames, cables or branches."""
    height, width = mask.shape
    for _ in range(int(rng.integers(1, 4))):
        start, end = rng.uniform(-0.2, 1.2, 2) * width
        thick = max(1, round(np.exp(rng.uniform(*np.log((0.004, 0.04)))) * width))
        first, last = ((round(start), 0), (round(end), height))
        if rng.random() < 0.3:
            first, last = (0, round(start * height / width)), (width, round(end * height / width))
        cv2.line(mask, first, last, 255, thick, cv2.LINE_AA)
    return np.ones(3) * rng.uniform(0.02, 0.4)


NEARBY = ((_paint_mesh, 0.1), (_paint_leaves, 0.4), (_paint_bars, 0.1))  # painter, contrast of its texture
NEARBY_SHARES = (0.3, 0.45, 0.25)


def write_label(picture: Bytes, rng: np.random.Generator) -> None:
    """Write a time stamp, the name of a camera or a watermark onto some pictures (H, W, 3)."""
    if rng.random() >= LABELLED:
        return
    height, width = picture.shape[:2]
    font = FONTS[int(rng.integers(len(FONTS)))]
    text = _label(rng)
    (long, tall), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = float(rng.uniform(0.3, 0.9)) * width / long
    row = round(rng.choice((0.03 * height + tall * scale, 0.97 * height, rng.uniform(0.2, 0.9) * height)))
    at = (round(rng.uniform(0.01, 0.2) * width), row)
    ink = (250, 250, 250) if rng.random() < 0.75 else (250, 220, 40)
    thick = max(1, round(scale * 1.5))
    written = picture.copy()
    if rng.random() < 0.5:
        cv2.putText(written, text, at, font, scale, (10, 10, 10), thick + 2, cv2.LINE_AA)
    cv2.putText(written, text, at, font, scale, ink, thick, cv2.LINE_AA)
    share = rng.uniform(0.2, 0.6) if rng.random() < 0.3 else 1.0
    picture[:] = cv2.addWeighted(written, share, picture, 1 - share, 0)


def _label(rng: np.random.Generator) -> str:
    numbers = rng.integers((2008, 1, 1, 0, 0, 0), (2027, 13, 29, 24, 60, 60))
    year, month, day, hour, minute, second = (int(number) for number in numbers)
    choices = (
        f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}",
        f"{day:02d}/{month:02d}/{year}  {hour:02d}:{minute:02d}",
        f"CAM {month:02d}  {hour:02d}:{minute:02d}:{second:02d}",
        f"IPC-{second:02d} {hour}:{minute:02d} {day * 3} km/h",
        f"www.photos{second}.com",
    )
    return choices[int(rng.integers(len(choices)))]
