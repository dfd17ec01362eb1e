"""Tiles: images at one height, framed by right and wrong, with the part boxes that the network weighs."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.images.drawing import Mark, draw_keys
from data_cache.images.loading import load_image
from data_cache.parts.cache import PartBoxes
from reid.features.file import Features
from reid.retrieval.ranked_lists import RankedList

RIGHT, WRONG, QUERY = (31, 136, 61), (207, 34, 46), (110, 118, 129)
PART = (255, 200, 0)
WIDEST = 2.5  # of the height; wider images are made smaller
FRAME = 4
GROUND = (24, 24, 24)  # above and below an image that is wider
Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class WeighedBoxes:
    """Part boxes of an image, xyxy in its pixels, (M, 4), attention and name of each, (M,), and the image's size."""

    boxes: NDArray[np.float32]
    weights: NDArray[np.float32]
    image_size: tuple[int, int]
    parts: tuple[str, ...] = ()

    def strongest(self, count: int) -> list[tuple[str, float]]:
        """Return the parts of the most attention, with their weights, the most first."""
        order = np.argsort(-self.weights, kind="stable")[:count]
        return [(self.parts[place], float(self.weights[place])) for place in order]


def weighed_boxes(parts: PartBoxes, features: Features, name: str) -> WeighedBoxes:
    """Return the boxes that the network saw in an image; none where it attends to no parts, or the image has none.

    Raises UserError where the image is missing in either.
    """
    row, place = int(parts.rows([name])[0]), int(features.rows([name])[0])
    weights = features.attention[place]
    depth = len(weights) if attends_to_parts(parts, features) else 0
    present = parts.labels[row, :depth] >= 0
    width, height = parts.image_size[row].tolist()
    names = tuple(parts.part_names[label] for label in parts.labels[row, :depth][present])
    return WeighedBoxes(parts.boxes[row, :depth][present], weights[:depth][present], (width, height), names)


def attends_to_parts(parts: PartBoxes, features: Features) -> bool:
    """Whether the attention is over the part boxes: a grid's cells are more than the boxes, a baseline has none."""
    return 0 < features.attention.shape[1] <= parts.labels.shape[1]


def tile(
    image: NDArray[np.uint8], boxes: WeighedBoxes, frame: Colour, *, height: int = 180, keyed: bool = False
) -> Image.Image:
    """Return an image (H, W, 3) at `height` pixels with its boxes and a frame; more attention is a stronger line.

    `keyed` puts the attention, in percent, beside each box. Raises UserError where the boxes are of an image of another
    size.
    """
    if len(boxes.boxes) and image.shape[1::-1] != boxes.image_size:
        raise UserError(
            f"the image is {image.shape[1::-1]} now and was {boxes.image_size} when its parts were detected; "
            "run `python cli.py detect` again"
        )
    picture, scale = at_height(image, height)
    drawn = _with_boxes(picture, boxes.boxes * np.float32(scale), boxes.weights)
    return framed(_with_keys(drawn, boxes, scale) if keyed else drawn, frame, height)


def at_height(image: NDArray[np.uint8], height: int) -> tuple[Image.Image, float]:
    """Return an image (H, W, 3) that many pixels high, and its scale; one that would be too wide is made smaller."""
    picture = Image.fromarray(image)
    scale = min(height / picture.height, WIDEST * height / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS), scale


def framed(picture: Image.Image, frame: Colour, height: int) -> Image.Image:
    """Return a picture in a frame whose inside is `height` pixels high."""
    whole = Image.new("RGB", (picture.width + 2 * FRAME, height + 2 * FRAME), frame)
    whole.paste(GROUND, (FRAME, FRAME, FRAME + picture.width, FRAME + height))
    whole.paste(picture, (FRAME, FRAME + (height - picture.height) // 2))
    return whole


def _with_boxes(picture: Image.Image, boxes: NDArray[np.float32], weights: NDArray[np.float32]) -> Image.Image:
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    strongest = max(float(weights.max(initial=0.0)), 1e-9)
    for index in np.argsort(weights, kind="stable"):  # the strongest is drawn last, on top
        share = float(weights[index]) / strongest
        corners = boxes[index].tolist()
        draw.rectangle(corners, outline=(0, 0, 0, round(60 + 120 * share)), width=round(1 + 2 * share) + 1)
        draw.rectangle(corners, outline=(*PART, round(90 + 165 * share)), width=round(1 + 2 * share))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _with_keys(picture: Image.Image, boxes: WeighedBoxes, scale: float) -> Image.Image:
    order = np.argsort(-boxes.weights, kind="stable")
    marks = [Mark(tuple(boxes.boxes[row].tolist()), PART, f"{100 * boxes.weights[row]:.0f}") for row in order]
    return draw_keys(picture, marks, scale)


def frames_of(found: RankedList) -> list[tuple[str, Colour]]:
    """Return the images of a list with their frames: the query grey, then green where right and red where wrong."""
    return [(found.query, QUERY), *((image.name, RIGHT if image.right else WRONG) for image in found.images)]


def tiles_of(
    found: RankedList,
    dataset: Dataset,
    parts: PartBoxes,
    features: Features,
    *,
    height: int = 180,
    keyed: bool = False,
) -> list[Image.Image]:
    """Return the tiles of a list, the query's first; see `tile`. Raises UserError naming the image without one."""
    return [
        tile_of(name, frame, dataset, parts, features, height=height, keyed=keyed) for name, frame in frames_of(found)
    ]


def tile_of(
    name: str,
    frame: Colour,
    dataset: Dataset,
    parts: PartBoxes,
    features: Features,
    *,
    height: int = 180,
    keyed: bool = False,
) -> Image.Image:
    """Return the tile of an image with the boxes that the network saw. Raises UserError naming the image."""
    try:
        pixels = load_image(dataset.path(name))
        return tile(pixels, weighed_boxes(parts, features, name), frame, height=height, keyed=keyed)
    except UserError as error:
        raise UserError(f"{name}: no picture of it can be made: {error}") from error


def encode(picture: Image.Image, kind: str) -> bytes:
    """Return a picture as PNG or JPEG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 82} if kind == "JPEG" else {"optimize": True}))
    return buffer.getvalue()
