"""Camera effects from linear light to the JPEG file: exposure, white balance, blur, noise, sharpening."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import RoadCamera

UPSCALED, SHARPENED, GLOWING = 0.4, 0.45, 0.4  # shares of the pictures


@dataclass(frozen=True)
class CameraEffects:
    """The camera effects of one picture."""

    gain: float
    white_balance: Floats  # (3,)
    haze: float
    contrast: float
    blur: float  # standard deviation in pixels
    motion: int  # pixels of horizontal motion blur, 0 for none
    upscaling: float  # pixels per sensor pixel along each axis, 1 for none
    noise: float  # standard deviation, of 255
    glow: float  # share of the light above white that spreads to its surroundings
    sharpening: float  # strength of unsharp masking, 0 for none
    quality: int


def sample_camera_effects(road_camera: RoadCamera, width: int, rng: np.random.Generator) -> CameraEffects:
    """Sample the effects of a road camera on a picture `width` pixels wide."""
    return CameraEffects(
        gain=float(np.clip(np.exp(rng.normal(0.33, 0.26)), 0.6, 2.0)),
        white_balance=np.asarray(road_camera.white_balance) * rng.uniform(0.96, 1.04, 3),
        haze=rng.uniform(0.0, 0.08),
        contrast=rng.uniform(0.92, 1.38),
        blur=rng.uniform(*road_camera.blur) * width / 200,
        motion=int(rng.integers(2, 5)) if rng.random() < 0.12 else 0,
        upscaling=rng.uniform(1.3, 2.3) if rng.random() < UPSCALED else 1.0,
        noise=road_camera.noise * rng.uniform(0.1, 1.3),
        glow=rng.uniform(0.2, 0.7) if rng.random() < GLOWING else 0.0,
        sharpening=rng.uniform(0.3, 1.2) if rng.random() < SHARPENED else 0.0,
        quality=int(rng.integers(road_camera.quality[0], road_camera.quality[1] + 1)),
    )


def apply_camera_effects(light: Floats, effects: CameraEffects, rng: np.random.Generator) -> Bytes:
    """Return the (H, W, 3) uint8 RGB picture of linear light (H, W, 3)."""
    exposed = light * (effects.gain * effects.white_balance).astype(np.float32)
    if effects.glow:
        excess = np.minimum(np.maximum(exposed - 1, 0), 2)
        exposed += effects.glow * cv2.GaussianBlur(excess, (0, 0), 0.3 + 0.012 * light.shape[1])
    rolled = np.where(exposed > 0.8, 0.8 + 0.2 * np.tanh((exposed - 0.8) / 0.35), np.maximum(exposed, 0))
    value = np.power(rolled, np.float32(1 / 2.2))
    value = effects.haze + (1 - effects.haze) * ((value - 0.45) * effects.contrast + 0.45)
    value = _blur(value.astype(np.float32), effects)
    if effects.sharpening:
        radius = 0.5 + 0.5 * effects.upscaling
        value += np.float32(effects.sharpening) * (value - cv2.GaussianBlur(value, (0, 0), radius))
    grain = rng.standard_normal(value.shape, dtype=np.float32)
    grain = 0.6 * grain + 0.7 * cv2.blur(grain, (2, 2))
    value += np.float32(effects.noise / 255) * grain
    return np.asarray(np.clip(value * 255 + 0.5, 0, 255), dtype=np.uint8)


def _blur(value: Floats, effects: CameraEffects) -> Floats:
    """Return the picture (H, W, 3) blurred by lens, motion and upscaling."""
    if effects.blur > 0.15:
        value = cv2.GaussianBlur(value, (0, 0), effects.blur)
    if effects.motion:
        value = cv2.blur(value, (effects.motion, 1))
    if effects.upscaling > 1:
        height, width = value.shape[:2]
        sensor = (max(8, round(width / effects.upscaling)), max(8, round(height / effects.upscaling)))
        value = cv2.resize(cv2.resize(value, sensor, interpolation=cv2.INTER_AREA), (width, height))
    return np.asarray(value)


def encode_jpeg(picture: Bytes, quality: int) -> bytes:
    """Return a baseline JPEG of a picture (H, W, 3) uint8 RGB."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
