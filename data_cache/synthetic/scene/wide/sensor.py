"""Effects of sensor and file: exposure, colours, noise, denoising, low resolution, sharpening, compression."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.scene.camera_effects import encode_jpeg
from data_cache.synthetic.scene.wide.weather import Weather

OVER, UNDER = 0.07, 0.07  # shares of over- and underexposed pictures
CAST = 0.2  # share of the pictures with a strong colour cast
LOW_RESOLUTION = (60, 400)  # pixels of the original's longer side of upscaled pictures
SMEARED, TWICE, COMBED = 0.16, 0.3, 0.012  # shares of denoised, twice compressed and interlaced pictures


@dataclass(frozen=True)
class Sensor:
    """The sensor, its processing and the file of one picture; contrasts and noise are in display values from 0 to 1."""

    gain: float
    colours: Floats  # (3,) factors on red, green and blue
    saturation: float
    contrast: float
    lift: float  # display value of black
    noise: float  # standard deviation
    grain: float  # size of the noise in pixels
    smear: float  # strength of denoising, 0 for none
    reduction: float  # pixels per sensor pixel along each axis, 1 for none
    sharpening: float
    sharpening_px: float
    comb: int  # columns by which every other row is moved
    earlier_qualities: tuple[int, ...]  # of JPEG compressions before the last
    quality: int


def sample_sensor(weather: Weather, shape: tuple[int, int], rng: np.random.Generator) -> Sensor:
    """Sample the sensor of a picture (H, W)."""
    kind, dark = rng.random(), weather.is_dark
    exposed = rng.uniform(1.5, 2.6) if kind < OVER else rng.uniform(0.25, 0.55) if kind < OVER + UNDER else 1.0
    warm, green = rng.normal(0, (0.13, 0.05) if rng.random() < CAST else (0.03, 0.015))
    cast = np.exp([warm, green, -warm])
    low = np.exp(rng.uniform(*np.log(LOW_RESOLUTION)))
    reduction = max(1.0, max(shape) / low) if rng.random() < 0.45 else 1.0
    twice = rng.random() < TWICE
    return Sensor(
        gain=exposed * _automatic_gain(weather) * float(np.exp(rng.normal(0.05, 0.22))),
        colours=cast / cast.mean(),
        saturation=0.0 if weather.is_grey or rng.random() < 0.02 else rng.uniform(0.6, 1.25),
        contrast=rng.uniform(0.9, 1.42),
        lift=rng.uniform(0, 0.05),
        noise=float(np.exp(rng.normal(-5.2, 0.75))) * (1.6 if dark else 1.0),
        grain=rng.uniform(0, 0.9),
        smear=rng.uniform(0.4, 1.0) if rng.random() < SMEARED else 0.0,
        reduction=min(reduction, 4.5),
        sharpening=rng.uniform(0.3, 1.6) if rng.random() < 0.45 else 0.0,
        sharpening_px=rng.uniform(0.6, 1.6),
        comb=int(rng.integers(2, 6)) if rng.random() < COMBED else 0,
        earlier_qualities=(int(rng.integers(35, 90)),) if twice else (),
        quality=int(rng.integers(60 if twice else 48, 97)),
    )


def _automatic_gain(weather: Weather) -> float:
    """Return the gain that brings a grey surface to mid-brightness; at night it stays darker."""
    light = weather.light
    arriving = 0.6 * max(float(light.sun[2, 0]), 0.25) * light.sun_colour + 0.5 * (light.zenith + light.horizon)
    return float((0.95 / max(float(arriving.mean()), 0.05)) ** (0.45 if weather.is_dark else 0.8))


def develop(light: Floats, sensor: Sensor) -> Floats:
    """Return the display values (H, W, 3) of linear light, before noise; light above white is rolled off."""
    exposed = np.maximum(light * (sensor.gain * sensor.colours).astype(np.float32), 0)
    if sensor.saturation != 1.0:
        grey = (exposed @ np.array([0.3, 0.59, 0.11], np.float32))[..., None]
        exposed = np.maximum(grey + np.float32(sensor.saturation) * (exposed - grey), 0)
    rolled = np.where(exposed > 0.7, 0.7 + 0.3 * np.tanh((exposed - 0.7) / 0.5), exposed)
    value = np.power(rolled, np.float32(1 / 2.2))
    value = sensor.lift + (1 - sensor.lift) * ((value - 0.45) * np.float32(sensor.contrast) + 0.45)
    return np.asarray(np.clip(value, 0, 1), dtype=np.float32)


def record(value: Floats, sensor: Sensor, rng: np.random.Generator) -> Bytes:
    """Return the picture (H, W, 3) uint8 after sampling, noise, denoising, upscaling and sharpening."""
    height, width = value.shape[:2]
    if sensor.reduction > 1:
        size = (max(12, round(width / sensor.reduction)), max(12, round(height / sensor.reduction)))
        value = cv2.resize(value, size, interpolation=cv2.INTER_AREA)
    value = value + np.float32(sensor.noise) * _grain(value.shape, sensor, rng)
    if sensor.smear:
        value = _smeared(value, sensor)
    if sensor.reduction > 1:
        value = cv2.resize(value, (width, height), interpolation=cv2.INTER_CUBIC)
    if sensor.sharpening:
        radius = sensor.sharpening_px * (0.5 + 0.5 * sensor.reduction)
        value = value + np.float32(sensor.sharpening) * (value - cv2.GaussianBlur(value, (0, 0), radius))
    if sensor.comb:
        value[1::2] = np.roll(value[1::2], sensor.comb, axis=1)
    return np.asarray(np.clip(value * 255 + 0.5, 0, 255), dtype=np.uint8)


def _grain(shape: tuple[int, ...], sensor: Sensor, rng: np.random.Generator) -> Floats:
    """Return noise (H, W, 3), partly common to the three colours."""
    grain = rng.standard_normal(shape, dtype=np.float32)
    if sensor.saturation == 0:
        grain[:] = grain[..., :1]
    if sensor.grain > 0.3:
        grain = cv2.GaussianBlur(grain, (0, 0), sensor.grain) * np.float32(1 + 2 * sensor.grain)
    return np.asarray(grain)


def _smeared(value: Floats, sensor: Sensor) -> Floats:
    """Return the picture as a strong denoiser leaves it: flat areas, sharp strong edges, smeared colours."""
    display = np.asarray(np.clip(value * 255, 0, 255), dtype=np.uint8)
    smooth = cv2.bilateralFilter(display, 5, 18 + 30 * sensor.smear, 3).astype(np.float32) / 255
    chroma = smooth - smooth.mean(axis=2, keepdims=True)
    return np.asarray(smooth - chroma + cv2.blur(chroma, (5, 5)))


def compressed(picture: Bytes, quality: int) -> Bytes:
    """Return the picture with the artefacts of a JPEG compression."""
    return np.asarray(Image.open(io.BytesIO(encode_jpeg(picture, quality))))
