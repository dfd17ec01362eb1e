"""Training images decoded once, at training size: pixel files, made by several processes and used while up to date.

One file holds the images; for networks that look at crops of the parts, a second one holds these.
"""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import features
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from data_cache.base.errors import UserError, initialize_worker, worker_death_as_user_error
from data_cache.base.files import path_exists, remove_temporary_files, replacing
from data_cache.base.locks import run_lock
from data_cache.base.progress import track
from data_cache.base.remote.addresses import require_path
from data_cache.datasets.dataset import Dataset
from data_cache.images.batches import loaded_batches
from data_cache.parts.cache import PartBoxes
from reid.data.augmentation import Pixels
from reid.data.hiding import HIDING, hidden_boxes
from reid.data.pixel_file import ROWS, PixelFile, Size, digest_of, header_of, height_and_width, open_pixels, shape_of
from reid.data.vehicle_images import FileViews, image_paths, part_arrays
from reid.data.views import MARGIN, NO_CROPS, RESAMPLING, ViewMaker, Views

log = logging.getLogger(__name__)

FORMAT = 2  # raise it if the file format, `load_image` or the resizing changes: old files are then made again


@dataclass(frozen=True)
class DecodedViews:
    """The files of decoded images, and of the crops of their parts if the network reads crops."""

    images: PixelFile
    crops: PixelFile | None = None

    def views(self, names: Sequence[str]) -> Callable[[int], Views]:
        """Return a function from an index into `names` to the views of that image, read-only.

        Raises UserError for a name that is not in a file.
        """
        return _ViewsOfRows(self.images.images(names), None if self.crops is None else self.crops.images(names))


@dataclass(frozen=True, eq=False)
class _ViewsOfRows:
    images: Callable[[int], Pixels]
    crops: Callable[[int], Pixels] | None

    def __call__(self, index: int) -> Views:
        return Views(self.images(index), NO_CROPS if self.crops is None else _cut(self.crops(index)))


def _column(crops: Pixels) -> Pixels:
    """Return crops (D, S, S, 3) as one image, one below the other: (D * S, S, 3)."""
    return crops.reshape(-1, *crops.shape[2:])


def _cut(column: Pixels) -> Pixels:
    """Undo `_column`."""
    return column.reshape(-1, column.shape[1], *column.shape[1:])


def decoded_training_views(
    path: Path,
    dataset: Dataset,
    size: Size,
    *,
    workers: int,
    turned: bool = True,
    parts: PartBoxes | None = None,
    top_d: int = 0,
    crop: int = 0,
) -> DecodedViews:
    """Return the decoded images of the train split, held-out vehicles included, from the file at `path`.

    `turned` is that of `load_image`; what `parts` hides is covered. With `crop`, the side of a crop in pixels, those of
    the `top_d` most confident boxes of `parts` are in a second file beside it.

    A file that is missing, damaged or out of date is made again; a message says why. If another run is making it, this
    one waits. Raises UserError if an image cannot be read, or if the disk is too small.
    """
    names = list(dataset.training_images["name"])
    paths = image_paths(dataset, names)
    hidden = None if parts is None else hidden_boxes(parts, names)
    maker = ViewMaker(size, hidden)
    images = _decoded(path, dataset.name, names, FileViews(paths, maker, turned=turned), workers)
    if not crop or parts is None:
        return DecodedViews(images)
    boxes, labels = part_arrays(parts, names, top_d)
    maker = ViewMaker(size, hidden, crop, boxes, labels >= 0)
    path = path.with_name(f"decoded-crops-{crop}-{digest_of(boxes)[:8]}.safetensors")
    return DecodedViews(images, _decoded(path, dataset.name, names, FileViews(paths, maker, turned=turned), workers))


def _decoded(path: Path, dataset: str, names: Sequence[str], files: FileViews, workers: int) -> PixelFile:
    """Return the pixel file of the images, or of their crops if `files` makes any, made if necessary."""
    made_from = describe(dataset, names, files)
    threads, seen = max(1, workers), _inode(path)
    pixels = _usable(path, made_from, threads)
    if pixels is not None:
        return pixels
    with run_lock(path.parent, wait=True):
        if _inode(path) != seen:  # another run has made it meanwhile
            pixels = _usable(path, made_from, threads)
        if pixels is None:
            make_decoded(path, files, made_from, workers=workers)
    return open_pixels(path, made_from, threads=threads) if pixels is None else pixels


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path_exists(path) else None


