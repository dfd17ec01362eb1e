"""Whether the pictures that annotations name are there, and of the size that they tell."""

from dataclasses import dataclass
from pathlib import Path

from data_cache.base.errors import RecordFault, printable
from data_cache.images.loading import ImageError, path_inside, turned_by_exif
from detect.annotations.faults import shown


def is_picture(root: Path, name: str) -> bool:
    """Whether a regular file of that name lies below `root`.

    Raises RecordFault for a name that is absolute, holds `..`, leads out of `root` or cannot be looked up.
    """
    try:
        return path_inside(root, name).is_file()
    except ImageError as error:
        raise RecordFault(printable(error)) from error
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


EDGE_TOLERANCE = 1.0  # pixels that a box may stick out of its image; it is clipped
MIN_SIDE = 0.01  # pixels; with a shorter side, after clipping, a box has no area
Corners = tuple[float, float, float, float]  # x0, y0, x1, y1: edges in pixels, 0 is the image's left or upper edge


@dataclass(frozen=True)
class ImageRecord:
    """An image: its path below the image folder, its size in pixels, and its vehicle where that is known."""

    name: str
    width: int
    height: int
    vehicle: str | None = None

    def clipped(self, corners: Corners) -> Corners:
        """Return a box clipped to the image.

        Raises RecordFault where it leaves the image by more than EDGE_TOLERANCE, or has no area inside it.
        """
        x0, y0, x1, y1 = corners
        box, image = f"the box from {x0:g}, {y0:g} to {x1:g}, {y1:g}", f"its image of {self.width} x {self.height}"
        if min(x0, y0) < -EDGE_TOLERANCE or x1 > self.width + EDGE_TOLERANCE or y1 > self.height + EDGE_TOLERANCE:
            raise RecordFault(f"{box} leaves {image}")
        x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(self.width)), min(y1, float(self.height))
        if x1 - x0 < MIN_SIDE or y1 - y0 < MIN_SIDE:
            raise RecordFault(f"{box} has no area inside {image}")
        return x0, y0, x1, y1
