"""How things stand in a picture: a sprite drawn upright at its place on the ground, and the shadow at its foot."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.gbuffer import TO_LINEAR
from data_cache.synthetic.scene.light import Light
from data_cache.synthetic.scene.wide.place.sprites import Sprite

Window = tuple[slice, slice]  # rows and columns
NEAREST_M, LEAST_PX = 0.7, 3.0  # nothing nearer to the camera or lower in the picture is drawn


@dataclass(frozen=True)
class Standing:
    """A thing in a window (h, w) of the picture."""

    window: Window
    light: Floats  # (h, w, 3) linear
    opacity: Floats  # (h, w)
    depth: float  # metres along the camera's axis


def paint_sprite(
    sprite: Sprite, position: Floats, camera: Camera, light: Light, shape: tuple[int, int]
) -> Standing | None:
    """Paint a thing standing at (x, y) for a picture of `shape` (H, W); return None if it is not in the picture."""
    (foot, top), depths = camera.project(np.array([[*position, 0.0], [*position, sprite.height]]))
    tall = float(np.linalg.norm(top - foot))
    if depths[0] < NEAREST_M or tall < LEAST_PX:
        return None
    colour, cover = _shrunk(sprite, tall / sprite.colour.shape[0])
    rows, columns = cover.shape
    down = (foot - top) / rows  # steps in the picture of one row and one column of the sprite
    across = (foot - top)[::-1] * [1, -1] * sprite.aspect / columns
    matrix = np.column_stack([across, down, foot - columns / 2 * across - rows * down])
    corners = np.array([[0, 0, 1], [columns, 0, 1], [0, rows, 1], [columns, rows, 1]]) @ matrix.T
    window = _window(corners.min(axis=0), corners.max(axis=0), shape)
    if window is None:
        return None
    matrix[:, 2] -= (window[1].start, window[0].start)
    size = (window[1].stop - window[1].start, window[0].stop - window[0].start)
    opacity = cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    painted = cv2.warpAffine(colour, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Standing(window, TO_LINEAR[painted] * _on_upright(light, camera), np.asarray(opacity), float(depths[0]))


def darken_foot(picture: Floats, sprite: Sprite, position: Floats, camera: Camera) -> None:
    """Darken the ground around the foot of a thing, which would seem to float otherwise."""
    foot, depth = camera.project(np.array([*position, 0.0]))
    if depth < NEAREST_M:
        return
    across = 0.6 * sprite.width * camera.focal_px / float(depth)
    reach = np.array([across, across * max(0.12, float(camera.position[2] / depth))])  # flatter if seen from low
    window = _window(foot - 2 * reach, foot + 2 * reach, picture.shape)
    if window is None:
        return
    rows, columns = (np.arange(part.start, part.stop) + 0.5 for part in window)
    away = ((columns - foot[0]) / reach[0])[None] ** 2 + ((rows - foot[1]) / reach[1])[:, None] ** 2
    picture[window] *= (1 - 0.6 * np.exp(-2 * away))[..., None].astype(np.float32)


def _window(low: Floats, high: Floats, shape: tuple[int, ...]) -> Window | None:
    """Return the pixels of a picture between two positions (column, row), None if there are none."""
    limits = [shape[1], shape[0]]
    left, top = np.clip(np.floor(low), 0, limits).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), 0, limits).astype(int).tolist()
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


def _shrunk(sprite: Sprite, scale: float) -> tuple[Bytes, Bytes]:
    """Return the sprite's picture and opacity, shrunk by area if it is drawn much smaller than painted."""
    if scale > 0.6:
        return sprite.colour, sprite.opacity
    size = tuple(max(1, round(length * scale * 1.3)) for length in sprite.colour.shape[1::-1])
    colour, opacity = (
        cv2.resize(layer, size, interpolation=cv2.INTER_AREA) for layer in (sprite.colour, sprite.opacity)
    )
    return np.asarray(colour, dtype=np.uint8), np.asarray(opacity, dtype=np.uint8)


def _on_upright(light: Light, camera: Camera) -> Floats:
    """Return the light (3,) on an upright surface that faces the camera."""
    facing = max(float(-camera.rotation[2] @ light.sun[:, 0]), 0.0)
    sent = facing * light.sun_colour + 0.35 * light.zenith + 0.45 * light.horizon + 0.2 * light.ground
    return np.asarray(sent[:, 0])
