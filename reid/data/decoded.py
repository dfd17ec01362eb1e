"""Training images decoded once, at training size: a pixel file, made by several processes and used while up to date."""

import logging
import shutil
from collections.abc import Mapping, Sequence
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
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from reid.data.augmentation import Boxes
from reid.data.hiding import HIDING, hidden_boxes
from reid.data.pixel_file import ROWS, PixelFile, Size, digest_of, header_of, height_and_width, open_pixels, shape_of
from reid.data.vehicle_images import RESAMPLING, ResizedFiles, image_paths, read_batches

log = logging.getLogger(__name__)

FORMAT = 2  # raise it if the file format, `load_image` or the resizing changes: old files are then made again


def decoded_training_images(
    path: Path,
    dataset: Dataset,
    size: Size,
    *,
    workers: int,
    turned: bool = True,
    parts: PartBoxes | None = None,
) -> PixelFile:
    """Return the decoded images of the train split, held-out vehicles included, from the file at `path`.

    `turned` is that of `load_image`; what `parts` hides is covered.

    If the file is missing, damaged or out of date, it is made again; a message says why. If another run is making it,
    this one waits. Raises UserError if an image cannot be read, or if the disk is too small.
    """
    names = sorted(dataset.table["name"][dataset.table["split"] == "train"])
    paths = image_paths(dataset, names)
    hidden = None if parts is None else hidden_boxes(parts, names)
    made_from = describe(dataset.name, names, paths, size, turned=turned, hidden=hidden)
    threads, seen = max(1, workers), _inode(path)
    pixels = _usable(path, made_from, threads)
    if pixels is not None:
        return pixels
    with run_lock(path.parent, wait=True):
        if _inode(path) != seen:  # another run has made it meanwhile
            pixels = _usable(path, made_from, threads)
        if pixels is None:
            make_decoded(path, paths, made_from, workers=workers, hidden=hidden)
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


def describe(
    dataset: str,
    names: Sequence[str],
    paths: Sequence[Path],
    size: Size,
    *,
    turned: bool = True,
    hidden: Boxes | None = None,
) -> dict[str, Any]:
    """Return what determines the pixels: the image files, the decoder, the size, and the boxes that are covered.

    A file is identified by its size and modification time, because hashing would read the whole data set at every
    start. So a file replaced by one of the same size with its time set back goes unnoticed, and a data set copied
    without its times is decoded again.
    """
    height, width = height_and_width(size)
    stats = [path.stat() for path in paths]
    covered = {} if hidden is None else {"hidden": {"boxes": digest_of(hidden), **HIDING}}
    return {
        "format": FORMAT,
        "dataset": dataset,
        "size": height if height == width else [height, width],
        "turned": turned,
        "resampling": RESAMPLING.name.lower(),
        "decoder": f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}",
        "images": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in zip(names, stats, strict=True)},
        **covered,
    }


def make_decoded(
    path: Path,
    paths: Sequence[Path],
    made_from: Mapping[str, Any],
    *,
    workers: int,
    hidden: Boxes | None = None,
) -> None:
    """Decode image files, in the order of the names of `made_from`, into the pixel file at `path`.

    `hidden` (N, H, 4) are the boxes to cover in them. The caller holds the lock. Every process writes its own rows, so
    no pixels travel between processes. Raises UserError if an image cannot be read or the disk is too small; an older
    file is then kept, and nothing else.
    """
    shape = shape_of(made_from)
    pieces = -(-len(paths) // ROWS)
    start = len(header_of(made_from, ["0" * 64] * pieces))
    remove_temporary_files(path)
    with replacing(path) as temporary, worker_death_as_user_error():
        _require_space(path, shape, start)
        images = ResizedFiles(paths, made_from["size"], turned=made_from["turned"], hidden=hidden)
        writer = _PieceWriter(images, temporary, start)
        loader = DataLoader(writer, batch_size=None, num_workers=workers, worker_init_fn=initialize_worker)
        written = track(read_batches(loader), "decoding images", len(paths), lambda piece: piece[1])
        digests = [digest for digest, _ in written]
        with temporary.open("r+b") as file:
            file.write(header_of(made_from, digests))


@dataclass(frozen=True, eq=False)
class _PieceWriter(TorchDataset[tuple[str, int]]):
    """Pieces of ROWS images: reading one writes its pixels to the file and returns their hash and number."""

    images: ResizedFiles
    file: Path
    start: int

    def __len__(self) -> int:
        return -(-len(self.images.paths) // ROWS)

    def __getitem__(self, piece: int) -> tuple[str, int]:
        first = piece * ROWS
        rows = np.stack([self.images(index) for index in range(first, min(first + ROWS, len(self.images.paths)))])
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
