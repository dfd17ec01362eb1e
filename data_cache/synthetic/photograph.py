"""From light to file: exposure, white balance, lens blur, sensor noise, JPEG."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from data_cache.synthetic.arrays import Bytes, Floats
from data_cache.synthetic.camera import Station


@dataclass(frozen=True)
class Development:
    """How one picture is taken."""

    gain: float
    white_balance: Floats  # (3,)
    haze: float
    contrast: float
    blur: float  # pixels of this picture
    motion: int  # pixels of horizontal motion blur, 0 for none
    noise: float  # of 255
    quality: int


def draw_development(station: Station, width: int, rng: np.random.Generator) -> Development:
    """Draw how a camera takes one picture of `width` pixels."""
    return Development(
        gain=rng.uniform(0.72, 1.15),
        white_balance=np.asarray(station.white_balance) * rng.uniform(0.97, 1.03, 3),
        haze=rng.uniform(0.0, 0.06),
        contrast=rng.uniform(0.9, 1.15),
        blur=rng.uniform(*station.blur) * width / 200,
        motion=int(rng.integers(2, 5)) if rng.random() < 0.12 else 0,
        noise=station.noise * rng.uniform(0.6, 1.4),
        quality=int(rng.integers(station.quality[0], station.quality[1] + 1)),
    )


def develop(light: Floats, development: Development, rng: np.random.Generator) -> Bytes:
    """Return the (H, W, 3) uint8 RGB picture of linear light (H, W, 3)."""
    exposed = light * (development.gain * development.white_balance).astype(np.float32)
    rolled = np.where(exposed > 0.8, 0.8 + 0.2 * np.tanh((exposed - 0.8) / 0.35), np.maximum(exposed, 0))
    value = np.power(rolled, np.float32(1 / 2.2))
    value = development.haze + (1 - development.haze) * ((value - 0.45) * development.contrast + 0.45)
    value = value.astype(np.float32)
    if development.blur > 0.15:
        value = cv2.GaussianBlur(value, (0, 0), development.blur)
    if development.motion:
        value = cv2.blur(value, (development.motion, 1))
    grain = rng.standard_normal(value.shape, dtype=np.float32)
    grain = 0.6 * grain + 0.7 * cv2.blur(grain, (2, 2))
    return np.asarray(np.clip(value * 255 + development.noise * grain + 0.5, 0, 255), dtype=np.uint8)


def encode_jpeg(picture: Bytes, quality: int) -> bytes:
    """Return a baseline JPEG of (H, W, 3) uint8 RGB."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
