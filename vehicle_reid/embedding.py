"""Both stages on named images: part boxes, then features, in memory or in a work folder so that a long job resumes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.parts.cache import PartBoxes
from data_cache.parts.names import CACHE_FILE
from detect.extraction.job import prepare_job
from detect.extraction.run import detect_parts
from detect.extraction.shards import detect_batches
from detect.model.reading import collate, read_image
from reid.data.hiding import hidden_boxes
from reid.data.vehicle_images import VehicleImages, part_arrays
from reid.data.views import ViewMaker, Views
from reid.features.blocks import Block, cut
from reid.features.extraction import FeatureSource, cached_features, extract_features
from reid.model.checkpoint import TrainedNetwork
from reid.recipes import ReidRecipe
from vehicle_reid.images import NamedImages

if TYPE_CHECKING:
    from detect.model.detector import Detector

DETECTION_BATCH = 32  # the batch size of `detect`: the boxes are then equal bit for bit
PARTS, FEATURES = CACHE_FILE, "features.safetensors"


@dataclass(frozen=True)
class WorkFolder:
    """The folder of a resumable job, and the number of processes that read its images."""

    path: Path
    workers: int = 2


def find_parts(detector: "Detector", images: NamedImages) -> PartBoxes:
    """Return the parts of images sorted by name; the row of an unreadable image has the reason."""
    size = detector.recipe.input_size
    batches = (
        collate([read_image(images.names[row], size, partial(images.pixels, row)) for row in rows])
        for rows in cut(range(len(images)), DETECTION_BATCH)
    )
    return detect_batches(detector, batches)


def find_parts_resumable(weights: Path, images: NamedImages, work: WorkFolder, device: str) -> PartBoxes:
    """Return the parts of images in one folder by stage one; shards that a stopped call finished are reused."""
    dataset = images.dataset()
    job = prepare_job(images.names, dataset.root, weights, work.path / PARTS, dataset=dataset.name)
    detect_parts(job, device=device, workers=work.workers)
    parts = job.finished()
    assert parts is not None  # only the other processes of `torchrun` return earlier
    return parts


def compute_features(
    network: TrainedNetwork,
    recipe: ReidRecipe,
    checkpoint: str,
    images: NamedImages,
    parts: PartBoxes,
    work: WorkFolder | None,
    device: str,
) -> Block:
    """Return features (N, C) and attention (N, A) of images with their parts; `checkpoint` is the hash of the weights.

    With `work` the images must be in one folder, and blocks that a stopped call finished are reused.
    """
    if work is not None:
        source = FeatureSource(images.dataset(), images.names, parts, recipe, checkpoint)
        features = cached_features(work.path / FEATURES, network, source, Compute(device, work.workers))
        return features.matrix, features.attention
    boxes, labels = part_arrays(parts, images.names, recipe.parts)
    maker = ViewMaker(recipe.input_size, hidden_boxes(parts, images.names), recipe.part_crops, boxes, labels >= 0)
    views = ImageViews(images, parts.image_size[parts.rows(images.names)], maker)
    return extract_features(network, VehicleImages(views, boxes, labels), device=device, workers=0)


@dataclass(frozen=True, eq=False)
class ImageViews:
    """Views of images of any source; calling it with an index returns those of that image.

    `detected_sizes` (N, 2) are the width and height when the parts were found, 0 for images without boxes.
    """

    images: NamedImages
    detected_sizes: NDArray[np.int32]
    maker: ViewMaker

    def __call__(self, index: int) -> Views:
        """Return the views. Raises UserError if the image's size has changed since its parts were found."""
        pixels = self.images.pixels(index)
        width, height = self.detected_sizes[index].tolist()
        if width and (width, height) != pixels.shape[1::-1]:
            raise UserError(
                f"{self.images.names[index]}: is {pixels.shape[1]} x {pixels.shape[0]} now and was {width} x {height} "
                "when its parts were found; find its parts again"
            )
        return self.maker(index, pixels)
