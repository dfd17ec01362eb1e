"""Solids that are textured with the skins of the vehicle, by the direction in which their faces look."""

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.atlas import Colour, Material
from data_cache.synthetic.geometry.mesh import Mesh, Solid, flat_normals, grid_solid, join_solids
from data_cache.synthetic.vehicle.canvas import Canvas


def skinned(canvas: Canvas, solid: Solid, colour: Colour, material: Material = Material.PAINT) -> Mesh:
    """Return the solid with the left, right and rear skin on its faces, and `colour` on those facing ahead or up."""
    plain = canvas.flat(solid, colour, material)
    facing = flat_normals(solid.corners)[:, 0]
    x, y, z = (solid.corners[..., axis] for axis in range(3))
    texture = plain.texture.copy()
    for rows, name, u in (
        (facing[:, 0] < -0.7, "rear", -y),
        (facing[:, 1] > 0.6, "left", -x),
        (facing[:, 1] < -0.6, "right", x),
    ):
        texture[rows] = canvas.skin(name).texture(u[rows], z[rows])
    return Mesh(plain.corners, plain.normals, texture, plain.part)


def extruded(profile: Floats, rear: float, front: float) -> Solid:
    """Return the closed prism of a convex profile (N, 2) of (y, z), counter-clockwise from behind, between two x."""
    closed = np.concatenate([profile, profile[:1]])
    rings = [np.column_stack([np.full(len(closed), x), closed]) for x in (rear, front)]
    walls = grid_solid(np.stack(rings), smooth=False)
    middle = profile.mean(axis=0)
    ends = []
    for ring, outward in ((rings[0], -1), (rings[1], 1)):
        centre = np.array([ring[0, 0], *middle])
        triangles = np.stack([np.broadcast_to(centre, ring[:-1].shape), ring[:-1], ring[1:]], axis=1)
        if flat_normals(triangles)[0, 0, 0] * outward < 0:
            triangles = triangles[:, ::-1]
        ends.append(Solid(triangles, flat_normals(triangles)))
    first = walls.corners.mean(axis=1)[0, 1:] - middle
    if first @ walls.normals[0, 0, 1:] < 0:
        walls = walls.inverted()
    return join_solids([walls, *ends])
