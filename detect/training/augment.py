"""Augmentation of a training image: a random view of the size of the input, degraded pixels, changed colours."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detect.recipes import DetectorRecipe

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Window = tuple[float, float, float, float]  # xyxy in pixels of the image; may extend beyond it
FILL = (124, 117, 104)  # ImageNet's mean colour, around a zoomed-out image
MIN_SIDE = 2.0  # pixels of the input; a smaller remainder of a cropped part teaches nothing
CROP_TRIALS = 20
CROP_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # SSD's overlaps; here the least share of a part inside the crop
RGB_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def augment(
    image: Pixels, boxes: Boxes, recipe: DetectorRecipe, random: np.random.Generator
) -> tuple[Pixels, Boxes, NDArray[np.bool_]]:
    """Return a random view of `image` (H, W, 3) as (S, S, 3), its boxes (M, 4) in the view, and which are visible."""
    size = recipe.input_size
    view = draw_view(image.shape[1], image.shape[0], boxes, recipe, random)
    pixels = view.pixels(image, size)
    if random.random() < recipe.degrade:
        pixels = degrade(pixels, random)
    pixels = jitter_colour(pixels, recipe.colour_jitter, recipe.hue_jitter, recipe.grey, random)
    return pixels, *clip_to_view(view.boxes(boxes, size), size)


@dataclass(frozen=True)
class View:
    """A window of an image, resized to a square and possibly mirrored."""

    window: Window
    mirrored: bool = False

    def pixels(self, image: Pixels, size: int) -> Pixels:
        """Return the view of `image` (H, W, 3) as (size, size, 3), with FILL outside the image."""
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
        in_view = (boxes - np.array([x0, y0, x0, y0], dtype=np.float32)) * scale
        if self.mirrored:
            in_view[:, [0, 2]] = size - in_view[:, [2, 0]]
        return in_view.astype(np.float32)


def draw_view(width: int, height: int, boxes: Boxes, recipe: DetectorRecipe, random: np.random.Generator) -> View:
    """Return a random view of an image with `boxes` (M, 4): zoomed out, cropped around a part, or whole; mirrored."""
    mirrored = bool(random.random() < recipe.flip)
    choice = random.random()
    window: Window = (0.0, 0.0, float(width), float(height))
    if choice < recipe.zoom_out:
        window = _zoomed_out(width, height, random)
    elif choice < recipe.zoom_out + recipe.zoom_in:
        window = _crop(width, height, boxes, random)
    return View(window, mirrored)


def _zoomed_out(width: int, height: int, random: np.random.Generator) -> Window:
    ratio = random.uniform(1.0, 2.0)
    x0, y0 = -random.uniform(0, (ratio - 1) * width), -random.uniform(0, (ratio - 1) * height)
    return x0, y0, x0 + ratio * width, y0 + ratio * height


def _crop(width: int, height: int, boxes: Boxes, random: np.random.Generator) -> Window:
    """Return a crop with the centre and at least a random share of some part.

    SSD itself requires an IoU of crop and object (arXiv 1512.02325, section 2.2); vehicle parts are too small for an
    IoU of 0.1 with a crop.
    """
    least = CROP_SHARES[int(random.integers(len(CROP_SHARES)))]
    for _ in range(CROP_TRIALS):
        w, h = width * random.uniform(0.4, 1.0), height * random.uniform(0.4, 1.0)
        x0, y0 = random.uniform(0, width - w), random.uniform(0, height - h)
        clipped = boxes.clip((x0, y0, x0, y0), (x0 + w, y0 + h, x0 + w, y0 + h))
        shares = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = (centres > (x0, y0)).all(axis=1) & (centres < (x0 + w, y0 + h)).all(axis=1)
        if (inside & (shares >= least)).any():
            return x0, y0, x0 + w, y0 + h
    return 0.0, 0.0, float(width), float(height)


def clip_to_view(boxes: Boxes, size: int) -> tuple[Boxes, NDArray[np.bool_]]:
    """Return `boxes` (M, 4) clipped to the view, and which have their centre and enough of their area in it."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    clipped = boxes.clip(0, size)
    sides = clipped[:, 2:] - clipped[:, :2]
    return clipped, ((centres > 0) & (centres < size)).all(axis=1) & (sides >= MIN_SIDE).all(axis=1)


def degrade(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Return `pixels` (H, W, 3) as from a worse camera: blurred, noisy, at low resolution, or strongly compressed."""
    return DEGRADATIONS[int(random.integers(len(DEGRADATIONS)))](pixels, random)


def _blur(pixels: Pixels, random: np.random.Generator) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.4, 1.5)), dtype=np.uint8)


def _add_noise(pixels: Pixels, random: np.random.Generator) -> Pixels:
    noise = random.uniform(3, 12) * random.standard_normal(pixels.shape, dtype=np.float32)
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def _lower_resolution(pixels: Pixels, random: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    share = random.uniform(0.35, 0.8)
    smaller = (max(1, round(share * width)), max(1, round(share * height)))
    coarse = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _compress(pixels: Pixels, random: np.random.Generator) -> Pixels:
    # channels in OpenCV's order, because JPEG compresses chroma more than luma
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(20, 70))])
    return np.asarray(cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), dtype=np.uint8)


DEGRADATIONS: tuple[Callable[[Pixels, np.random.Generator], Pixels], ...] = (
    _blur,
    _add_noise,
    _lower_resolution,
    _compress,
)


def jitter_colour(pixels: Pixels, strength: float, hue: float, grey: float, random: np.random.Generator) -> Pixels:
    """Return `pixels` (H, W, 3) RGB with random brightness, contrast, saturation, white balance and hue.

    The first three change by up to `strength` of their value, the white balance of each channel by a quarter of that,
    and hue rotates by up to `hue` of the circle; a share `grey` of the images loses its colour. All are one affine map.
    """
    brightness, contrast, saturation = 1 + random.uniform(-strength, strength, 3)
    balance = 1 + random.uniform(-strength, strength, 3) / 4
    angle = 2 * np.pi * random.uniform(-hue, hue)
    if random.random() < grey:
        saturation = 0.0
    chroma = np.diag([1.0, saturation, saturation])
    chroma[1:, 1:] @= np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    colours = brightness * contrast * np.linalg.inv(RGB_TO_YIQ) @ chroma @ RGB_TO_YIQ @ np.diag(balance)
    offset = brightness * (1 - contrast) * float(pixels.mean())
    return np.asarray(cv2.transform(pixels, np.column_stack([colours, np.full(3, offset)])), dtype=np.uint8)
