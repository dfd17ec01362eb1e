"""Photometric augmentation: colours as other cameras and lights give them, and pictures as worse cameras give them."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
TO_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)  # of RGB: light, two colours


def jitter_colour(
    pixels: Pixels, strength: float, hue: float, grey: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Change brightness, contrast, saturation, white balance and hue of `pixels` (H, W, 3) RGB.

    The first three change by up to `strength` of their value and each channel's white balance by a quarter of that; hue
    turns by up to `hue` of the circle; a share `grey` of the pictures loses its colour. One affine map does it all.
    """
    brightness, contrast, saturation = 1 + random.uniform(-strength, strength, 3)
    balance = 1 + random.uniform(-strength, strength, 3) / 4
    angle = 2 * np.pi * random.uniform(-hue, hue)
    if random.random() < grey:
        saturation = 0.0
    turn = np.diag([1.0, saturation, saturation])
    turn[1:, 1:] @= np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    colours = brightness * contrast * np.linalg.inv(TO_YIQ) @ turn @ TO_YIQ @ np.diag(balance)
    offset = brightness * (1 - contrast) * float(pixels.mean())
    return np.asarray(cv2.transform(pixels, np.column_stack([colours, np.full(3, offset)])), dtype=np.uint8)


def degrade(pixels: Pixels, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return `pixels` (H, W, 3) as a worse camera gives them: blurred, noisy, of fewer pixels, or badly compressed."""
    return DEGRADATIONS[int(random.integers(len(DEGRADATIONS)))](pixels, random)


def _blur(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.4, 1.5)), dtype=np.uint8)


def _add_noise(pixels: Pixels, random: np.random.Generator) -> Pixels:
    noise = random.uniform(3, 12) * random.standard_normal(pixels.shape, dtype=np.float32)
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def _coarsen(pixels: Pixels, random: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    share = random.uniform(0.35, 0.8)
    small = (max(1, round(share * width)), max(1, round(share * height)))
    coarse = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _compress(pixels: Pixels, random: np.random.Generator) -> Pixels:
    # the channels' order matters to the colours, which are compressed more than the light
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(20, 70))])
    return np.asarray(cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), dtype=np.uint8)


DEGRADATIONS: tuple[Callable[[Pixels, np.random.Generator], Pixels], ...] = (_blur, _add_noise, _coarsen, _compress)
