"""Whether the pictures that annotations name are there."""

from pathlib import Path

from data_cache.coco_files import RecordFault
from data_cache.errors import plain
from data_cache.images import ImageError, path_inside
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
