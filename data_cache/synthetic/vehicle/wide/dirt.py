"""Dirt on the skins of a vehicle and dust on its wheels."""

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.atlas import Colour
from data_cache.synthetic.vehicle.canvas import Canvas, details_of

DIRT_HEIGHT = 0.95  # metres above the road up to which a vehicle is dirty
DUST: Colour = (118, 108, 92)  # of brakes and roads, on wheels


def paint_dirt(canvas: Canvas) -> None:
    """Blend dirt into the lower parts of all upright skins, in irregular patches."""
    details = details_of(canvas)
    rng = np.random.default_rng(details.dirt_seed)
    for name in ("front", "rear", "left", "right"):
        skin = canvas.skin(name)
        height = skin.view.top - (np.arange(skin.view.rows) + 0.5) * skin.view.texel
        share = 0.85 * details.dirt * np.clip(1 - height / DIRT_HEIGHT, 0, 1) ** 1.4
        _blend(skin.colour, details.dirt_tone, share[:, None], rng.uniform(0.4, 1.0, (8, 24)))


def paint_dust(canvas: Canvas) -> None:
    """Blend dust over the whole face of the wheels, in patches."""
    details, skin = details_of(canvas), canvas.skin("wheel")
    patches = np.random.default_rng(details.dirt_seed).uniform(0.2, 1.0, (6, 6))
    face = skin.colour[: skin.view.rows, : skin.view.columns]
    _blend(face, DUST, np.full((1, 1), 0.7 * details.rim.dirt), patches)


def _blend(face: Bytes, tone: Colour, share: Floats, patches: Floats) -> None:
    """Blend a colour into a face (R, C, 3), by `share` (R or 1, 1) times coarse `patches`."""
    size = (face.shape[1], face.shape[0])
    spread = cv2.resize(patches.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    blend = (share * spread)[..., None]
    face[:] = np.clip(face * (1 - blend) + np.array(tone) * blend, 0, 255).astype(np.uint8)
