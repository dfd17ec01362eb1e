"""What an annotation file tells of an image, and the one rule for boxes against its edges."""

from dataclasses import dataclass

from data_cache.errors import RecordFault

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
