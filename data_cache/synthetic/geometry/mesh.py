"""Textured triangle meshes with part numbers, and the solids that vehicles are built from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """T triangles, each visible from the side on which its corners run counter-clockwise."""

    corners: Floats  # (T, 3, 3) metres: x ahead, y left, z up
    normals: Floats  # (T, 3, 3) unit length
    texture: Floats  # (T, 3, 2) column and row in the atlas
    part: Bytes  # (T,) part number, 0 for none

    def __post_init__(self) -> None:
        count = len(self.corners)
        shapes = {"corners": (count, 3, 3), "normals": (count, 3, 3), "texture": (count, 3, 2), "part": (count,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}")


@dataclass(frozen=True)
class Solid:
    """Bare geometry: triangle corners (T, 3, 3) and their normals (T, 3, 3)."""

    corners: Floats
    normals: Floats

    def moved(self, offset: Vector) -> "Solid":
        """Return the solid moved by `offset` metres."""
        return Solid(self.corners + np.asarray(offset), self.normals)

    def inverted(self) -> "Solid":
        """Return the same surface facing the other way."""
        return Solid(self.corners[:, ::-1], -self.normals[:, ::-1])

    def tilted(self, angle: float) -> "Solid":
        """Return the solid turned by `angle` radians about the lateral (y) axis through the origin."""
        cosine, sine = np.cos(angle), np.sin(angle)
        return self._turned([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])

    def rolled(self, angle: float) -> "Solid":
        """Return the solid turned by `angle` radians about the longitudinal (x) axis through the origin."""
        cosine, sine = np.cos(angle), np.sin(angle)
        return self._turned([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])

    def _turned(self, rotation: Sequence[Sequence[float]]) -> "Solid":
        return Solid(self.corners @ np.array(rotation), self.normals @ np.array(rotation))


def join_meshes(meshes: Sequence[Mesh]) -> Mesh:
    """Return one mesh with all triangles, in order."""
    return Mesh(
        *(
            np.concatenate([getattr(mesh, name) for mesh in meshes])
            for name in ("corners", "normals", "texture", "part")
        )
    )


def join_solids(solids: Sequence[Solid]) -> Solid:
    """Return one solid with all triangles, in order."""
    return Solid(np.concatenate([s.corners for s in solids]), np.concatenate([s.normals for s in solids]))


def flat_normals(corners: Floats) -> Floats:
    """Return (T, 3, 3): the face normal of every triangle, repeated at its corners."""
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    face = face / np.maximum(np.linalg.norm(face, axis=1, keepdims=True), 1e-12)
    return np.repeat(face[:, None], 3, axis=1)


def grid_solid(points: Floats, *, smooth: bool = True) -> Solid:
    """Return the surface through a grid of points (R, C, 3), facing along (column direction) x (row direction)."""
    corners = _grid_triangles(points)
    if not smooth:
        return Solid(corners, flat_normals(corners))
    faces = np.cross(points[1:, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, 1:])
    normals = np.zeros_like(points)
    for columns in (slice(None, -1), slice(1, None)):
        for rows in (slice(None, -1), slice(1, None)):
            normals[rows, columns] += faces
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return Solid(corners, _grid_triangles(normals))


def _grid_triangles(grid: Floats) -> Floats:
    """Return (T, 3, 3): the values of a grid (R, C, 3) at the corners of two triangles per cell."""
    first, second, third, fourth = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    triangles = [np.stack([first, second, third], -2), np.stack([first, third, fourth], -2)]
    return np.stack(triangles, axis=2).reshape(-1, 3, 3)


def box(centre: Vector, size: Vector) -> Solid:
    """Return a box about `centre` with edge lengths `size`."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
    vertices = signs * np.asarray(size) / 2 + np.asarray(centre)
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    triangles = [index for a, b, c, d in quads for index in ((a, b, c), (a, c, d))]
    corners = vertices[np.array(triangles)]
    return Solid(corners, flat_normals(corners))


def ellipsoid(centre: Vector, radii: Vector, *, power: float = 1.0, segments: int = 10) -> Solid:
    """Return a superellipsoid: power 1 is an ellipsoid, smaller is boxier."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, max(4, segments // 2 + 1))[:, None]
    longitude = np.linspace(0, 2 * np.pi, segments + 1)[None]
    ones = np.ones_like(longitude)

    def bend(value: Floats) -> Floats:
        return np.sign(value) * np.abs(value) ** power

    unit = np.stack(
        [
            bend(np.cos(latitude)) * bend(np.cos(longitude)),
            bend(np.cos(latitude)) * bend(np.sin(longitude)),
            bend(np.sin(latitude)) * ones,
        ],
        axis=-1,
    )
    return grid_solid(unit * np.asarray(radii) + np.asarray(centre))


def tube(profile: Floats, segments: int = 20) -> Solid:
    """Return the surface of revolution of a profile (N, 2) of (y, radius) about the y axis, facing away from it."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)[None]
    along, radius = profile[:, 0:1], profile[:, 1:2]
    points = np.stack([radius * np.cos(angle), along * np.ones_like(angle), radius * np.sin(angle)], axis=-1)
    return grid_solid(points).inverted()


def bar(start: Vector, end: Vector, thickness: float) -> Solid:
    """Return a bar of square cross-section between two points."""
    first, last = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    along = (last - first) / np.linalg.norm(last - first)
    side = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    up = np.cross(side, along)
    ring = [(side + up), (up - side), (-side - up), (side - up), (side + up)]
    points = np.stack([[point + offset * thickness / 2 for offset in ring] for point in (first, last)])
    caps = np.stack([[points[0, 3], points[0, 2], points[0, 1]], [points[0, 3], points[0, 1], points[0, 0]]])
    ends = np.stack([[points[1, 0], points[1, 1], points[1, 2]], [points[1, 0], points[1, 2], points[1, 3]]])
    sides = grid_solid(points, smooth=False)
    corners = np.concatenate([sides.corners, caps, ends])
    return Solid(corners[:, ::-1], flat_normals(corners[:, ::-1]))
