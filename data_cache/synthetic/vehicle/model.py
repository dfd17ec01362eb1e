"""One vehicle ready to be photographed: its outer and inner triangles, its atlas and its parts."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.design.fleet import Vehicle
from data_cache.synthetic.geometry.arrays import Booleans, Floats
from data_cache.synthetic.geometry.atlas import Atlas, Material
from data_cache.synthetic.geometry.mesh import Mesh, flat_normals, join_meshes
from data_cache.synthetic.vehicle.canvas import Canvas, Part, new_canvas
from data_cache.synthetic.vehicle.fittings import build_fittings
from data_cache.synthetic.vehicle.front import paint_front
from data_cache.synthetic.vehicle.interior import build_interior
from data_cache.synthetic.vehicle.rear import paint_rear
from data_cache.synthetic.vehicle.shell import Shell, loft
from data_cache.synthetic.vehicle.sides import paint_marks, paint_sides, paint_top

UNDERSIDE = (14, 14, 15)
END_REACH = 0.5  # metres from nose and tail where the painted front and rear can lie


@dataclass(frozen=True)
class Model:
    """The geometry and paint of one vehicle; part number n is `parts[n - 1]`, 0 is no part."""

    outside: Mesh
    inside: Mesh  # seen only through glass
    atlas: Atlas
    parts: tuple[Part, ...]


def build_model(vehicle: Vehicle) -> Model:
    """Build a vehicle's model; no randomness is left in it."""
    canvas = new_canvas(vehicle)
    lamps = paint_front(canvas) | paint_rear(canvas)
    paint_sides(canvas, lamps)
    paint_top(canvas)
    paint_marks(canvas)
    canvas.atlas.soften()
    shell = _clothed(canvas, loft(canvas.body))
    outside = join_meshes([shell, *build_fittings(canvas)])
    inside = join_meshes(build_interior(canvas))
    return Model(outside, inside, canvas.atlas, tuple(canvas.parts))


def _clothed(canvas: Canvas, shell: Shell) -> Mesh:
    """Lay the painted views on the shell, each triangle taking the view that it faces most."""
    corners = shell.solid.corners
    facing = flat_normals(corners)[:, 0]
    x, y, z = (corners[..., axis] for axis in range(3))
    low, high = canvas.body.windshield
    back, end = canvas.body.rear_glass
    is_windshield = shell.is_upper & (shell.place > low) & (shell.place < high)
    is_rear_glass = shell.is_upper & (shell.place > back) & (shell.place < end)
    steepest = np.maximum(np.abs(facing[:, 1]), facing[:, 2])
    is_front = is_windshield | ((facing[:, 0] > steepest) & (shell.place < END_REACH))
    is_rear = is_rear_glass | ((-facing[:, 0] > steepest) & (shell.place > canvas.body.length - END_REACH))
    is_top = shell.is_upper | (facing[:, 2] > np.abs(facing[:, 1]))
    choices: list[tuple[Booleans, str, Floats, Floats]] = [
        (is_front, "front", y, z),
        (is_rear, "rear", -y, z),
        (is_top, "top", x, y),
        (facing[:, 1] > 0, "left", -x, z),
        (np.ones(len(corners), np.bool_), "right", x, z),
    ]
    texture = np.zeros((*corners.shape[:2], 2))
    left = ~shell.is_under
    texture[shell.is_under] = canvas.atlas.swatch(UNDERSIDE, Material.MATTE)
    for chosen, name, u, v in choices:
        rows = left & chosen
        texture[rows] = canvas.skin(name).texture(u[rows], v[rows])
        left &= ~rows
    return Mesh(corners, shell.solid.normals, texture, np.zeros(len(corners), np.uint8))
