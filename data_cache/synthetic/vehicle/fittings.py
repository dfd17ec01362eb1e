"""What is built onto the shell: wheels, mirrors, what stands on the roof, wheel wells, lining of the underside."""

from data_cache.synthetic.geometry.atlas import Material
from data_cache.synthetic.geometry.mesh import Mesh, bar, box, ellipsoid, join_solids
from data_cache.synthetic.vehicle.canvas import Canvas
from data_cache.synthetic.vehicle.roof import build_carrier, build_roof_things
from data_cache.synthetic.vehicle.wheels import build_wheels


def build_fittings(canvas: Canvas) -> list[Mesh]:
    """Return the meshes of everything outside the shell."""
    on_roof = [*build_carrier(canvas), *build_roof_things(canvas)]
    return [*build_wheels(canvas), *_mirrors(canvas), *on_roof, _chassis(canvas)]


def _mirrors(canvas: Canvas) -> list[Mesh]:
    """Return housing and stalk of both mirrors, and their glass, which faces backwards."""
    body = canvas.body
    s = body.windows[0] + 0.20
    big = 1.35 if body.name in ("minibus", "pickup") else 1.0
    high = float(body.belt_at(s)) + 0.10 * big
    colour = (32, 32, 34) if canvas.design.black_mirrors else canvas.design.paint
    material = Material.MATTE if canvas.design.black_mirrors else Material.PAINT
    meshes = []
    for side in (1, -1):
        part = canvas.add_part("back mirror")
        y = side * (float(body.half_width_at(s)) + 0.09)
        x = body.ahead(s)
        housing = ellipsoid((x, y, high), (0.075, 0.125 * big, 0.085 * big), power=0.7, segments=14)
        stalk = bar((x, y - side * 0.16, high - 0.06), (x, y, high - 0.05), 0.05)
        glass = box((x - 0.07, y, high), (0.02, 0.20 * big, 0.125 * big))
        meshes.append(canvas.flat(housing, colour, material, part))
        meshes.append(canvas.flat(stalk, (32, 32, 34), Material.MATTE, part))
        meshes.append(canvas.flat(glass, (120, 132, 140), Material.METAL, part))
    return meshes


def _chassis(canvas: Canvas) -> Mesh:
    """Return the dark blocks between the wheels, so that no light passes through the wheel wells.

    Behind the rear axle they end with the well and above the bumper's edge, so that the tyres are seen below it.
    """
    body = canvas.body
    (front, rear), half = body.axles, 0.62 * body.width / 2
    top = min(2.3 * body.wheel_radius, float(body.belt_at(front)) - 0.08)
    blocks = []
    for first, last, low in (
        (front - 0.55, rear, body.sill - 0.04),
        (rear, rear + body.wheel_radius + 0.10, body.sill + body.tail_lift - 0.02),
    ):
        middle = (body.ahead((first + last) / 2), 0.0, (top + low) / 2)
        blocks.append(box(middle, (last - first, 2 * half, top - low)))
    return canvas.flat(join_solids(blocks), (10, 10, 11), Material.MATTE)
