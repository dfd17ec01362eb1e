"""Effects of the lens: distortion, defocus, motion blur, colour fringes, vignette."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats


@dataclass(frozen=True)
class Lens:
    """The lens and its movement in one picture; lengths are in pixels."""

    centre: tuple[float, float]  # of the full frame, within or outside of the picture
    distortion: float  # shift at the picture's diagonal from the centre, as a share of it; positive is a barrel
    defocus: float  # standard deviation
    motion: tuple[float, float]  # columns and rows moved during the exposure
    fringe: float  # by how much red is larger than green, and green than blue
    vignette: float  # light lost at the picture's diagonal from the centre


def sample_lens(shape: tuple[int, int], rng: np.random.Generator) -> Lens:
    """Sample a lens for a picture (H, W)."""
    height, width = shape
    centre = rng.normal(0.5, 0.5, 2) * [width, height]
    moving = rng.random() < 0.13
    length, direction = rng.uniform(0.006, 0.028) * width, rng.uniform(0, np.pi)
    return Lens(
        centre=(float(centre[0]), float(centre[1])),
        distortion=rng.normal(0, 0.04) if rng.random() < 0.25 else 0.0,
        defocus=float(np.clip(rng.exponential(0.0028) - 0.001, 0, 0.009)) * width,
        motion=(length * np.cos(direction), length * np.sin(direction) * 0.6) if moving else (0.0, 0.0),
        fringe=rng.uniform(0.0005, 0.004) if rng.random() < 0.3 else 0.0,
        vignette=rng.uniform(0.1, 0.5) if rng.random() < 0.3 else 0.0,
    )


def cast(picture: Floats, lens: Lens) -> Floats:
    """Return the light (H, W, 3) on the sensor: distorted, with colour fringes, blurred, darker at the edges."""
    moved = _distortion_map(lens, picture.shape[:2], 1)
    if moved is not None:
        picture = np.asarray(cv2.remap(picture, *moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return _shade_edges(_blur(_spread_colours(picture, lens), lens), lens)


def cast_layer(layer: Bytes, lens: Lens, scale: int) -> Bytes:
    """Return part numbers (scale · H, scale · W) moved as `cast` moves the picture."""
    moved = _distortion_map(lens, (layer.shape[0] // scale, layer.shape[1] // scale), scale)
    if moved is None:
        return layer
    return np.asarray(cv2.remap(layer, *moved, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT), dtype=np.uint8)


def _distortion_map(lens: Lens, shape: tuple[int, ...], scale: int) -> tuple[Floats, Floats] | None:
    """Return the columns and rows from which the pixels of a picture `scale` times as large come, None if unmoved."""
    if lens.distortion == 0:
        return None
    height, width = shape
    rows, columns = np.mgrid[: height * scale, : width * scale].astype(np.float32)
    across, down = (columns + 0.5) / scale - lens.centre[0], (rows + 0.5) / scale - lens.centre[1]
    middle = (width / 2 - lens.centre[0]) ** 2 + (height / 2 - lens.centre[1]) ** 2
    # the middle of the picture stays where it is, which keeps the vehicle in it
    shift = (across**2 + down**2 - middle) * (lens.distortion * scale / (height**2 + width**2))
    return (columns + across * shift).astype(np.float32), (rows + down * shift).astype(np.float32)


def _spread_colours(picture: Floats, lens: Lens) -> Floats:
    """Return the picture with red and blue magnified differently about the centre of the frame."""
    if not lens.fringe:
        return picture
    height, width = picture.shape[:2]
    channels = list(cv2.split(picture))
    centre = np.clip(np.array(lens.centre), [-0.5 * width, -0.5 * height], [1.5 * width, 1.5 * height])
    for channel, sign in ((0, 1), (2, -1)):
        scale = 1 + sign * lens.fringe
        matrix = np.array([[scale, 0, centre[0] * (1 - scale)], [0, scale, centre[1] * (1 - scale)]])
        channels[channel] = cv2.warpAffine(
            channels[channel], matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return np.asarray(cv2.merge(channels))


def _blur(picture: Floats, lens: Lens) -> Floats:
    """Return the picture blurred by defocus and motion."""
    if lens.defocus > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), lens.defocus)
    across, down = lens.motion
    if max(abs(across), abs(down)) > 1.2:
        half = int(np.ceil(max(abs(across), abs(down)) / 2))
        kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
        end = np.array([across, down]) / 2 * 16  # in the fixed point of cv2.line with four bits
        middle = np.array([half, half]) * 16
        start, stop = (tuple(int(value) for value in np.round(middle + sign * end)) for sign in (-1, 1))
        cv2.line(kernel, start, stop, 1.0, 1, cv2.LINE_8, 4)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    return np.asarray(picture)


def _shade_edges(picture: Floats, lens: Lens) -> Floats:
    """Return the picture, darker away from the centre of the frame."""
    if not lens.vignette:
        return picture
    height, width = picture.shape[:2]
    across = (np.arange(width, dtype=np.float32) - lens.centre[0]) ** 2
    down = (np.arange(height, dtype=np.float32) - lens.centre[1]) ** 2
    away = (across[None] + down[:, None]) / np.float32(width**2 + height**2)
    return np.asarray(picture / (1 + np.float32(2 * lens.vignette) * away)[..., None], dtype=np.float32)
