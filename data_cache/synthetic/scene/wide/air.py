"""What is between camera and vehicle: fog, rain, drops on the lens, and the glow of lamps."""

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.scene.wide.weather import Weather

STREAK_AREA = 900  # square pixels per streak of the strongest rain
GLOW_FROM, GLOW_MOST = 1.6, 10.0  # light above GLOW_FROM spreads, at most GLOW_MOST of it
HALOS = ((0.004, 0.22), (0.016, 0.10), (0.06, 0.05))  # radius as a share of the picture's width, share of the light


def clear_share(distance: Floats | float, weather: Weather) -> Floats:
    """Return the share of light that passes `distance` metres of air; fog replaces the rest by `weather.air`."""
    return np.asarray(np.exp(-np.float32(weather.fog) * distance), dtype=np.float32)


def add_glow(picture: Floats, weather: Weather, rng: np.random.Generator) -> None:
    """Spread the light of lamps and glints over their surroundings, sometimes in a cross of rays."""
    excess = np.minimum(np.maximum(picture - GLOW_FROM, 0), GLOW_MOST)
    if not excess.any():
        return
    strength = rng.uniform(0.5, 2.5) if weather.is_dark else rng.uniform(0.2, 1.2)
    for radius, share in HALOS:
        picture += np.float32(share * strength) * cv2.GaussianBlur(excess, (0, 0), 0.5 + radius * picture.shape[1])
    if rng.random() < 0.15:
        picture += cv2.filter2D(excess, -1, _ray(picture.shape[1], rng))


def _ray(width: int, rng: np.random.Generator) -> Floats:
    """Return the kernel of a ray through a lamp, brightest in its middle."""
    half = max(2, round(rng.uniform(0.06, 0.2) * width))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    slope = round(rng.uniform(-1, 1) * half)
    cv2.line(kernel, (0, half - slope), (2 * half, half + slope), 1.0, 1, cv2.LINE_AA)
    away = np.abs(np.arange(-half, half + 1)) / half
    kernel = cv2.GaussianBlur(kernel, (0, 0), 0.7) * np.exp(-4 * away).astype(np.float32)
    return np.asarray(np.float32(rng.uniform(0.1, 0.4)) * kernel / kernel.sum())


def add_rain(picture: Floats, weather: Weather, rng: np.random.Generator) -> None:
    """Draw streaks of falling rain, and blurred drops on the lens."""
    if weather.rain <= 0:
        return
    height, width = picture.shape[:2]
    streaks = np.zeros((height, width), np.uint8)
    lean = rng.normal(0, 0.15)
    for _ in range(int(weather.rain * height * width / STREAK_AREA)):
        x, y = rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1) * height
        length = rng.uniform(0.02, 0.08) * height
        end = (round(x + lean * length), round(y + length))
        cv2.line(streaks, (round(x), round(y)), end, int(rng.integers(20, 110)), 1, cv2.LINE_AA)
    air = weather.air.astype(np.float32)
    picture += (cv2.GaussianBlur(streaks, (0, 0), 0.6).astype(np.float32) / 255)[..., None] * (
        1.3 * air - 0.5 * picture
    )
    if rng.random() < 0.4:
        add_drops(picture, rng)


def add_drops(picture: Floats, rng: np.random.Generator) -> None:
    """Show the blurred, shifted picture within round drops on the lens."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 9))):
        spot = (int(rng.integers(width)), int(rng.integers(height)))
        axes = tuple(max(1, round(float(radius) * width)) for radius in rng.uniform(0.01, 0.06, 2))
        cv2.ellipse(mask, spot, axes, 0, 0, 360, 255, cv2.FILLED)
    soft = (cv2.GaussianBlur(mask, (0, 0), 0.3 + 0.006 * width).astype(np.float32) / 255)[..., None]
    seen = cv2.GaussianBlur(picture, (0, 0), 0.5 + 0.02 * width)
    picture += soft * (1.08 * seen - picture)
