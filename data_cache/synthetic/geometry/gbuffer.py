"""The G-buffer: normal, albedo, material and part of the nearest surface at every pixel."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats, Integers
from data_cache.synthetic.geometry.atlas import Atlas
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.mesh import Mesh
from data_cache.synthetic.geometry.rasterise import NOTHING, planes, rasterise, signed_area

TO_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)  # display value to linear light


@dataclass(frozen=True)
class GBuffer:
    """The visible surface of a mesh at N pixels; vector components are on the first axis, for speed."""

    pixel: Integers  # (N,) row-major, ascending
    normal: Floats  # (3, N) unit vectors
    colour: Floats  # (3, N) linear albedo
    material: Bytes  # (N,)
    part: Bytes  # (N,) 0 for none
    depth: Floats  # (N,) metres along the camera's axis


def fill_gbuffer(
    mesh: Mesh, atlas: Atlas, camera: Camera, shape: tuple[int, int], within: Integers | None = None
) -> GBuffer:
    """Return the nearest front-facing surface of `mesh` at each pixel, or only at the pixels `within` (ascending)."""
    screen, depth = camera.project(mesh.corners)
    facing = np.flatnonzero(signed_area(screen) > 0)
    screen, inverse = screen[facing], 1.0 / depth[facing]
    index = rasterise(screen, inverse, shape).ravel()
    pixel = np.flatnonzero(index != NOTHING) if within is None else within[index[within] != NOTHING]
    seen, nearest = _unique(index[pixel], len(facing))
    triangle = facing[seen]
    ones = np.ones((len(seen), 3, 1))
    values = np.concatenate([mesh.normals[triangle], mesh.texture[triangle], ones], axis=2) * inverse[seen][..., None]
    value = _interpolate(planes(screen[seen], values), nearest, pixel, shape[1])
    normal = value[:3] / np.maximum(np.sqrt(np.einsum("cn,cn->n", value[:3], value[:3])), 1e-9)
    texel = _texel(value[3:5] / value[5], atlas)
    painted = atlas.part.reshape(-1)[texel]
    return GBuffer(
        pixel=pixel,
        normal=normal,
        colour=TO_LINEAR[np.ascontiguousarray(atlas.colour.reshape(-1, 3)[texel].T)],
        material=atlas.material.reshape(-1)[texel],
        part=np.where(painted > 0, painted, mesh.part[triangle][nearest]),
        depth=1 / value[5],
    )


def _unique(index: Integers, count: int) -> tuple[Integers, Integers]:
    """Return the distinct values of `index` (N,), all below `count`, and the position of each entry among them."""
    present = np.zeros(count, np.bool_)
    present[index] = True
    return np.flatnonzero(present), (np.cumsum(present) - 1)[index]


def _interpolate(coefficients: Floats, nearest: Integers, pixel: Integers, width: int) -> Floats:
    """Return (C, N): attributes divided by depth, which are affine on the screen, at the pixel centres."""
    by_column, by_row, constant = (np.ascontiguousarray(coefficients[:, :, i].T, np.float32) for i in range(3))
    row, column = np.divmod(pixel, width)
    value = np.take(by_column, nearest, axis=1)
    value *= column.astype(np.float32) + np.float32(0.5)
    rows = np.take(by_row, nearest, axis=1)
    rows *= row.astype(np.float32) + np.float32(0.5)
    value += rows
    value += np.take(constant, nearest, axis=1)
    return value


def _texel(position: Floats, atlas: Atlas) -> Integers:
    """Return the flat atlas indices (N,) of atlas positions (2, N)."""
    height, width = atlas.material.shape
    column = np.clip(position[0], 0, width - 1).astype(np.int32)
    row = np.clip(position[1], 0, height - 1).astype(np.int32)
    return np.asarray(row * width + column)
