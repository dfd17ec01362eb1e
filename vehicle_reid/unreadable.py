"""Images that cannot be read: refused, or left out where that is asked for, and always told."""

import numpy as np
from numpy.typing import NDArray

from data_cache.errors import UserError
from data_cache.images import ImageError
from data_cache.parts import STATUS_FAILED, PartBoxes
from data_cache.progress import say
from vehicle_reid.images import NamedImages


def readable(images: NamedImages, parts: PartBoxes, skip: bool) -> NamedImages:
    """Return the images whose parts could be looked for. Raises UserError where some could not, unless `skip`."""
    rows = parts.rows(images.names)
    failed = parts.status[rows] == STATUS_FAILED
    first = f"{parts.failure[rows[int(failed.argmax())]]}" if failed.any() else ""
    return _without(images, failed, first, skip)


def decodable(images: NamedImages) -> NamedImages:
    """Return the images that can be read, and tell of the others: for networks whose parts nobody looked for."""
    failures = [_failure(images, index) for index in range(len(images))]
    return _without(images, np.array(failures, dtype=bool), next(filter(None, failures), ""), skip=True)


def _failure(images: NamedImages, index: int) -> str:
    try:
        images.pixels(index)
    except ImageError as error:
        return str(error)
    return ""


def _without(images: NamedImages, failed: NDArray[np.bool_], first: str, skip: bool) -> NamedImages:
    if not failed.any():
        return images
    told = f"{int(failed.sum())} of {len(images)} images cannot be read, first {first}"
    if not skip:
        raise UserError(f"{told}; mend them, or leave them out with --skip-unreadable (in Python skip_unreadable=True)")
    say(f"{told}; they are left out")
    return images.take(np.flatnonzero(~failed))
