"""Changes of a training image beyond flip and erasing: geometry, with its boxes, then colour, blur, noise and JPEG.

The order is that of a camera: another view, other light, another lens, sensor and file. Hues stay, as colour tells
vehicles apart; only the white balance moves, and some images become grey, as at night.
"""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data_cache.base.pretrained import MEAN

Level = Literal["none", "light", "strong"]
Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Matrix = NDArray[np.float64]
OUTSIDE = tuple(round(255 * value) for value in MEAN)  # what no pixel of the image moves to
LEAST_LEFT = 0.25  # of a moved box inside the image; with less, the part is absent
RAMP = np.arange(256) / 255


@dataclass(frozen=True)
class Strength:
    """The largest change of each kind, and the share of the images that some of them happen to."""

    moved: float  # share
    turn: float  # degrees
    zoom: float  # of the logarithm of the scale
    stretch: float  # of the logarithm of the width over the height
    shear: float
    shift: float  # of the image's sides
    tilt: float  # perspective: change of the scale from the middle to a border
    gain: float  # of the logarithm
    contrast: float  # of the logarithm
    gamma: float  # of the logarithm
    balance: float  # of the logarithm of each channel's gain
    saturation: float  # of the logarithm
    grey: float  # share
    blurred: float  # share
    blur: float  # standard deviation as a share of the height
    noisy: float  # share
    noise: float  # standard deviation, of 255
    compressed: float  # share
    quality: int  # lowest of JPEG


STRENGTHS = {
    "light": Strength(
        moved=0.5,
        turn=4,
        zoom=0.08,
        stretch=0.05,
        shear=0.03,
        shift=0.04,
        tilt=0.03,
        gain=0.25,
        contrast=0.15,
        gamma=0.15,
        balance=0.05,
        saturation=0.2,
        grey=0.02,
        blurred=0.1,
        blur=0.005,
        noisy=0.1,
        noise=6,
        compressed=0.1,
        quality=50,
    ),
    "strong": Strength(
        moved=0.8,
        turn=10,
        zoom=0.2,
        stretch=0.15,
        shear=0.08,
        shift=0.08,
        tilt=0.1,
        gain=0.5,
        contrast=0.35,
        gamma=0.35,
        balance=0.08,
        saturation=0.4,
        grey=0.1,
        blurred=0.25,
        blur=0.012,
        noisy=0.25,
        noise=14,
        compressed=0.25,
        quality=25,
    ),
}


def change(
    image: Pixels,
    crops: Pixels,
    boxes: Boxes,
    present: NDArray[np.bool_],
    level: Level,
    random: np.random.Generator,
) -> tuple[Pixels, Pixels, Boxes, NDArray[np.bool_]]:
    """Return an image (H, W, 3), crops of its parts, boxes (D, 4) and present (D,), changed at random together.

    crops (D, S, S, 3), boxes xyxy in [0, 1]. The crops get the light of the image, but do not move.
    """
    strength = STRENGTHS[level]
    picture = Image.fromarray(image)
    if random.random() < strength.moved:
        moved = random_move(picture.width, picture.height, strength, random)
        picture = move_image(picture, moved)
        boxes, present = move_boxes(boxes, present, moved, picture.width, picture.height)
    light = _random_light(strength, random)
    picture = _other_camera(_in_light(picture, light), picture.height, strength, random)
    if crops.size:
        column = Image.fromarray(crops.reshape(-1, *crops.shape[2:]))  # one below the other
        changed = _other_camera(_in_light(column, light), crops.shape[1], strength, random)
        crops = np.asarray(changed).reshape(crops.shape)
    return np.asarray(picture), crops, boxes, present


