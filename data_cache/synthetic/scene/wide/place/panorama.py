"""The distant surroundings: a panorama of sky, clouds, houses and trees, seen behind the place and mirrored by cars."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.scene.wide.noise import noise_patch
from data_cache.synthetic.scene.wide.weather import Weather

WIDTH, HEIGHT = 512, 128  # azimuths of the whole circle; elevations from LOWEST to the zenith
LOWEST = -0.12  # radians
STEP = (np.pi / 2 - LOWEST) / (HEIGHT - 1)  # radians per row
SUN_GLOW = 14.0  # how fast the glow about the sun falls off
HOUSES, TREES = (0, 22), (0, 60)  # range of their number


@dataclass(frozen=True)
class Panorama:
    """Light (HEIGHT, WIDTH, 3) float32 arriving from all directions; row 0 is the zenith."""

    picture: Floats
    ground: Floats  # (3, 1) light from below the horizon

    def arriving(self, direction: Floats) -> Floats:
        """Return the light (3, ...) from unit directions (3, ...)."""
        shape = direction.shape[1:]
        x, y, z = (np.ascontiguousarray(axis, np.float32).reshape(1, -1) for axis in direction)
        column = cv2.phase(x, y) * np.float32(WIDTH / (2 * np.pi))
        row = (np.float32(np.pi / 2) - np.arcsin(np.clip(z, -1, 1))) * np.float32(1 / STEP)
        light = _look_up(self.picture, column, row).T
        below = np.clip((LOWEST - z[0]) / 0.05 + 1, 0, 1)  # blends into the ground at the lower edge
        shade = self.ground * np.clip(1.0 + 0.6 * z[0], 0.35, 1.0)  # darker towards the vehicle's own shadow
        return np.asarray(light + (shade - light) * below, dtype=np.float32).reshape(3, *shape)


def _look_up(picture: Floats, column: Floats, row: Floats) -> Floats:
    """Return (N, 3) pixels at positions (1, N); cv2.remap takes no more than 32767 columns at once."""
    count = column.shape[1]
    padded = np.zeros((2, -(-count // 512) * 512), np.float32)
    padded[0, :count], padded[1, :count] = column, np.clip(row, 0, HEIGHT - 1)
    columns, rows = padded.reshape(2, -1, 512)
    found = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(found).reshape(-1, 3)[:count]


def paint_panorama(weather: Weather, rng: np.random.Generator) -> Panorama:
    """Paint sky and clouds, then houses and trees on the horizon."""
    picture = _sky(weather, rng)
    dim = float((weather.light.horizon + 0.4 * weather.light.sun_colour).mean())
    for _ in range(int(rng.integers(*HOUSES))):
        _paint_house(picture, weather, dim, rng)
    if rng.random() < 0.75:
        _paint_trees(picture, dim, rng)
    return Panorama(picture, weather.light.ground)


def _sky(weather: Weather, rng: np.random.Generator) -> Floats:
    light = weather.light
    elevation = np.pi / 2 - np.arange(HEIGHT, dtype=np.float32)[:, None] * np.float32(STEP)
    azimuth = np.arange(WIDTH, dtype=np.float32)[None] * np.float32(2 * np.pi / WIDTH)
    steep = np.sqrt(np.clip(np.sin(elevation), 0, 1))[..., None]
    sky = light.horizon[:, 0] + (light.zenith - light.horizon)[:, 0] * steep
    sun = light.sun[:, 0]
    sun_azimuth, sun_elevation = np.arctan2(sun[1], sun[0]), np.arcsin(sun[2])
    near = np.cos(elevation) * np.cos(sun_elevation) * np.cos(azimuth - sun_azimuth) + np.sin(elevation) * sun[2]
    sky = np.broadcast_to(sky, (HEIGHT, WIDTH, 3)).copy()
    if weather.kind in ("clear", "dusk"):
        sky += (0.5 * np.exp(SUN_GLOW * (near - 1)) + 3 * np.exp(300 * (near - 1)))[..., None] * light.sun_colour[:, 0]
    cloud = noise_patch(1.7, (HEIGHT, WIDTH), rng.uniform(0.5, 1.5), rng) + 3 * (weather.clouds - 0.5)
    cover = np.clip(0.5 + 1.2 * cloud, 0, 1)[..., None]
    shade = 0.75 + 0.25 * noise_patch(1.4, (HEIGHT, WIDTH), rng.uniform(0.5, 1.5), rng)[..., None]
    brightness = 0.5 * (light.horizon + light.zenith)[:, 0].mean() + 0.35 * light.sun_colour[:, 0]
    return np.asarray(sky + cover * (brightness * shade - sky), dtype=np.float32)


def _row(elevation: float) -> int:
    return round((np.pi / 2 - elevation) / STEP)


def _paint_house(picture: Floats, weather: Weather, dim: float, rng: np.random.Generator) -> None:
    """Paint a house front with rows of windows; it runs on behind the seam of the panorama."""
    left, wide, high = int(rng.integers(WIDTH)), int(rng.integers(8, 70)), rng.uniform(0.05, 0.55)
    top = _row(high)
    shade = dim * rng.uniform(0.12, 0.6) * rng.uniform(0.85, 1.1, 3)
    columns = np.arange(left, left + wide) % WIDTH
    picture[top:, columns] = shade
    pitch, floor = int(rng.integers(3, 7)), int(rng.integers(4, 8))
    pane = columns[(np.arange(wide) % pitch) < pitch // 2]
    for row in range(top + 2, HEIGHT - 12, floor):
        lit = rng.random(len(pane)) < (0.3 if weather.is_dark else 0.02)
        value = np.where(lit[:, None], np.array([0.9, 0.7, 0.4]) * max(dim, 0.3), shade * rng.uniform(0.3, 0.9))
        picture[row : row + floor // 2, pane] = value


def _paint_trees(picture: Floats, dim: float, rng: np.random.Generator) -> None:
    """Paint crowns of trees at random places, in a few shades of green."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(int(rng.integers(*TREES))):
        column, high = int(rng.integers(WIDTH)), rng.uniform(0.02, 0.4)
        radius = max(2, round(rng.uniform(0.02, 0.12) / STEP))
        for _ in range(5):
            spot = (column + round(rng.normal(0, radius * 0.8)), _row(high) + round(rng.uniform(0, 1.5) * radius))
            cv2.circle(mask, spot, max(1, round(radius * rng.uniform(0.4, 0.9))), 255, cv2.FILLED)
        cv2.rectangle(mask, (column - 1, _row(high)), (column + 1, HEIGHT), 255, cv2.FILLED)
    green = np.array([0.06, 0.11, 0.035]) * rng.uniform(0.5, 1.6) * rng.uniform(0.8, 1.2, 3)
    leaves = np.exp(0.5 * noise_patch(0.8, (HEIGHT, WIDTH), 0.7, rng))[..., None]
    np.copyto(picture, (dim * green * leaves).astype(np.float32), where=(mask > 0)[..., None])
