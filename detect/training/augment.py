"""Augmentation for SSD: a view of the image (zoom in, zoom out, flip), resized to the input in one step."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detect.recipes import DetectorRecipe

Boxes = NDArray[np.float32]
Window = tuple[float, float, float, float]  # xyxy in pixels of the image; may reach beyond it
FILL = (124, 117, 104)  # ImageNet's mean colour, around a zoomed-out image
SMALLEST_SIDE = 2.0  # of a box in the network's input; a smaller rest of a cropped part teaches nothing
CROP_TRIALS = 20
CROP_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # SSD's overlaps; here the share of a part that the crop holds


@dataclass(frozen=True)
class View:
    """What the network sees of an image: `window` of it, resized to a square, mirrored or not."""

    window: Window
    mirrored: bool = False

    def pixels(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Return the view of `image` (H, W, 3) as (size, size, 3), filled outside the image."""
        height, width = image.shape[:2]
        x0, y0, x1, y1 = self.window
        scale_x, scale_y = size / (x1 - x0), size / (y1 - y0)
        inside = (max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height))
        left, top = round((inside[0] - x0) * scale_x), round((inside[1] - y0) * scale_y)
        right, bottom = round((inside[2] - x0) * scale_x), round((inside[3] - y0) * scale_y)
        patch_size = (max(1, right - left), max(1, bottom - top))
        patch = Image.fromarray(image).resize(patch_size, Image.Resampling.BILINEAR, box=inside)
        canvas = patch
        if patch_size != (size, size):
            canvas = Image.new("RGB", (size, size), FILL)
            canvas.paste(patch, (left, top))
        pixels = np.asarray(canvas)
        return pixels[:, ::-1] if self.mirrored else pixels

    def boxes(self, boxes: Boxes, size: int) -> Boxes:
        """Return `boxes` (M, 4) xyxy of the image in pixels of the view, not clipped."""
        x0, y0, x1, y1 = self.window
        scale = np.array([size / (x1 - x0), size / (y1 - y0)] * 2, dtype=np.float32)
        moved = (boxes - np.array([x0, y0, x0, y0], dtype=np.float32)) * scale
        if self.mirrored:
            moved[:, [0, 2]] = size - moved[:, [2, 0]]
        return moved.astype(np.float32)


def draw_view(width: int, height: int, boxes: Boxes, recipe: DetectorRecipe, random: np.random.Generator) -> View:
    """Draw a view of an image with true `boxes` (M, 4): zoomed out, cropped around some part, or whole; or flipped."""
    mirrored = bool(random.random() < recipe.flip)
    choice = random.random()
    window: Window = (0.0, 0.0, float(width), float(height))
    if choice < recipe.zoom_out:
        window = _larger(width, height, random)
    elif choice < recipe.zoom_out + recipe.zoom_in:
        window = _crop(width, height, boxes, random)
    return View(window, mirrored)


def _larger(width: int, height: int, random: np.random.Generator) -> Window:
    ratio = random.uniform(1.0, 2.0)
    x0, y0 = -random.uniform(0, (ratio - 1) * width), -random.uniform(0, (ratio - 1) * height)
    return x0, y0, x0 + ratio * width, y0 + ratio * height


def _crop(width: int, height: int, boxes: Boxes, random: np.random.Generator) -> Window:
    """Return a crop that holds at least some drawn share of some part, and its centre.

    SSD's own measure is the IoU of crop and object (arXiv 1512.02325, section 2.2); no part is so large that its IoU
    with a crop would reach 0.1.
    """
    least = CROP_SHARES[int(random.integers(len(CROP_SHARES)))]
    for _ in range(CROP_TRIALS):
        w, h = width * random.uniform(0.4, 1.0), height * random.uniform(0.4, 1.0)
        x0, y0 = random.uniform(0, width - w), random.uniform(0, height - h)
        held = boxes.clip((x0, y0, x0, y0), (x0 + w, y0 + h, x0 + w, y0 + h))
        shares = (held[:, 2:] - held[:, :2]).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        seen = (centres > (x0, y0)).all(axis=1) & (centres < (x0 + w, y0 + h)).all(axis=1)
        if (seen & (shares >= least)).any():
            return x0, y0, x0 + w, y0 + h
    return 0.0, 0.0, float(width), float(height)


def visible(boxes: Boxes, size: int) -> tuple[Boxes, NDArray[np.bool_]]:
    """Clip `boxes` (M, 4) to the view; return them with which to keep: centre in view and not too small a rest."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    clipped = boxes.clip(0, size)
    sides = clipped[:, 2:] - clipped[:, :2]
    return clipped, ((centres > 0) & (centres < size)).all(axis=1) & (sides >= SMALLEST_SIDE).all(axis=1)


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
