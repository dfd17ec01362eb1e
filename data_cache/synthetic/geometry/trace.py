"""From triangles to surfaces: for every pixel of a picture, the nearest surface with its normal, colour and part."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats, Integers
from data_cache.synthetic.geometry.atlas import Atlas
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.mesh import Mesh
from data_cache.synthetic.geometry.rasterise import NOTHING, front_facing, planes, rasterise

TO_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)  # display value to light


@dataclass(frozen=True)
class Hits:
    """What the camera sees of a mesh: N pixels with their surface; vectors lie along the first axis, for speed."""

    pixel: Integers  # (N,) row-major, ascending
    normal: Floats  # (3, N) unit vectors
    colour: Floats  # (3, N) linear albedo
    material: Bytes  # (N,)
    part: Bytes  # (N,)


def trace(mesh: Mesh, atlas: Atlas, camera: Camera, shape: tuple[int, int], within: Integers | None = None) -> Hits:
    """Find the nearest front-facing surface of `mesh` at each pixel; `within` keeps only these (flat, ascending)."""
    screen, depth = camera.project(mesh.corners)
    facing = np.flatnonzero(front_facing(screen))
    screen, inverse = screen[facing], 1.0 / depth[facing]
    index = rasterise(screen, inverse, shape).ravel()
    pixel = np.flatnonzero(index != NOTHING) if within is None else within[index[within] != NOTHING]
    seen, nearest = _numbered(index[pixel], len(facing))
    triangle = facing[seen]
    ones = np.ones((len(seen), 3, 1))
    values = np.concatenate([mesh.normals[triangle], mesh.texture[triangle], ones], axis=2) * inverse[seen][..., None]
    value = _interpolated(planes(screen[seen], values), nearest, pixel, shape[1])
    normal = value[:3] / np.maximum(np.sqrt(np.einsum("cn,cn->n", value[:3], value[:3])), 1e-9)
    texel = _texel(value[3:5] / value[5], atlas)
    painted = atlas.part.reshape(-1)[texel]
    return Hits(
        pixel=pixel,
        normal=normal,
        colour=TO_LINEAR[np.ascontiguousarray(atlas.colour.reshape(-1, 3)[texel].T)],
        material=atlas.material.reshape(-1)[texel],
        part=np.where(painted > 0, painted, mesh.part[triangle][nearest]),
    )


def _numbered(index: Integers, count: int) -> tuple[Integers, Integers]:
    """Return the distinct values of `index` (N,), all below `count`, and each entry's place among them."""
    present = np.zeros(count, np.bool_)
    present[index] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[index]


def _interpolated(coefficients: Floats, nearest: Integers, pixel: Integers, width: int) -> Floats:
    """Return (C, N): attributes over depth, which are affine on the screen, at the pixel centres."""
    by_column, by_row, constant = (np.ascontiguousarray(coefficients[:, :, i].T, np.float32) for i in range(3))
    row, column = np.divmod(pixel, width)
    value = np.take(by_column, nearest, axis=1)
    value *= column.astype(np.float32) + np.float32(0.5)
    rows = np.take(by_row, nearest, axis=1)
    rows *= row.astype(np.float32) + np.float32(0.5)
    value += rows
    value += np.take(constant, nearest, axis=1)
    return value


def _texel(place: Floats, atlas: Atlas) -> Integers:
    """Return the flat atlas index (N,) of atlas positions (2, N)."""
    height, width = atlas.material.shape
    column = np.clip(place[0], 0, width - 1).astype(np.int32)
    row = np.clip(place[1], 0, height - 1).astype(np.int32)
    return np.asarray(row * width + column)
