"""Thumbnails: images at one height with a coloured frame, and the part boxes or a heatmap drawn on them."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command
from data_cache.datasets.dataset import Dataset
from data_cache.images.drawing import Mark, draw_keys
from data_cache.images.loading import load_image
from reid.report.evaluated_run import EvaluatedRun
from reid.report.pictures.covering import Covering, draw_effects
from reid.report.pictures.heatmaps import FloatMap, overlay
from reid.retrieval.ranked_lists import RankedList

RIGHT, WRONG, QUERY = (31, 136, 61), (207, 34, 46), (110, 118, 129)
BOX_COLOUR = (255, 200, 0)
MAX_ASPECT = 2.5  # width / height; wider images are scaled down
PAGE_ASPECT = 4 / 3  # the same for pictures without a frame, which a page shows in cells of this shape
FRAME = 4
BACKGROUND = (24, 24, 24)  # above and below a scaled-down image
Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class WeightedBoxes:
    """Part boxes of an image, xyxy in its pixels, (M, 4); their attention weights and part names, (M,); image size."""

    boxes: NDArray[np.float32]
    weights: NDArray[np.float32]
    image_size: tuple[int, int]
    parts: tuple[str, ...] = ()

    def strongest(self, count: int) -> list[tuple[str, float]]:
        """Return the `count` parts with the largest weights, largest first."""
        order = np.argsort(-self.weights, kind="stable")[:count]
        return [(self.parts[index], float(self.weights[index])) for index in order]


def weighted_boxes(run: EvaluatedRun, name: str) -> WeightedBoxes:
    """Return the boxes of an image that the network's attention weighs, if any.

    Raises UserError if the part cache or the features lack the image.
    """
    parts = run.parts
    row, feature_row = int(parts.rows([name])[0]), int(run.features.rows([name])[0])
    weights = run.features.attention[feature_row]
    top_d = len(weights) if run.attends_to_parts else 0
    present = parts.labels[row, :top_d] >= 0
    width, height = parts.image_size[row].tolist()
    names = tuple(parts.part_names[label] for label in parts.labels[row, :top_d][present])
    return WeightedBoxes(parts.boxes[row, :top_d][present], weights[:top_d][present], (width, height), names)


def list_thumbnails(
    run: EvaluatedRun, ranked: RankedList, *, height: int, show_weights: bool = False
) -> list[Image.Image]:
    """Return the thumbnails of a ranked list, the query first. Raises UserError as `image_thumbnail`."""
    return [
        image_thumbnail(run, name, frame, height=height, show_weights=show_weights)
        for name, frame in frame_colours(ranked)
    ]


def image_thumbnail(
    run: EvaluatedRun, name: str, frame: Colour | None, *, height: int, show_weights: bool = False
) -> Image.Image:
    """Return the thumbnail of an image with its weighted part boxes. Raises UserError if it cannot be drawn."""
    try:
        pixels = load_image(run.dataset.path(name), turned=run.parts.turned)
        return draw_thumbnail(pixels, weighted_boxes(run, name), frame, height=height, show_weights=show_weights)
    except UserError as error:
        raise UserError(f"{name}: cannot be drawn: {error}") from error


def photo_thumbnail(dataset: Dataset, name: str, *, height: int, turned: bool) -> Image.Image:
    """Return the thumbnail of an image for a page, without boxes; `turned` as EXIF says. Raises UserError likewise."""
    try:
        return resize_to_height(load_image(dataset.path(name), turned=turned), height, PAGE_ASPECT)[0]
    except UserError as error:
        raise UserError(f"{name}: cannot be drawn: {error}") from error


def heatmap_thumbnail(run: EvaluatedRun, name: str, heatmap: FloatMap, frame: Colour, *, height: int) -> Image.Image:
    """Return the thumbnail of an image under a heatmap (h, w) in [0, 1]."""
    picture, _ = resize_to_height(load_image(run.dataset.path(name), turned=run.parts.turned), height)
    return add_frame(overlay(picture, heatmap), frame, height)


def covering_thumbnail(
    run: EvaluatedRun, name: str, covering: Covering, frame: Colour | None, *, height: int, largest: float
) -> Image.Image:
    """Return the thumbnail of an image under what covering its squares does; `largest` is the effect in full colour."""
    picture, _ = resize_to_height(load_image(run.dataset.path(name), turned=run.parts.turned), height)
    picture = draw_effects(picture, covering.squares, largest)
    return picture if frame is None else add_frame(picture, frame, height)


def draw_thumbnail(
    image: NDArray[np.uint8], boxes: WeightedBoxes, frame: Colour | None, *, height: int, show_weights: bool = False
) -> Image.Image:
    """Return an image (H, W, 3) at `height` pixels, framed, with its boxes: larger weights have stronger lines.

    `show_weights` writes the attention in percent, "35%", beside each box. Without a `frame` the picture keeps its own
    height, which is less than `height` if it is wider than PAGE_ASPECT. Raises UserError if the image has changed its
    size since its parts were detected.
    """
    if len(boxes.boxes) and image.shape[1::-1] != boxes.image_size:
        raise UserError(
            f"the image is {image.shape[1::-1]} now and was {boxes.image_size} when its parts were detected; "
            f"run {remedy_command('detect')} again"
        )
    picture, scale = resize_to_height(image, height, MAX_ASPECT if frame else PAGE_ASPECT)
    picture = _draw_boxes(picture, boxes.boxes * np.float32(scale), boxes.weights)
    if show_weights:
        picture = _draw_weights(picture, boxes, scale)
    return picture if frame is None else add_frame(picture, frame, height)


def resize_to_height(
    image: NDArray[np.uint8], height: int, max_aspect: float = MAX_ASPECT
) -> tuple[Image.Image, float]:
    """Return an image (H, W, 3) resized to `height`, and the scale; wider ones than `max_aspect` are scaled further."""
    picture = Image.fromarray(image)
    scale = min(height / picture.height, max_aspect * height / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS), scale


def add_frame(picture: Image.Image, frame: Colour, height: int) -> Image.Image:
    """Return a picture in a frame with an inner height of `height` pixels."""
    framed = Image.new("RGB", (picture.width + 2 * FRAME, height + 2 * FRAME), frame)
    framed.paste(BACKGROUND, (FRAME, FRAME, FRAME + picture.width, FRAME + height))
    framed.paste(picture, (FRAME, FRAME + (height - picture.height) // 2))
    return framed


def frame_colours(ranked: RankedList) -> list[tuple[str, Colour]]:
    """Return the image names of a ranked list with their frame colours: query grey, right green, wrong red."""
    return [(ranked.query, QUERY), *((image.name, RIGHT if image.right else WRONG) for image in ranked.images)]


def encode_jpeg(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def _draw_boxes(picture: Image.Image, boxes: NDArray[np.float32], weights: NDArray[np.float32]) -> Image.Image:
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    strongest = max(float(weights.max(initial=0.0)), 1e-9)
    for index in np.argsort(weights, kind="stable"):  # the strongest last, on top
        share = float(weights[index]) / strongest
        corners = boxes[index].tolist()
        draw.rectangle(corners, outline=(0, 0, 0, round(60 + 120 * share)), width=round(1 + 2 * share) + 1)
        draw.rectangle(corners, outline=(*BOX_COLOUR, round(90 + 165 * share)), width=round(1 + 2 * share))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _draw_weights(picture: Image.Image, boxes: WeightedBoxes, scale: float) -> Image.Image:
    order = np.argsort(-boxes.weights, kind="stable")
    marks = [Mark(tuple(boxes.boxes[row].tolist()), BOX_COLOUR, f"{100 * boxes.weights[row]:.0f}%") for row in order]
    return draw_keys(picture, marks, scale)
