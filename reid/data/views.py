"""What a network sees of an image: the whole, resized, and for some networks a crop of each part besides.

The network's input shrinks a photograph, and a sticker of 20 pixels to 6. A crop shows the part as the camera saw it,
whatever the size of the input.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.data.augmentation import Boxes, Pixels
from reid.data.hiding import cover
from reid.data.pixel_file import Size, height_and_width

RESAMPLING = Image.Resampling.BILINEAR
MARGIN = 0.15  # of a box's width and height, on each side: a detector's edges are a pixel or two off
NO_CROPS = np.zeros((0, 0, 0, 3), np.uint8)


class Views(NamedTuple):
    """`image` (H, W, 3) uint8, and `crops` (D, S, S, 3) uint8, black where there is no part; NO_CROPS without crops."""

    image: Pixels
    crops: Pixels = NO_CROPS


@dataclass(frozen=True, eq=False)
class ViewMaker:
    """Makes the views of N images from their pixels as stored, (H, W, 3).

    Boxes `hidden` (N, H, 4), in pixels, are covered first, see `cover`. The whole is resized to `size`. With `crop`,
    its side in pixels, every one of `boxes` (N, D, 4), xyxy in [0, 1], that is `present` (N, D) has a crop.
    """

    size: Size
    hidden: Boxes | None = None
    crop: int = 0
    boxes: Boxes = field(default_factory=lambda: np.zeros((0, 0, 4), np.float32))
    present: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))

    def __call__(self, index: int, pixels: Pixels) -> Views:
        """Return the views of the image of that index."""
        if self.hidden is not None:
            pixels = cover(pixels, self.hidden[index])
        whole = resized(pixels, self.size)
        if not self.crop:
            return Views(whole)
        return Views(whole, part_crops(pixels, self.boxes[index], self.present[index], self.crop))


def part_crops(pixels: Pixels, boxes: Boxes, present: NDArray[np.bool_], side: int) -> Pixels:
    """Return a square crop of each part of an image as stored, (D, side, side, 3); see `crop_window`."""
    crops = np.zeros((len(boxes), side, side, 3), np.uint8)
    picture, size = Image.fromarray(pixels), 2 * pixels.shape[1::-1]
    for part in np.flatnonzero(present).tolist():
        left, top, right, bottom = (crop_window(boxes[part]) * size).tolist()
        crops[part] = np.asarray(picture.resize((side, side), RESAMPLING, box=(left, top, right, bottom)))
    return crops


def crop_window(box: Sequence[float] | NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what the crop of a box shows, xyxy in [0, 1] of the image: the box with its MARGIN, inside the image."""
    x0, y0, x1, y1 = np.asarray(box, np.float64).tolist()
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    return np.array([x0 - across, y0 - down, x1 + across, y1 + down]).clip(0, 1)


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Return an image (H, W, 3) resized to `size`; the aspect ratio is not kept."""
    height, width = height_and_width(size)
    return np.array(Image.fromarray(pixels).resize((width, height), RESAMPLING))
