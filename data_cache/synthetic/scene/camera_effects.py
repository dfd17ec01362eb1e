"""From light to file: exposure, white balance, lens blur, sensor noise, JPEG."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import Station

SOFT, SHARPENED, GLOWING = 0.4, 0.45, 0.4  # of the pictures: enlarged from fewer pixels, edges raised, highlights run


@dataclass(frozen=True)
class Development:
    """How one picture is taken."""

    gain: float
    white_balance: Floats  # (3,)
    haze: float
    contrast: float
    blur: float  # pixels of this picture
    motion: int  # pixels of horizontal motion blur, 0 for none
    coarse: float  # pixels of this picture that one pixel of the camera fills, along each axis
    noise: float  # of 255
    glow: float  # share of the light beyond white that runs into its surroundings
    sharpening: float  # how strongly edges are raised, 0 not at all
    quality: int


def draw_development(station: Station, width: int, rng: np.random.Generator) -> Development:
    """Draw how a camera takes one picture of `width` pixels."""
    return Development(
        gain=float(np.clip(np.exp(rng.normal(0.33, 0.26)), 0.6, 2.0)),
        white_balance=np.asarray(station.white_balance) * rng.uniform(0.96, 1.04, 3),
        haze=rng.uniform(0.0, 0.08),
        contrast=rng.uniform(0.92, 1.38),
        blur=rng.uniform(*station.blur) * width / 200,
        motion=int(rng.integers(2, 5)) if rng.random() < 0.12 else 0,
        coarse=rng.uniform(1.3, 2.3) if rng.random() < SOFT else 1.0,
        noise=station.noise * rng.uniform(0.1, 1.3),
        glow=rng.uniform(0.2, 0.7) if rng.random() < GLOWING else 0.0,
        sharpening=rng.uniform(0.3, 1.2) if rng.random() < SHARPENED else 0.0,
        quality=int(rng.integers(station.quality[0], station.quality[1] + 1)),
    )


def develop(light: Floats, development: Development, rng: np.random.Generator) -> Bytes:
    """Return the (H, W, 3) uint8 RGB picture of linear light (H, W, 3)."""
    exposed = light * (development.gain * development.white_balance).astype(np.float32)
    if development.glow:
        beyond = np.minimum(np.maximum(exposed - 1, 0), 2)
        exposed += development.glow * cv2.GaussianBlur(beyond, (0, 0), 0.3 + 0.012 * light.shape[1])
    rolled = np.where(exposed > 0.8, 0.8 + 0.2 * np.tanh((exposed - 0.8) / 0.35), np.maximum(exposed, 0))
    value = np.power(rolled, np.float32(1 / 2.2))
    value = development.haze + (1 - development.haze) * ((value - 0.45) * development.contrast + 0.45)
    value = _through_lens(value.astype(np.float32), development)
    if development.sharpening:
        width = 0.5 + 0.5 * development.coarse
        value += np.float32(development.sharpening) * (value - cv2.GaussianBlur(value, (0, 0), width))
    grain = rng.standard_normal(value.shape, dtype=np.float32)
    grain = 0.6 * grain + 0.7 * cv2.blur(grain, (2, 2))
    value += np.float32(development.noise / 255) * grain
    return np.asarray(np.clip(value * 255 + 0.5, 0, 255), dtype=np.uint8)


def _through_lens(value: Floats, development: Development) -> Floats:
    """Return the picture (H, W, 3) as soft as lens, motion and the camera's own pixels make it."""
    if development.blur > 0.15:
        value = cv2.GaussianBlur(value, (0, 0), development.blur)
    if development.motion:
        value = cv2.blur(value, (development.motion, 1))
    if development.coarse > 1:
        height, width = value.shape[:2]
        few = (max(8, round(width / development.coarse)), max(8, round(height / development.coarse)))
        value = cv2.resize(cv2.resize(value, few, interpolation=cv2.INTER_AREA), (width, height))
    return np.asarray(value)


def encode_jpeg(picture: Bytes, quality: int) -> bytes:
    """Return a baseline JPEG of (H, W, 3) uint8 RGB."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
