"""What covering a region of an image does to its score with another image: the regions that a network relies on.

A region is covered with the mean colour, as random erasing does in training, and so it is in the crops of parts that
show it; the feature is computed again, and boxes stay where they are. Maps of feature values mislead: at the border
they show the zero padding of the convolutions, not the vehicle.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from reid.data.augmentation import MEAN_PIXEL
from reid.data.vehicle_images import Item, VehicleImages, collate
from reid.data.views import crop_window
from reid.features.extraction import BATCH
from reid.model.checkpoint import TrainedNetwork

FloatMap = NDArray[np.float32]
Region = tuple[slice, slice]  # rows and columns
GRID = 8  # squares along each side
LOWERS, RAISES = (214, 39, 40), (31, 90, 200)  # red: covering lowers the score; blue: it raises the score
OPACITY = 0.75  # of the largest effect
MEANING = "red: covering the square with grey lowers the score, so the network relies on it; blue: it raises the score"


@dataclass(frozen=True, eq=False)
class Covering:
    """An image's cosine `score` with another image, and what covering a region adds to it.

    `squares` (GRID, GRID) is the score with that square covered minus `score`; `parts` (D,) the same by part box, NaN
    where there is none. Negative values lower the score.
    """

    score: float
    squares: FloatMap
    parts: FloatMap

    @property
    def largest(self) -> float:
        """The largest effect of a square, without its sign."""
        return float(np.abs(self.squares).max(initial=0.0))


def covering_effects(
    network: TrainedNetwork, images: VehicleImages, references: FloatMap, *, device: str, grid: int = GRID
) -> list[Covering]:
    """Return the effects for all images, in order; `references` (N, F) are the normalised features to compare with.

    A reference may also be the difference of two, whose `score` is then that of two cosines. Without `grid` only part
    boxes are covered.

    The network is in evaluation mode, in float32. Raises ImageError if a file cannot be read.
    """
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    effects = []
    for index in range(len(images)):
        item = images[index]
        height, width = item.image.shape[1:]
        present = item.labels >= 0
        regions = list(grid_regions(height, width, grid)) if grid else []
        regions += [box_region(box, height, width) for box in item.boxes[present].tolist()]
        scores = _scores(network, item, regions, references[index], device)
        by_part = np.full(len(present), np.nan, np.float32)
        by_part[present.numpy()] = scores[1 + grid * grid :] - scores[0]
        squares = (scores[1 : 1 + grid * grid] - scores[0]).reshape(grid, grid)
        effects.append(Covering(float(scores[0]), squares, by_part))
    return effects


def grid_regions(height: int, width: int, grid: int) -> Iterator[Region]:
    """Yield the squares of an image in pixels, row by row; together they cover it once."""
    rows, columns = ([round(side * index / grid) for index in range(grid + 1)] for side in (height, width))
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield slice(top, bottom), slice(left, right)


def box_region(box: Sequence[float], height: int, width: int) -> Region:
    """Return the pixels that a box, xyxy in [0, 1], touches in an image; at least one."""
    x0, y0, x1, y1 = (value * side for value, side in zip(box, (width, height, width, height), strict=True))
    left, top = min(int(x0), width - 1), min(int(y0), height - 1)
    return slice(top, max(top + 1, int(np.ceil(y1)))), slice(left, max(left + 1, int(np.ceil(x1))))


def draw_effects(picture: Image.Image, squares: FloatMap, largest: float) -> Image.Image:
    """Return a picture in grey with each square in red or blue, the stronger the closer its effect is to `largest`."""
    share = np.clip(squares / largest, -1, 1) if largest > 0 else np.zeros_like(squares)
    tint = np.where(share[..., None] < 0, LOWERS, RAISES).astype(np.uint8)
    alpha = (255 * OPACITY * np.abs(share)).round().astype(np.uint8)
    layer = Image.fromarray(np.dstack([tint, alpha]), "RGBA").resize(picture.size, Image.Resampling.NEAREST)
    return Image.alpha_composite(picture.convert("L").convert("RGBA"), layer).convert("RGB")


def _scores(
    network: TrainedNetwork, item: Item, regions: Sequence[Region], reference: FloatMap, device: str
) -> FloatMap:
    """Return the cosine of an image with `reference`, as it is and with each region covered."""
    items = [item, *(_covered(item, region) for region in regions)]
    scores = []
    for first in range(0, len(items), BATCH[device]):
        batch = collate(items[first : first + BATCH[device]])
        with torch.inference_mode():
            features, _ = network.embed(*batch.inputs(device))
            features = torch.nn.functional.normalize(features.float(), dim=1)
            scores.append(features @ torch.from_numpy(reference).to(device))
    return np.asarray(torch.cat(scores).cpu(), dtype=np.float32)


def _covered(item: Item, region: Region) -> Item:
    """Return an item with a region covered in its image, and in the crops that show it."""
    colour = torch.from_numpy(MEAN_PIXEL)[:, None, None]
    image, crops = item.image.clone(), item.crops.clone()
    image[:, region[0], region[1]] = colour
    for crop, box, label in zip(crops, item.boxes.numpy(), item.labels.tolist(), strict=False):
        if label >= 0:
            rows, columns = _inside_crop(region, crop_window(box), image.shape[1:], crop.shape[1])
            crop[:, rows, columns] = colour
    return item._replace(image=image, crops=crops)


def _inside_crop(region: Region, window: NDArray[np.float64], sides: Sequence[int], crop: int) -> Region:
    """Return the pixels of a crop with side `crop` that show a region of an image with `sides` (height, width)."""
    slices = []
    for part, side, low, high in zip(region, sides, window[[1, 0]], window[[3, 2]], strict=True):
        first, last = ((end / side - low) / (high - low) * crop for end in (part.start, part.stop))
        slices.append(slice(max(0, int(np.floor(first))), max(0, int(np.ceil(last)))))
    return slices[0], slices[1]