def random_move(width: int, height: int, strength: Strength, random: np.random.Generator) -> Matrix:
    """Return a random homography (3, 3) of pixels (x, y, 1), corners of the image at (0, 0) and (width, height)."""
    draws = random.uniform(-1, 1, 9)
    turn, zoom = np.radians(strength.turn * draws[0]), np.exp(strength.zoom * draws[1])
    stretch, shear = np.exp(strength.stretch * draws[2] / 2), strength.shear * draws[3]
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = zoom * turned @ np.array([[stretch, shear], [0, 1 / stretch]])
    about_middle = np.eye(3)
    about_middle[:2, :2], about_middle[:2, 2] = linear, strength.shift * draws[4:6] * (width, height)
    about_middle[2, :2] = strength.tilt * draws[6:8] / (width / 2, height / 2)
    to_middle, back = np.eye(3), np.eye(3)
    back[:2, 2] = width / 2, height / 2
    to_middle[:2, 2] = -back[:2, 2]
    moved: Matrix = back @ about_middle @ to_middle
    return moved


def move_image(picture: Image.Image, moved: Matrix) -> Image.Image:
    """Return an image whose pixel at p is moved to the homography of p; what is uncovered has the mean colour."""
    inverse = np.linalg.inv(moved)
    coefficients = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    return picture.transform(
        picture.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR, fillcolor=OUTSIDE
    )


def move_boxes(
    boxes: Boxes, present: NDArray[np.bool_], moved: Matrix, width: int, height: int
) -> tuple[Boxes, NDArray[np.bool_]]:
    """Return the smallest boxes around the moved corners, inside the image, and which are still present.

    A part of which less than LEAST_LEFT is left in the image is absent, with a box of zeros.
    """
    side = np.array([width, height], np.float64)
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] * side  # (D, 4, 2)
    homogeneous = np.concatenate([corners, np.ones((*corners.shape[:2], 1))], axis=2) @ moved.T
    points = homogeneous[..., :2] / homogeneous[..., 2:] / side
    whole = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    inside = whole.clip(0, 1)
    kept = present & (_areas(inside) >= LEAST_LEFT * _areas(whole)) & (_areas(inside) > 0)
    return np.where(kept[:, None], inside, 0).astype(np.float32), kept


def _areas(boxes: Matrix) -> Matrix:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _random_light(strength: Strength, random: np.random.Generator) -> tuple[list[int], float]:
    """Return another exposure, contrast, gamma and white balance as a table of 3 x 256 values, and a saturation."""
    draws = random.uniform(-1, 1, 7)
    gain = np.exp(strength.gain * draws[0] + strength.balance * draws[1:4])[:, None]  # (3, 1)
    value = (gain * RAMP) ** np.exp(strength.gamma * draws[4])
    value = (value - 0.5) * np.exp(strength.contrast * draws[5]) + 0.5
    table = np.rint(255 * value.clip(0, 1)).astype(np.uint8)
    saturation = 0.0 if random.random() < strength.grey else float(np.exp(strength.saturation * draws[6]))
    return table.ravel().tolist(), saturation


def _in_light(picture: Image.Image, light: tuple[list[int], float]) -> Image.Image:
    table, saturation = light
    picture = picture.point(table)
    return Image.blend(picture.convert("L").convert("RGB"), picture, saturation)


def _other_camera(picture: Image.Image, height: int, strength: Strength, random: np.random.Generator) -> Image.Image:
    """Return the image blurred, with noise, and through a JPEG file, each with its own probability.

    The blur is a share of `height`, in pixels.
    """
    if random.random() < strength.blurred:
        picture = picture.filter(ImageFilter.GaussianBlur(strength.blur * height * random.random()))
    if random.random() < strength.noisy:
        grain = random.standard_normal((picture.height, picture.width, 1), np.float32)  # the same in all channels
        grain *= np.float32(strength.noise * random.random())
        noisy = np.asarray(picture, np.int16) + np.rint(grain).astype(np.int16)
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    if random.random() < strength.compressed:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(random.integers(strength.quality, 96)))
        with Image.open(file, formats=["JPEG"]) as compressed:
            picture = compressed.convert("RGB")
    return picture
