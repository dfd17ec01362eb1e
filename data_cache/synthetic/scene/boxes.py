"""Boxes of the visible parts, measured on layers of part numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.mesh import Mesh
from data_cache.synthetic.geometry.rasterise import NOTHING, rasterise, signed_area
from data_cache.synthetic.vehicle.canvas import Part

MIN_PIXELS = 6.0  # visible pixels of the final picture
MIN_VISIBLE = 0.25  # visible share of the part's projected area
MIN_PROJECTED = 0.3  # share of a painted part's head-on area below which its projected area does not fall


@dataclass(frozen=True)
class PartBox:
    """A visible part; `label` indexes PART_NAMES, the box is in pixels of the picture."""

    label: int
    x: float
    y: float
    width: float
    height: float


def visible_boxes(layers: Sequence[Bytes], parts: Sequence[Part], areas: Floats, supersampling: int) -> list[PartBox]:
    """Return the boxes of the parts in `layers`, arrays (H, W) of part numbers, in order of part number.

    A part needs MIN_PIXELS visible pixels and MIN_VISIBLE of `areas` (P + 1,), its unoccluded area in samples.
    """
    return [box for _, box in numbered_boxes(layers, parts, areas, supersampling)]


def numbered_boxes(
    layers: Sequence[Bytes], parts: Sequence[Part], areas: Floats, supersampling: int
) -> list[tuple[int, PartBox]]:
    """Return `visible_boxes`, each with its part number."""
    boxes = []
    for number, low, high, count in part_extents(layers):
        if count / supersampling**2 < MIN_PIXELS or count < MIN_VISIBLE * areas[number]:
            continue
        x, y = low[0] / supersampling, low[1] / supersampling
        right, bottom = (high[0] + 1) / supersampling, (high[1] + 1) / supersampling
        boxes.append((number, PartBox(parts[number - 1].label, x, y, right - x, bottom - y)))
    return boxes


def part_extents(layers: Sequence[Bytes]) -> list[tuple[int, tuple[int, int], tuple[int, int], int]]:
    """Return (number, (first column, first row), (last column, last row), samples) of every part, sorted by number."""
    extents = []
    for layer in layers:
        counts = np.bincount(layer.ravel(), minlength=1)
        for number in (np.flatnonzero(counts[1:]) + 1).tolist():
            covered = layer == number
            columns, rows = (np.flatnonzero(covered.any(axis=axis)).tolist() for axis in (0, 1))
            extents.append((number, (columns[0], rows[0]), (columns[-1], rows[-1]), int(counts[number])))
    return sorted(extents)


def whole_parts(surface: Bytes, parts: Sequence[Part]) -> tuple[Bytes, Bytes]:
    """Return two layers instead of one: parts with their pieces (see Part.within), and the pieces alone."""
    numbers = np.arange(len(parts) + 1, dtype=np.uint8)
    within = np.array([0, *(part.within for part in parts)], dtype=np.uint8)
    return np.where(within > 0, within, numbers)[surface], np.where(within > 0, numbers, 0).astype(np.uint8)[surface]


def unoccluded_areas(parts: Sequence[Part], meshes: Sequence[Mesh], camera: Camera) -> Floats:
    """Return (P + 1,): the projected area in pixels of each part number if nothing hid it; entry 0 is unused.

    The area of built parts is that of their triangles facing the camera; that of painted parts is the area of their
    outline, at least MIN_PROJECTED of what it would be head-on, so that parts at grazing angles count as hidden.
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
            areas[number] = max(covered, MIN_PROJECTED * part.area * (camera.focal_px / float(depth.mean())) ** 2)
    return areas


def silhouette_areas(parts: Sequence[Part], meshes: Sequence[Mesh], camera: Camera) -> Floats:
    """Return `unoccluded_areas`, but of built parts the area of their outline in the picture.

    The sum over triangles counts twice where the pieces of a part cover each other, as housing and glass of a mirror.
    """
    areas = unoccluded_areas(parts, meshes, camera)
    for mesh in meshes:
        for number in np.unique(mesh.part[mesh.part > 0]).tolist():
            screen, depth = camera.project(mesh.corners[mesh.part == number])
            low = np.floor(screen.min(axis=(0, 1)))
            width, height = (int(cells) + 1 for cells in screen.max(axis=(0, 1)) - low)
            areas[number] = np.count_nonzero(rasterise(screen - low, 1 / depth, (height, width)) != NOTHING)
    return areas
