"""Pictures of ranked lists: images at one height, framed by right and wrong, with the part boxes the network weighs."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_cache.datasets import Dataset
from data_cache.errors import UserError
from data_cache.images import load_image
from data_cache.parts import PartBoxes
from reid.features_file import Features
from reid.ranked_lists import RankedList

RIGHT, WRONG, QUERY = (31, 136, 61), (207, 34, 46), (110, 118, 129)
PART = (255, 200, 0)
WIDEST = 2.5  # of the height; wider images are made smaller
FRAME = 4
GAP = 8
CAPTION = 22


@dataclass(frozen=True)
class WeighedBoxes:
    """Part boxes of an image, xyxy in its pixels, (M, 4), with the attention of each, (M,), and the image's size."""

    boxes: NDArray[np.float32]
    weights: NDArray[np.float32]
    image_size: tuple[int, int]


def weighed_boxes(parts: PartBoxes, features: Features, name: str) -> WeighedBoxes:
    """Return the boxes that the network saw in an image; none where it attends to no parts, or the image has none.

    Raises UserError where the image is missing in either.
    """
    row, place = int(parts.rows([name])[0]), int(features.rows([name])[0])
    weights = features.attention[place]
    depth = len(weights) if attends_to_parts(parts, features) else 0
    present = parts.labels[row, :depth] >= 0
    width, height = parts.image_size[row].tolist()
    return WeighedBoxes(parts.boxes[row, :depth][present], weights[:depth][present], (width, height))


def attends_to_parts(parts: PartBoxes, features: Features) -> bool:
    """Whether the attention is over the part boxes: a grid's cells are more than the boxes, a baseline has none."""
    return 0 < features.attention.shape[1] <= parts.labels.shape[1]


def tile(
    image: NDArray[np.uint8], boxes: WeighedBoxes, frame: tuple[int, int, int], *, height: int = 180
) -> Image.Image:
    """Return an image (H, W, 3) at `height` pixels with its boxes and a frame; more attention is a stronger line.

    Raises UserError where the boxes are of an image of another size.
    """
    picture = Image.fromarray(image)
    if len(boxes.boxes) and picture.size != boxes.image_size:
        raise UserError(
            f"the image is {picture.size} now and was {boxes.image_size} when its parts were detected; "
            "run `python cli.py detect` again"
        )
    scale = min(height / picture.height, WIDEST * height / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    picture = _with_boxes(picture, boxes.boxes * np.float32(scale), boxes.weights)
    framed = Image.new("RGB", (size[0] + 2 * FRAME, height + 2 * FRAME), frame)
    framed.paste((24, 24, 24), (FRAME, FRAME, FRAME + size[0], FRAME + height))
    framed.paste(picture, (FRAME, FRAME + (height - size[1]) // 2))
    return framed


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


def tiles_of(
    found: RankedList, dataset: Dataset, parts: PartBoxes, features: Features, *, height: int = 180
) -> list[Image.Image]:
    """Return the tiles of a list: the query in grey, then its images, green where right and red where wrong."""
    frames = [QUERY, *(RIGHT if image.right else WRONG for image in found.images)]
    tiles = []
    for name, frame in zip([found.query, *(image.name for image in found.images)], frames, strict=True):
        try:
            pixels = load_image(dataset.path(name))
            tiles.append(tile(pixels, weighed_boxes(parts, features, name), frame, height=height))
        except UserError as error:
            raise UserError(f"{name}: no picture of it can be made: {error}") from error
    return tiles


def strip(tiles: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Return tiles of one height in a row, each above its caption, the first (the query) set apart."""
    left = np.cumsum([0, *(picture.width + GAP for picture in tiles)]) + GAP
    left[1:] += GAP
    canvas = Image.new("RGB", (int(left[-1]), tiles[0].height + CAPTION + 2 * GAP), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    for picture, caption, x in zip(tiles, captions, left[:-1].tolist(), strict=True):
        canvas.paste(picture, (x, GAP))
        draw.text((x + FRAME, picture.height + GAP + 4), caption, fill=(36, 41, 47), font=font)
    return canvas


def captions_of(found: RankedList) -> list[str]:
    """Return what stands under each tile of a list: score and camera."""
    return [
        f"query{_camera(found.camera)}",
        *(f"{image.score:.3f}{_camera(image.camera)}" for image in found.images),
    ]


def _camera(camera: int) -> str:
    return "" if camera < 0 else f"  cam {camera}"


def strip_png(found: RankedList, dataset: Dataset, parts: PartBoxes, features: Features) -> bytes:
    """Return the picture of a ranked list, as PNG. Raises UserError naming the image that cannot be shown."""
    return encode(strip(tiles_of(found, dataset, parts, features), captions_of(found)), "PNG")


def encode(picture: Image.Image, kind: str) -> bytes:
    """Return a picture as PNG or JPEG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 82} if kind == "JPEG" else {"optimize": True}))
    return buffer.getvalue()
