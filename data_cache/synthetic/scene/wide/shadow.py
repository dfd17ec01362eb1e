"""Shadows: what of the sun and of the sky the vehicle hides from itself and from the ground."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.mesh import Mesh
from data_cache.synthetic.geometry.rasterise import NOTHING, planes, rasterise
from data_cache.synthetic.scene.light import Light
from data_cache.synthetic.scene.wide.place.panorama import Panorama

CELLS = 224  # of a shadow map along its longer side
BIAS_M = 0.04  # by which a surface must lie behind the shadow map to be in shadow
OFFSET_M = 0.05  # by which surfaces are raised before that test, so that those that the sun grazes get no stripes
REACH_M = 1.0  # of the dimmed ground around the vehicle
CELL_M = 0.06  # of the map of dimmed ground
UNDER = 0.9  # share of the sky that the vehicle hides from the ground below it
NEAR_GROUND = (0.40, 0.9)  # share of the sky that reaches surfaces at the road, and metres up to which it grows


@dataclass(frozen=True)
class SunMap:
    """The vehicle as the sun sees it: heights along the direction of the sun on a grid, -inf beside the vehicle."""

    axes: Floats  # (3, 3) float32: across and down the map, and towards the sun
    origin: Floats  # (2,) of the map, in metres
    scale: float  # cells per metre
    heights: Floats  # (H, W) float32
    covered: Floats  # (H, W) float32: 1 where the vehicle is, with soft edges

    def lit(self, points: Floats) -> Floats:
        """Return (N,) float32: 1 for points (3, N) of the vehicle in the sun, 0 for those in its shadow."""
        column, row, height = self._place(points.reshape(3, 1, -1))
        high, wide = self.heights.shape
        nearest = self.heights[
            np.clip(row.astype(np.int32), 0, high - 1)[0], np.clip(column.astype(np.int32), 0, wide - 1)[0]
        ]
        return np.asarray(nearest < height[0] + np.float32(BIAS_M), dtype=np.float32)

    def falls_on(self, x: Floats, y: Floats) -> Floats:
        """Return (H, W): the share of sunlight that the vehicle keeps from the ground at (x, y)."""
        column, row, _ = self._place(np.stack([x, y, np.zeros_like(x)]))
        return np.asarray(cv2.remap(self.covered, column, row, cv2.INTER_LINEAR))

    def _place(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """Return column, row and height of points (3, H, W)."""
        across, down, height = np.tensordot(self.axes, points.astype(np.float32), 1)
        scale, (left, top) = np.float32(self.scale), self.origin.astype(np.float32)
        return (across - left) * scale, (down - top) * scale, height


def map_sun(mesh: Mesh, sun: Floats) -> SunMap:
    """Return the shadow map of `mesh` for a sun in the direction of the unit vector `sun` (3,)."""
    across = np.cross([0.0, 0.0, 1.0], sun)
    across /= max(float(np.linalg.norm(across)), 1e-6)
    axes = np.stack([across, np.cross(sun, across), sun])
    points = mesh.corners @ axes.T
    low, high = points.min(axis=(0, 1)), points.max(axis=(0, 1))
    scale = (CELLS - 4) / float(max(high[:2] - low[:2]))
    origin = low[:2] - 2 / scale
    screen = (points[..., :2] - origin) * scale
    wide, tall = (int(cells) + 3 for cells in (high[:2] - low[:2]) * scale)
    index = rasterise(screen, points[..., 2] - low[2] + 1.0, (tall, wide))
    rows, columns = np.nonzero(index != NOTHING)
    seen, nearest = np.unique(index[rows, columns], return_inverse=True)
    by_column, by_row, constant = planes(screen[seen], points[seen, :, 2:])[nearest, 0].T
    heights = np.full((tall, wide), -np.inf, np.float32)
    heights[rows, columns] = by_column * (columns + 0.5) + by_row * (rows + 0.5) + constant
    covered = cv2.GaussianBlur((index != NOTHING).astype(np.float32), (0, 0), 0.8)
    return SunMap(axes.astype(np.float32), origin, scale, heights, covered)


@dataclass(frozen=True)
class DimmedGround:
    """The share of sky light that the vehicle keeps from the ground around it."""

    origin: tuple[float, float]
    share: Floats  # (H, W) float32 on a grid of CELL_M, rows along x

    def falls_on(self, x: Floats, y: Floats) -> Floats:
        """Return (H, W): the share of sky light missing at (x, y)."""
        column, row = ((value - start) / np.float32(CELL_M) for value, start in zip((y, x), self.origin, strict=True))
        return np.asarray(cv2.remap(self.share, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR))


def map_dimmed_ground(mesh: Mesh) -> DimmedGround:
    """Return the soft shadow below the outline of the mesh."""
    outline = cv2.convexHull(mesh.corners.reshape(-1, 3)[:, :2].astype(np.float32))[:, 0]
    low, high = outline.min(axis=0) - REACH_M, outline.max(axis=0) + REACH_M
    tall, wide = (int(cells) + 1 for cells in (high - low) / CELL_M)
    mask = np.zeros((tall, wide), np.uint8)
    corners = np.round((outline - low)[:, ::-1] / CELL_M).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255)
    share = sum(cv2.GaussianBlur(mask, (0, 0), blur / CELL_M).astype(np.float32) for blur in (0.06, 0.30))
    return DimmedGround((float(low[1]), float(low[0])), np.asarray(share * np.float32(UNDER / 510)))


@dataclass(frozen=True)
class Environment:
    """What the vehicle mirrors, and how it shades itself and the ground (the protocol of `shade_vehicle`)."""

    panorama: Panorama
    sun: SunMap | None  # None if the sun is too weak to cast a visible shadow
    ground: DimmedGround

    def arriving(self, direction: Floats) -> Floats:
        """Return the light (3, ...) from unit directions (3, ...)."""
        return self.panorama.arriving(direction)

    def exposure(self, points: Floats, normals: Floats) -> tuple[Floats, Floats]:
        """Return the shares (N,) of sun and sky that reach points (3, N) of the vehicle with these normals."""
        low, full = NEAR_GROUND
        sky = np.clip(low + (1 - low) / full * points[2], low, 1)
        return np.ones_like(sky) if self.sun is None else self.sun.lit(points + np.float32(OFFSET_M) * normals), sky

    def on_ground(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return the shares (H, W) of sun and sky that reach the ground at (x, y)."""
        return np.ones_like(x) if self.sun is None else 1 - self.sun.falls_on(x, y), 1 - self.ground.falls_on(x, y)


def surround(mesh: Mesh, panorama: Panorama, light: Light) -> Environment:
    """Return the environment of a vehicle with this surface."""
    has_sun = float(light.sun_colour.mean()) > 0.15 * float((light.horizon + light.zenith).mean())
    return Environment(panorama, map_sun(mesh, light.sun[:, 0]) if has_sun else None, map_dimmed_ground(mesh))
