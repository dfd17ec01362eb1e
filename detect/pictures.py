"""Whether the pictures that annotations name are there, and of the size that they tell."""

from pathlib import Path

from data_cache.errors import RecordFault, plain
from data_cache.images import ImageError, path_inside, turned_by_exif
from detect.faults import shown


def is_picture(root: Path, name: str) -> bool:
    """Whether a regular file of that name lies below `root`.

    Raises RecordFault for a name that is absolute, holds `..`, leads out of `root` or cannot be looked up.
    """
    try:
        return path_inside(root, name).is_file()
    except ImageError as error:
        raise RecordFault(plain(error)) from error
    except OSError as error:  # a name too long, a folder that may not be entered
        raise RecordFault(f"{shown(name)} cannot be looked up ({error.strerror})") from error


def size_fault(path: Path, stored: tuple[int, int], told: tuple[int, int]) -> str | None:
    """Return in words how the size of a picture, (width, height) as stored, differs from what is told; None where not.

    Raises ImageError for one that cannot be used.
    """
    if stored == told:
        return None
    turned = stored == told[::-1] and turned_by_exif(path)
    remedy = "; its EXIF turns it, which is not done here: turn the picture itself and drop the tag" if turned else ""
    return f"{stored[0]} x {stored[1]} as stored, annotated as {told[0]} x {told[1]}{remedy}"
