"""One policy for imperfect boxes in files of annotations: mend or drop them and count, or refuse them."""

from collections import Counter
from typing import Any

from data_cache.base.errors import RecordFault
from data_cache.parts.coco import corners

EDGE_TOLERANCE = 1.0  # pixels by which a box may extend beyond its image without a word; it is clipped
MIN_SIDE = 0.01  # pixels; a clipped box with a shorter side has no area
Corners = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels; 0 is the left or upper edge of the image


class BoxMending:
    """Brings boxes into their images and counts in `counts`, by what was done, those that needed more than rounding.

    If `strict`, such a box is a RecordFault.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.counts: Counter[str] = Counter()

    def box(self, given: Corners, width: int, height: int) -> Corners | None:
        """Return the part of a box inside its image; None if that has no area, and the box is dropped."""
        described = f"the box from {given[0]:g}, {given[1]:g} to {given[2]:g}, {given[3]:g}"
        image = f"its image of {width} x {height}"
        (x0, x1), (y0, y1) = sorted(given[::2]), sorted(given[1::2])
        if (x0, y0, x1, y1) != given:
            self._count("boxes with swapped corners were put right", f"{described} has swapped corners")
        over_edge = min(x0, y0) < -EDGE_TOLERANCE or x1 > width + EDGE_TOLERANCE or y1 > height + EDGE_TOLERANCE
        x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        if not (x1 - x0 >= MIN_SIDE and y1 - y0 >= MIN_SIDE):
            self._count("boxes without area inside their image were dropped", f"{described} has no area inside {image}")
            return None
        if over_edge:
            self._count("boxes were clipped to their image", f"{described} leaves {image}")
        return x0, y0, x1, y1

    def coco_box(self, record: Any, width: int, height: int) -> Corners | None:
        """Return the box of a COCO annotation inside its image, None if it is dropped; a crowd's is one like others.

        Raises RecordFault if `bbox` is missing or not four numbers.
        """
        if isinstance(record, dict) and record.get("bbox") == []:
            self._count("annotations with an empty box were dropped", "`bbox` is empty")
            return None
        found = self.box(corners(record), width, height)
        if found is not None and record.get("iscrowd") not in (None, 0):
            self._count("crowds were taken as one part each", "`iscrowd` marks a group; draw one box per part")
        return found

    def _count(self, what: str, fault: str) -> None:
        if self.strict:
            raise RecordFault(f"{fault}; without --strict it is mended or dropped")
        self.counts[what] += 1
