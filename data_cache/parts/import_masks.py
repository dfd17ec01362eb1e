"""Part caches from the part masks that the authors of PGAN published (github.com/zhangxinyu-xyz/PGAN-VehicleRe-ID).

A file an image, `masks/VeRi/image_train/NAME.npy` for `VeRi/image_train/NAME.jpg`: an array (N, 14, 14) of 0 and 1, a
mask a part, on the grid of the network's square input. The authors take the last D rows, so the most confident stands
last. Neither scores nor labels are in it.
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
from data_cache.parts.packing import ImageEntry, Imported, LooseBoxes, pack_boxes
from data_cache.parts.verification import first_of

PART_NAME = "part"


@dataclass(frozen=True, eq=False)
class MaskBoxes:
    """Extents of the masks of one image, (M, 4) xyxy in [0, 1], the most confident first, and what they hide."""

    extents: NDArray[np.float64]
    all_zero: int  # masks dropped
    not_rectangular: int  # masks whose extent holds cells that they do not


def import_masks(folder: Path, root: Path, names: Sequence[str], *, dataset: str | None, top_k: int) -> Imported:
    """Return a cache of the masks below `folder` for the pictures `names` below `root`.

    A box is the extent of a mask's ones. Its label is 0, "part"; its score tells its rank alone, 1 for the first and
    1 / top_k less for each that follows, which the fingerprint says. A picture or a mask that is missing or damaged
    becomes a failed row with the reason. Raises UserError where no picture has a mask.
    """
    mask_of = _mask_names(names)
    digest = hashlib.sha256()
    entries, found, masks = [], [], 0
    for name in track(names, "reading masks", len(names)):
        entry, boxes, data = _read_image(folder, root, name, mask_of[name])
        digest.update(hashlib.sha256(data).digest())
        entries.append(entry)
        found.append(boxes)
        masks += bool(data)
    if not masks:
        raise UserError(
            f"{folder}: none of {len(names)} pictures has a mask there, looked for {folder / min(mask_of.values())}; "
            "give the folder that stands for the data set's, as masks/VeRi"
        )
    parts = pack_boxes(
        entries,
        _loose(entries, found, top_k),
        places=top_k,
        part_names=(PART_NAME,),
        fingerprint={
            "source": "part masks",
            "masks_sha256": digest.hexdigest(),
            "grid": GRID,
            "scores": "rank only",
            "dataset": dataset,
        },
    )
    return Imported(parts, tuple(_remarks(found, top_k) + _unused(folder, set(mask_of.values()))))


def _mask_names(names: Sequence[str]) -> dict[str, str]:
    """Return the name of each picture's mask. Raises UserError where two pictures would share one."""
    picture_of: dict[str, str] = {}
    for name in names:
        mask = PurePosixPath(name).with_suffix(".npy").as_posix()
        if mask in picture_of:
            raise UserError(f"{picture_of[mask]} and {name} would share the mask {mask}; rename one of them")
        picture_of[mask] = name
    return {name: mask for mask, name in picture_of.items()}


def _read_image(folder: Path, root: Path, name: str, mask: str) -> tuple[ImageEntry, MaskBoxes, bytes]:
    """Return an image's row, its boxes, and the bytes of its mask file, none where that could not be read."""
    width, height, data = 0, 0, b""
    try:
        data = mask_bytes(path_inside(folder, mask))
        width, height = image_size(path_inside(root, name))
        return ImageEntry(name, width, height), mask_boxes(read_masks(folder / mask, data)), data
    except (ImageError, MaskError) as error:
        return ImageEntry(name, width, height, str(error)), MaskBoxes(np.zeros((0, 4)), 0, 0), data


def mask_boxes(masks: NDArray[np.bool_]) -> MaskBoxes:
    """Return the extents of masks (N, 14, 14), the last first; masks without a one have none."""
    kept = masks[masks.any(axis=(1, 2))][::-1]
    extents = np.zeros((len(kept), 4))
    for first, axis in ((0, 1), (1, 2)):  # columns: any over the rows
        touched = np.asarray(kept.any(axis=axis))
        extents[:, first] = touched.argmax(axis=1)
        extents[:, first + 2] = GRID - touched[:, ::-1].argmax(axis=1)
    cells = (extents[:, 2:] - extents[:, :2]).prod(axis=1)
    return MaskBoxes(extents / GRID, len(masks) - len(kept), int((kept.sum(axis=(1, 2)) < cells).sum()))


def _loose(entries: Sequence[ImageEntry], found: Sequence[MaskBoxes], top_k: int) -> LooseBoxes:
    kept = [boxes.extents[:top_k] for boxes in found]
    counts = [len(boxes) for boxes in kept]
    image = np.repeat(np.arange(len(entries)), counts)
    sizes = np.array([(entry.width, entry.height) * 2 for entry in entries], np.float64)
    ranks = np.concatenate([np.arange(count) for count in counts])
    boxes = np.concatenate(kept) * sizes[image]
    scores = (top_k - ranks) / top_k
    return LooseBoxes(image, boxes.astype(np.float32), scores.astype(np.float32), np.zeros(len(image), np.int64))


def _remarks(found: Sequence[MaskBoxes], top_k: int) -> list[str]:
    counts = {
        "masks without a cell were dropped": sum(boxes.all_zero for boxes in found),
        "masks are not rectangles; their boxes are their extents": sum(boxes.not_rectangular for boxes in found),
        f"masks beyond the {top_k} most confident of their image were left out": sum(
            max(0, len(boxes.extents) - top_k) for boxes in found
        ),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]


def _unused(folder: Path, used: set[str]) -> list[str]:
    present = (path.relative_to(folder).as_posix() for path in folder.rglob("*.npy"))
    return first_of(sorted(set(present) - used), "masks belong to no picture and were left out")
