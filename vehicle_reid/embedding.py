"""From images to a gallery's entries: boxes by the code of stage one, features by the code of stage two."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.parts.cache import PartBoxes, no_parts
from detect.extraction.job import prepare_job
from detect.extraction.run import detect_parts, pack_parts
from detect.model.reading import collate, read_image
from reid.data.vehicle_images import VehicleImages, part_arrays, resized
from reid.features.blocks import Block, cut
from reid.features.extraction import cached_features, extract_features
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.images import Folder, NamedImages, decodable, readable

if TYPE_CHECKING:
    from detect.model.detector import Detector
    from vehicle_reid.model import VehicleReID

DETECTED = 32  # images at a time, as `detect` takes them: then the boxes are its own, bit for bit
PARTS, FEATURES = "parts.h5", "features.safetensors"


@dataclass(frozen=True)
class Work:
    """A folder for what is finished of one long job, and the processes that read images."""

    folder: Path
    workers: int = 2


def find_parts(detector: "Detector", images: NamedImages) -> PartBoxes:
    """Find the parts of images, sorted by name, in this process; one that cannot be used has a row with the reason."""
    read, found = [], []
    for rows in cut(range(len(images)), DETECTED):
        size = detector.recipe.input_size
        batch = collate([read_image(images.names[row], size, partial(images.pixels, row)) for row in rows])
        found.append(detector.find(batch.pixels, batch.sizes))
        read.append(batch.without_pixels())
    return pack_parts(read, found, {})


def embed_images(
    model: "VehicleReID",
    images: NamedImages,
    given: PartBoxes | None = None,
    *,
    first_id: int = 0,
    work: Work | None = None,
    skip_unreadable: bool = False,
) -> Entries:
    """Return the entries of images, sorted by name, numbered from `first_id` on.

    Boxes are those `given`, else they are detected. With `work` the images must be files of one folder, and a stopped
    call goes on when it is repeated. Raises UserError for an image that cannot be read, unless such are to be skipped.
    """
    if not len(images):
        return no_entries(model)
    images = images.by_name()
    folder = None if work is None else _folder_of(images)
    if not model.recipe.looks_at_parts:
        images = decodable(images) if skip_unreadable else images
        parts = no_parts(images.names)
    else:
        parts = _detected(model, images, folder, work) if given is None else given
        images = readable(images, parts, skip_unreadable)
    if not len(images):
        return no_entries(model)
    matrix, attention = _features(model, images, parts, folder, work)
    rows = parts.rows(images.names)
    boxes, labels = parts.boxes[rows, : model.depth], parts.labels[rows, : model.depth]
    ids = np.arange(first_id, first_id + len(images), dtype=np.int64)
    return Entries(images.names, ids, images.cameras, matrix, boxes, labels, attention)


def no_entries(model: "VehicleReID") -> Entries:
    """Return the entries of no image."""
    numbers, features = np.zeros(0, np.int64), np.zeros((0, model.recipe.features), np.float32)
    boxes, labels = np.zeros((0, model.depth, 4), np.float32), np.zeros((0, model.depth), np.int8)
    return Entries((), numbers, numbers, features, boxes, labels, np.zeros((0, 0), np.float32))


def _folder_of(images: NamedImages) -> Folder:
    if images.folder is None:
        raise UserError("work: only files of one folder can be gone on with; give the folder, or leave work out")
    return images.folder


def _detected(model: "VehicleReID", images: NamedImages, folder: Folder | None, work: Work | None) -> PartBoxes:
    if work is None or folder is None:
        return find_parts(model.detector, images)
    job = prepare_job(images.names, folder.root, model.weights(), work.folder / PARTS, dataset=folder.label)
    detect_parts(job, device=model.device, workers=work.workers)
    parts = job.finished()
    assert parts is not None  # only other processes of `torchrun` come here before it is there
    return parts


def _features(
    model: "VehicleReID", images: NamedImages, parts: PartBoxes, folder: Folder | None, work: Work | None
) -> Block:
    """Return features (N, C) and attention (N, A)."""
    recipe = model.recipe
    if work is not None and folder is not None:
        path, weights = work.folder / FEATURES, str(model.fingerprint["checkpoint"])
        found = cached_features(
            path,
            model.network,
            images.dataset(folder),
            images.names,
            parts,
            recipe,
            weights,
            device=model.device,
            workers=work.workers,
        )
        return found.matrix, found.attention
    boxes, present = part_arrays(parts, images.names, recipe.parts)
    pixels = ResizedImages(images, parts.image_size[parts.rows(images.names)], recipe.image_size)
    paths = [Path(name) for name in images.names]  # only counted: `pixels` gives the images
    listed = VehicleImages(paths, boxes, present, size=recipe.image_size, pixels=pixels)
    return extract_features(model.network, listed, device=model.device, workers=0)


@dataclass(frozen=True, eq=False)
class ResizedImages:
    """Images of any source, resized to a square of `size`; called with a number it gives that image.

    `sizes` (N, 2) are the widths and heights that the boxes were found in; 0 where there are no boxes.
    """

    images: NamedImages
    sizes: NDArray[np.int32]
    size: int

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """Return the image, (size, size, 3). Raises UserError where its size is not that of its boxes' image."""
        pixels = self.images.pixels(index)
        width, height = self.sizes[index].tolist()
        if width and (width, height) != pixels.shape[1::-1]:
            now = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise UserError(
                f"{self.images.names[index]}: is {now} now and was {width} x {height} when its parts were found"
            )
        return resized(pixels, self.size)
