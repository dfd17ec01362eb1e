"""Fractal noise that repeats without seams, the raw material of asphalt, clouds, foliage and random textures."""

from functools import cache

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Floats

TILE = 512


@cache
def noise_tile(falloff: float) -> Floats:
    """Return (TILE, TILE) float32 noise of mean 0 and standard deviation 1; its amplitude is 1 / frequency^falloff.

    The tile is the same in every picture, which reads it at random places.
    """
    rng = np.random.default_rng(round(1000 * falloff))
    across, down = np.fft.rfftfreq(TILE), np.fft.fftfreq(TILE)[:, None]
    frequency = np.sqrt(across**2 + down**2)
    frequency[0, 0] = np.inf
    spectrum = rng.standard_normal((*frequency.shape, 2)) @ np.array([1, 1j]) / frequency**falloff
    noise = np.fft.irfft2(spectrum, (TILE, TILE))
    return np.asarray((noise - noise.mean()) / noise.std(), dtype=np.float32)


def noise_at(falloff: float, columns: Floats, rows: Floats) -> Floats:
    """Return the noise at positions (H, W) in tile pixels; the tile repeats."""
    columns, rows = np.mod(columns, TILE).astype(np.float32), np.mod(rows, TILE).astype(np.float32)
    return np.asarray(
        cv2.remap(noise_tile(falloff), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    ).reshape(columns.shape)


def noise_patch(falloff: float, shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Floats:
    """Return noise of `shape` (H, W) from a random place of the tile, magnified `scale` times and turned."""
    angle, start = rng.uniform(0, 2 * np.pi), rng.uniform(0, TILE, 2)
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[cosine, -sine, start[0]], [sine, cosine, start[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    return np.asarray(cv2.warpAffine(noise_tile(falloff), matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP))
