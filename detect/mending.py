"""Images that failed when a cache was made and can be read now: found again, and put into the finished cache."""

import dataclasses
from pathlib import Path

from data_cache.images import ImageError, load_image, path_inside
from data_cache.parts import ARRAYS, STATUS_FAILED, PartBoxes


def readable_again(parts: PartBoxes, root: Path) -> list[str]:
    """Return the names of the images that failed in `parts` and can be read below `root` now."""
    failed = (name for name, status in zip(parts.names, parts.status, strict=True) if status == STATUS_FAILED)
    return [name for name in failed if _is_readable(root, name)]


def _is_readable(root: Path, name: str) -> bool:
    try:
        load_image(path_inside(root, name))
    except ImageError:
        return False
    return True


def with_rows(parts: PartBoxes, newer: PartBoxes) -> PartBoxes:
    """Return `parts` with the rows of `newer` in place of its own of the same names."""
    rows = parts.rows(newer.names)
    arrays = {name: getattr(parts, name).copy() for name in ARRAYS}
    for name, array in arrays.items():
        array[rows] = getattr(newer, name)
    reasons = dict(zip(parts.names, parts.failure, strict=True)) | dict(zip(newer.names, newer.failure, strict=True))
    return dataclasses.replace(parts, failure=tuple(reasons.values()), **arrays)
