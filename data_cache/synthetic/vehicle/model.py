"""The finished model of one vehicle: exterior and interior meshes, texture atlas and parts."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.design.traits import Vehicle
from data_cache.synthetic.geometry.arrays import Booleans, Floats
from data_cache.synthetic.geometry.atlas import Atlas, Material
from data_cache.synthetic.geometry.mesh import Mesh, flat_normals, join_meshes
from data_cache.synthetic.vehicle.canvas import Canvas, Part
from data_cache.synthetic.vehicle.fittings import build_fittings
from data_cache.synthetic.vehicle.front import paint_front
from data_cache.synthetic.vehicle.interior import build_interior
from data_cache.synthetic.vehicle.rear import paint_rear
from data_cache.synthetic.vehicle.shell import Shell, loft
from data_cache.synthetic.vehicle.sides import paint_damages, paint_sides, paint_top
from data_cache.synthetic.vehicle.wide.fittings import build_fittings as build_wide_fittings
from data_cache.synthetic.vehicle.wide.paint import paint_wide

UNDERSIDE = (14, 14, 15)
END_REACH = 0.5  # metres from nose and tail within which the front and rear skins are used


@dataclass(frozen=True)
class Model:
    """Meshes and textures of one vehicle; part number n is `parts[n - 1]`, 0 is no part."""

    outside: Mesh
    inside: Mesh  # visible through glass only
    atlas: Atlas
    parts: tuple[Part, ...]


def build_model(vehicle: Vehicle) -> Model:
    """Build the model of a vehicle; this step is deterministic."""
    canvas = Canvas(vehicle)
    if vehicle.design.details is None:
        lamps = paint_front(canvas) | paint_rear(canvas)
        paint_sides(canvas, lamps)
        paint_top(canvas)
        paint_damages(canvas)
    else:
        paint_wide(canvas)
    canvas.atlas.soften()
    shell = _texture_shell(canvas, loft(canvas.body))
    fittings = build_fittings(canvas) if vehicle.design.details is None else build_wide_fittings(canvas)
    outside = join_meshes([shell, *fittings])
    inside = join_meshes(build_interior(canvas))
    return Model(outside, inside, canvas.atlas, tuple(canvas.parts))


def _texture_shell(canvas: Canvas, shell: Shell) -> Mesh:
    """Map the skins onto the shell; each triangle takes the skin that it faces most."""
    corners = shell.solid.corners
    facing = flat_normals(corners)[:, 0]
    x, y, z = (corners[..., axis] for axis in range(3))
    (low, high), (back, end) = canvas.body.windshield, canvas.body.rear_glass
    is_windshield = shell.is_upper & (shell.s > low) & (shell.s < high)
    is_rear_glass = shell.is_upper & (shell.s > back) & (shell.s < end)
    steepest = np.maximum(np.abs(facing[:, 1]), facing[:, 2])
    is_front = is_windshield | ((facing[:, 0] > steepest) & (shell.s < END_REACH))
    is_rear = is_rear_glass | ((-facing[:, 0] > steepest) & (shell.s > canvas.body.length - END_REACH))
    is_top = shell.is_upper | (facing[:, 2] > np.abs(facing[:, 1]))
    choices: list[tuple[Booleans, str, Floats, Floats]] = [
        (is_front, "front", y, z),
        (is_rear, "rear", -y, z),
        (is_top, "top", x, y),
        (facing[:, 1] > 0, "left", -x, z),
        (np.ones(len(corners), np.bool_), "right", x, z),
    ]
    texture = np.zeros((*corners.shape[:2], 2))
    remaining = ~shell.is_under
    if canvas.body.cargo is not None:  # the rear skin is that of the load space
        rows = remaining & is_rear
        texture[rows] = canvas.atlas.swatch(canvas.design.paint, Material.PAINT)
        remaining &= ~rows
    texture[shell.is_under] = canvas.atlas.swatch(UNDERSIDE, Material.MATTE)
    for chosen, name, u, v in choices:
        rows = remaining & chosen
        texture[rows] = canvas.skin(name).texture(u[rows], v[rows])
        remaining &= ~rows
    return Mesh(corners, shell.solid.normals, texture, np.zeros(len(corners), np.uint8))
