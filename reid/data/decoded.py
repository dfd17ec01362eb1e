"""Making the file of decoded images by several processes, whole or not at all; and using it while it is still true."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import features
from torch.utils.data import DataLoader, Dataset

from data_cache.base.errors import UserError, initialize_worker, worker_death_as_user_error
from data_cache.base.files import is_there, remove_strays, replacing
from data_cache.base.locks import run_lock
from data_cache.base.progress import track
from data_cache.datasets.dataset import Dataset as VehicleDataset
from reid.data.decoded import ROWS, DecodedImages, digest_of, header_of, open_decoded, shape_of
from reid.data.vehicle_images import RESAMPLING, ResizedFiles, image_paths, read_batches

log = logging.getLogger(__name__)

FORMAT = 1  # raise it where the file, `load_image` or the resizing changes: old files are then made again


def decoded_training_images(path: Path, dataset: VehicleDataset, size: int, *, workers: int) -> DecodedImages:
    """Return the decoded images of the train split, held-out vehicles too, from the file at `path`.

    Where it is missing, damaged or of other images than those that lie there now, it is made again, and why is said:
    it can always be made from the images, and a refusal would leave no more to do than to delete it. Raises UserError
    for an image that cannot be read, for too little disk, and where another run is making it.
    """
    names = sorted(dataset.table["name"][dataset.table["split"] == "train"])
    paths = image_paths(dataset, names)
    made_from = describe(dataset.name, names, paths, size)
    if is_there(path):
        try:
            return open_decoded(path, made_from, threads=max(1, workers))
        except UserError as error:
            log.info(str(error))
    with run_lock(path.parent):
        make_decoded(path, paths, made_from, workers=workers)
    return open_decoded(path, made_from, threads=max(1, workers))


def describe(dataset: str, names: Sequence[str], paths: Sequence[Path], size: int) -> dict[str, Any]:
    """Return what decides the pixels: the files, what decodes them, and the size.

    A file is told by its size and time of writing. A hash of its content would miss nothing, but every start would
    read the whole data set, while a look at each of 100,000 files takes seconds. What goes unseen is a file replaced by
    one of the same size whose time was set back; what is made again for nothing is a data set copied without its times.
    """
    stats = [path.stat() for path in paths]
    return {
        "format": FORMAT,
        "dataset": dataset,
        "size": size,
        "resampling": RESAMPLING.name.lower(),
        "decoder": f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}",
        "images": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in zip(names, stats, strict=True)},
    }


def make_decoded(path: Path, paths: Sequence[Path], made_from: Mapping[str, Any], *, workers: int) -> None:
    """Decode the files, sorted as `made_from` names them, into the file of pixels at `path`; no other may do so now.

    Every process writes its own rows, so no pixels travel between them. Raises UserError where an image cannot be
    read, naming it, and where the disk is too small; then nothing is left behind, and an older file stays.
    """
    shape = shape_of(made_from)
    blocks = -(-len(paths) // ROWS)
    start = len(header_of(made_from, ["0" * 64] * blocks))
    remove_strays(path)
    with replacing(path) as temporary, worker_death_as_user_error():
        _require_space(path, shape, start)
        pieces = _Pieces(ResizedFiles(paths, made_from["size"]), temporary, start)
        loader = DataLoader(pieces, batch_size=None, num_workers=workers, worker_init_fn=initialize_worker)
        made = track(read_batches(loader), "decoding images", len(paths), lambda piece: piece[1])
        digests = [digest for digest, _ in made]
        with temporary.open("r+b") as file:
            file.write(header_of(made_from, digests))


@dataclass(frozen=True, eq=False)
class _Pieces(Dataset[tuple[str, int]]):
    """Pieces of ROWS images: to ask for one decodes it into its place in the file, and gives its hash and length."""

    pixels: ResizedFiles
    file: Path
    start: int

    def __len__(self) -> int:
        return -(-len(self.pixels.paths) // ROWS)

    def __getitem__(self, piece: int) -> tuple[str, int]:
        first = piece * ROWS
        rows = np.stack([self.pixels(index) for index in range(first, min(first + ROWS, len(self.pixels.paths)))])
        try:
            with self.file.open("r+b") as file:
                file.seek(self.start + first * rows[0].nbytes)
                file.write(rows.data)
        except OSError as error:  # told here: of a worker's error only the text arrives
            reason = error.strerror or error
            raise UserError(
                f"{self.file.parent}: cannot be written ({reason}); free some space, or leave --decoded-cache out"
            ) from error
        return digest_of(rows), len(rows)


def _require_space(path: Path, shape: Sequence[int], start: int) -> None:
    """Say what the file takes. Raises UserError where the disk has less; an older file stays meanwhile."""
    needed, free = (start + int(np.prod(shape))) / 1e9, shutil.disk_usage(path.parent).free / 1e9
    told = (
        f"{path}: {shape[0]:,} images decoded at {shape[1]} x {shape[1]} take {needed:,.2f} GB, {free:,.2f} GB are free"
    )
    if needed > free:
        raise UserError(f"{told}; free some, choose another --runs, or leave --decoded-cache out")
    log.info(told)