def _usable(path: Path, made_from: Mapping[str, Any], threads: int) -> PixelFile | None:
    """Return the pixel file, None if it is missing, damaged or out of date; a message says why."""
    if not path_exists(path):
        return None
    try:
        return open_pixels(path, made_from, threads=threads)
    except UserError as error:
        log.info(str(error))
        return None


def describe(dataset: str, names: Sequence[str], files: FileViews) -> dict[str, Any]:
    """Return what determines the pixels: the image files, the decoder, the size, and the boxes covered or cropped.

    A file is identified by its size and modification time, because hashing would read the whole data set at every
    start. So a file replaced by one of the same size with its time set back goes unnoticed, and a data set copied
    without its times is decoded again.
    """
    maker = files.maker
    stats = [require_path(path).stat() for path in files.paths]
    covered = {} if maker.hidden is None else {"hidden": {"boxes": digest_of(maker.hidden), **HIDING}}
    cropped: dict[str, Any] = {}
    height, width = height_and_width(maker.size)
    if maker.crop:
        height, width = maker.boxes.shape[1] * maker.crop, maker.crop
        cropped = {"crops": {"boxes": digest_of(maker.boxes), "present": digest_of(maker.present), "margin": MARGIN}}
    return {
        "format": FORMAT,
        "dataset": dataset,
        "size": height if height == width else [height, width],
        "turned": files.turned,
        "resampling": RESAMPLING.name.lower(),
        "decoder": f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}",
        "images": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in zip(names, stats, strict=True)},
        **covered,
        **cropped,
    }


def make_decoded(path: Path, files: FileViews, made_from: Mapping[str, Any], *, workers: int) -> None:
    """Decode image files, in the order of the names of `made_from`, into the pixel file at `path`.

    The caller holds the lock. Every process writes its own rows, so no pixels travel between processes. Raises
    UserError if an image cannot be read or the disk is too small; an older file is then kept, and nothing else.
    """
    shape = shape_of(made_from)
    pieces = -(-len(files.paths) // ROWS)
    start = len(header_of(made_from, ["0" * 64] * pieces))
    remove_temporary_files(path)
    with replacing(path) as temporary, worker_death_as_user_error():
        _require_space(path, shape, start)
        writer = _PieceWriter(files, temporary, start)
        loader = DataLoader(writer, batch_size=None, num_workers=workers, worker_init_fn=initialize_worker)
        written = track(loaded_batches(loader), "decoding images", len(files.paths), lambda piece: piece[1])
        digests = [digest for digest, _ in written]
        with temporary.open("r+b") as file:
            file.write(header_of(made_from, digests))


@dataclass(frozen=True, eq=False)
class _PieceWriter(TorchDataset[tuple[str, int]]):
    """Pieces of ROWS images: reading one writes its pixels to the file and returns their hash and number."""

    files: FileViews
    file: Path
    start: int

    def __len__(self) -> int:
        return -(-len(self.files.paths) // ROWS)

    def __getitem__(self, piece: int) -> tuple[str, int]:
        first = piece * ROWS
        views = [self.files(index) for index in range(first, min(first + ROWS, len(self.files.paths)))]
        rows = np.stack([_column(crops) if self.files.maker.crop else image for image, crops in views])
        try:
            with self.file.open("r+b") as file:
                file.seek(self.start + first * rows[0].nbytes)
                file.write(rows.data)
        except OSError as error:  # from a worker, only the text of an error reaches the caller
            reason = error.strerror or error
            raise UserError(
                f"{self.file.parent}: cannot be written ({reason}); free some space, or omit --decoded-cache"
            ) from error
        return digest_of(rows), len(rows)


def _require_space(path: Path, shape: Sequence[int], start: int) -> None:
    """Log the size of the file. Raises UserError if the disk has less space; an older file still needs its own."""
    needed, free = (start + int(np.prod(shape))) / 1e9, shutil.disk_usage(path.parent).free / 1e9
    amounts = (
        f"{path}: {shape[0]:,} images decoded at {shape[1]} x {shape[2]} take {needed:,.2f} GB, {free:,.2f} GB are free"
    )
    if needed > free:
        raise UserError(f"{amounts}; free some, choose another --runs, or omit --decoded-cache")
    log.info(amounts)
