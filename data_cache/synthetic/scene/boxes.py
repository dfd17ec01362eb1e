"""Part boxes from the picture of part numbers: only what is really seen is boxed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.mesh import Mesh
from data_cache.synthetic.geometry.rasterise import signed_area
from data_cache.synthetic.vehicle.canvas import Part

SMALLEST_PIXELS = 6.0  # of the final picture
SMALLEST_SHARE = 0.25  # of the part's own projected area
GLANCING = 0.3  # of a painted part's area seen head-on


@dataclass(frozen=True)
class PartBox:
    """One visible part: `label` indexes PART_NAMES, the box is x, y, width, height in pixels of the picture."""

    label: int
    x: float
    y: float
    width: float
    height: float
    visible: float  # pixels


def visible_boxes(layers: Sequence[Bytes], parts: Sequence[Part], extent: Floats, enlarged: int) -> list[PartBox]:
    """Return the boxes of the parts numbered in `layers`, pictures (H, W) enlarged by a whole factor.

    A part is boxed where it has SMALLEST_PIXELS visible pixels and SMALLEST_SHARE of `extent` (P + 1,), the area in
    enlarged pixels that it would cover if nothing hid it.
    """
    boxes = []
    for number, low, high, count in part_extents(layers):
        pixels = count / enlarged**2
        if pixels < SMALLEST_PIXELS or count < SMALLEST_SHARE * extent[number]:
            continue
        x, y = low[0] / enlarged, low[1] / enlarged
        right, below = (high[0] + 1) / enlarged, (high[1] + 1) / enlarged
        boxes.append(PartBox(parts[number - 1].label, x, y, right - x, below - y, pixels))
    return boxes


def part_extents(layers: Sequence[Bytes]) -> list[tuple[int, tuple[int, int], tuple[int, int], int]]:
    """Return (number, lowest column and row, highest column and row, pixels) of every part in the layers, in order."""
    found = []
    for layer in layers:
        rows, columns = np.nonzero(layer)
        numbers = layer[rows, columns]
        order = np.argsort(numbers, kind="stable")
        rows, columns, numbers = rows[order], columns[order], numbers[order]
        starts = np.flatnonzero(np.diff(numbers, prepend=0))
        for start, end in zip(starts, np.append(starts[1:], len(numbers))[: len(starts)], strict=True):
            low = (int(columns[start:end].min()), int(rows[start]))
            high = (int(columns[start:end].max()), int(rows[end - 1]))
            found.append((int(numbers[start]), low, high, int(end - start)))
    return sorted(found)


def unhidden_areas(parts: Sequence[Part], meshes: Sequence[Mesh], camera: Camera) -> Floats:
    """Return (P + 1,): the area in pixels that each part number would cover alone; entry 0 is unused.

    Built parts count their triangles that face the camera. Painted parts count their outline, and no less than
    GLANCING of what it would cover seen head-on: what is only glimpsed along its surface is not seen.
    """
    areas = np.zeros(len(parts) + 1)
    for mesh in meshes:
        rows = np.flatnonzero(mesh.part)
        screen, _ = camera.project(mesh.corners[rows])
        facing = np.maximum(signed_area(screen), 0)
        areas += np.bincount(mesh.part[rows], weights=facing, minlength=len(areas))
    for number, part in enumerate(parts, start=1):
        if part.outline is not None:
            screen, depth = camera.project(part.outline)
            column, row = screen[:, 0], screen[:, 1]
            covered = abs(float(column @ np.roll(row, -1) - row @ np.roll(column, -1))) / 2
            areas[number] = max(covered, GLANCING * part.area * (camera.focal_px / float(depth.mean())) ** 2)
    return areas
