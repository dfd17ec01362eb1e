"""Import of part caches from the part masks that the authors of PGAN published.

Source: github.com/zhangxinyu-xyz/PGAN-VehicleRe-ID. One file per image, `masks/VeRi/image_train/NAME.npy` for
`VeRi/image_train/NAME.jpg`: an array (N, 14, 14) of 0 and 1, one mask per part, on a grid over the network's square
input. The authors use the last D masks, so the last one is the most confident. There are no scores and no labels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.npy import GRID, MaskError, mask_bytes, read_masks
from data_cache.base.progress import track
from data_cache.images.loading import ImageError, image_size, path_inside
from data_cache.parts.packing import FlatBoxes, ImageEntry, ImportResult, pack_boxes
from data_cache.parts.selection import RANK_ONLY
from data_cache.parts.verification import count_line, count_notes

PART_NAME = "part"


@dataclass(frozen=True, eq=False)
class MaskBoxes:
    """Extents of the masks of one image, (M, 4) xyxy in [0, 1], the most confident first."""

    extents: NDArray[np.float64]
    all_zero: int  # masks dropped
    not_rectangular: int  # masks that do not fill their extent


def import_masks(folder: Path, root: Path, names: Sequence[str], *, dataset: str | None, top_k: int) -> ImportResult:
    """Import the masks below `folder` for the images `names` below `root`.

    A box is the extent of a mask, labelled 0, "part". Its score only expresses its rank: 1 for the first, 1 / top_k
    less for each following one; the fingerprint says so. If an image or its mask is missing or damaged, its row is
    failed with the reason. Raises UserError if no image has a mask.
    """
    mask_of = _mask_names(names)
    digest = hashlib.sha256()
    entries, boxes, files = [], [], 0
    for name in track(names, "reading masks", len(names)):
        entry, extents, data = _read_image(folder, root, name, mask_of[name])
        digest.update(hashlib.sha256(data).digest())
        entries.append(entry)
        boxes.append(extents)
        files += bool(data)
    if not files:
        raise UserError(
            f"{folder}: none of {len(names)} images has a mask there, looked for {folder / min(mask_of.values())}; "
            "give the folder that corresponds to the data set's, such as masks/VeRi"
        )
    flat = _in_pixels(entries, boxes, top_k)
    parts = pack_boxes(
        entries,
        flat,
        top_k=top_k,
        part_names=(PART_NAME,),
        fingerprint={
            "source": "part masks",
            "masks_sha256": digest.hexdigest(),
            "grid": GRID,
            "scores": RANK_ONLY,
            "dataset": dataset,
        },
    )
    beyond_top_k = len(flat) - parts.counts()["boxes"]
    notes = count_notes(
        {
            "empty masks were dropped": sum(image.all_zero for image in boxes),
            "masks are not rectangles; their boxes are their extents": sum(image.not_rectangular for image in boxes),
            f"masks beyond the {top_k} most confident of their image were left out": beyond_top_k,
        }
    )
    unused = {path.relative_to(folder).as_posix() for path in folder.rglob("*.npy")} - set(mask_of.values())
    return ImportResult(parts, (*notes, *count_line(sorted(unused), "masks belong to no image and were left out")))


def _mask_names(names: Sequence[str]) -> dict[str, str]:
    """Return the mask file of each image. Raises UserError if two images would share one."""
    image_of: dict[str, str] = {}
    for name in names:
        mask = PurePosixPath(name).with_suffix(".npy").as_posix()
        if mask in image_of:
            raise UserError(f"{image_of[mask]} and {name} would share the mask {mask}; rename one of them")
        image_of[mask] = name
    return {name: mask for mask, name in image_of.items()}


def _read_image(folder: Path, root: Path, name: str, mask: str) -> tuple[ImageEntry, MaskBoxes, bytes]:
    """Return an image's entry, its boxes, and the bytes of its mask file, empty if it could not be read."""
    width, height, data = 0, 0, b""
    try:
        data = mask_bytes(path_inside(folder, mask))
        width, height = image_size(path_inside(root, name))
        return ImageEntry(name, width, height), mask_boxes(read_masks(folder / mask, data)), data
    except (ImageError, MaskError) as error:
        return ImageEntry(name, width, height, str(error)), MaskBoxes(np.zeros((0, 4)), 0, 0), data


def mask_boxes(masks: NDArray[np.bool_]) -> MaskBoxes:
    """Return the extents of the non-empty masks among (N, 14, 14), the last mask first."""
    kept = masks[masks.any(axis=(1, 2))][::-1]
    extents = np.zeros((len(kept), 4))
    for first, axis in ((0, 1), (1, 2)):  # columns: any over the rows
        touched = np.asarray(kept.any(axis=axis))
        extents[:, first] = touched.argmax(axis=1)
        extents[:, first + 2] = GRID - touched[:, ::-1].argmax(axis=1)
    cells = (extents[:, 2:] - extents[:, :2]).prod(axis=1)
    return MaskBoxes(extents / GRID, len(masks) - len(kept), int((kept.sum(axis=(1, 2)) < cells).sum()))


def _in_pixels(entries: Sequence[ImageEntry], mask_boxes: Sequence[MaskBoxes], top_k: int) -> FlatBoxes:
    counts = [len(boxes.extents) for boxes in mask_boxes]
    image = np.repeat(np.arange(len(entries)), counts)
    sizes = np.array([(entry.width, entry.height) * 2 for entry in entries], np.float64)
    ranks = np.concatenate([np.arange(count) for count in counts])
    boxes = np.concatenate([boxes.extents for boxes in mask_boxes]) * sizes[image]
    scores = (top_k - ranks) / top_k
    return FlatBoxes(image, boxes.astype(np.float32), scores.astype(np.float32), np.zeros(len(image), np.int64))
