"""What is built onto the shell: wheels, mirrors, roof carrier, wheel wells, lining of the underside."""

import numpy as np

from data_cache.synthetic.atlas import Colour, Material, Skin, ellipse
from data_cache.synthetic.canvas import Canvas
from data_cache.synthetic.mesh import Mesh, Solid, bar, box, ellipsoid, join_solids, tube

RUBBER: Colour = (24, 24, 25)
ALLOY: Colour = (186, 189, 193)
DARK: Colour = (30, 30, 33)
TYRE_WIDTH = 0.22
RIM_SHARE = 0.72  # of the wheel's radius
# (y, radius) from the inner middle over the tread to the outer middle, in shares of half the width and of the radius
WHEEL_PROFILE = ((-1, 0), (-1, 0.9), (-0.8, 1), (0.8, 1), (1, 0.93), (1, 0.74), (0.72, 0.70), (0.8, 0.02))


def build_fittings(canvas: Canvas) -> list[Mesh]:
    """Return the meshes of everything outside the shell."""
    return [*_wheels(canvas), *_mirrors(canvas), *_carrier(canvas), _chassis(canvas)]


def paint_wheel(skin: Skin, style: int) -> None:
    """Paint a wheel's face, u and v in shares of its radius: tyre, rim, spokes or cover by `style`."""
    skin.fill(RUBBER, Material.MATTE)
    dark_rim = style in (2, 5)
    skin.polygon(ellipse((0, 0), (RIM_SHARE, RIM_SHARE), 32), (60, 61, 64) if dark_rim else ALLOY, Material.METAL)
    skin.polygon(ellipse((0, 0), (0.63, 0.63), 32), DARK, Material.MATTE)
    spokes = (5, 10, 6, 0, 7, 5, 3)[style]
    wide = (0.15, 0.065, 0.12, 0.0, 0.11, 0.19, 0.26)[style]
    colour = (78, 80, 84) if style == 2 else (54, 55, 58) if style == 5 else ALLOY
    for angle in np.arange(spokes) * 2 * np.pi / max(spokes, 1):
        across = np.array([-np.sin(angle), np.cos(angle)]) * wide
        tip = np.array([np.cos(angle), np.sin(angle)]) * 0.66
        twist = across * (1.5 if style == 4 else 0.0)
        corners = [-across * 0.8, across * 0.8, tip + across + twist, tip - across + twist]
        skin.polygon([(float(u), float(v)) for u, v in corners], colour, Material.METAL)
    if style == 3:
        skin.polygon(ellipse((0, 0), (0.66, 0.66), 32), (150, 152, 155), Material.METAL)
        for angle in np.arange(9) * 2 * np.pi / 9:
            hole = (0.47 * float(np.cos(angle)), 0.47 * float(np.sin(angle)))
            skin.polygon(ellipse(hole, (0.09, 0.09)), DARK, Material.MATTE)
    skin.polygon(ellipse((0, 0), (0.17, 0.17)), colour, Material.METAL)
    skin.polygon(ellipse((0, 0), (0.09, 0.09)), (90, 92, 95), Material.METAL)


def _wheels(canvas: Canvas) -> list[Mesh]:
    body = canvas.body
    skin = canvas.skin("wheel")
    paint_wheel(skin, canvas.individual.rim)
    radius, half = body.wheel_radius, TYRE_WIDTH / 2
    solid = tube(np.array(WHEEL_PROFILE) * (half, radius))
    mirrored = Solid((solid.corners * [1, -1, 1])[:, ::-1], (solid.normals * [1, -1, 1])[:, ::-1])
    meshes = []
    for axle in body.axles:
        inset = float(body.half_width_at(axle)) - half - 0.015
        for wheel, y, outward in ((solid, inset, 1), (mirrored, -inset, -1)):
            part = canvas.add_part("wheel")
            placed = wheel.moved((body.ahead(axle), y, radius))
            mesh = canvas.flat(placed, RUBBER, Material.MATTE, part)
            face = outward * wheel.normals[:, :, 1].mean(axis=1) > 0.6
            texture = mesh.texture.copy()
            texture[face] = skin.texture(
                -outward * wheel.corners[face, :, 0] / radius, wheel.corners[face, :, 2] / radius
            )
            normals = placed.normals.copy()
            normals[face] = (0.0, outward, 0.0)
            meshes.append(Mesh(mesh.corners, normals, texture, mesh.part))
    return meshes


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


def _carrier(canvas: Canvas) -> list[Mesh]:
    """Return the roof carrier: rails, bars, a basket or a box; none for most vehicles."""
    kind = canvas.individual.carrier
    if kind == "none":
        return []
    body = canvas.body
    first, last = body.windshield[1] + 0.15, body.rear_glass[0] - 0.10
    part = canvas.add_part("carrier")
    y = 0.80 * float(body.edge_at((first + last) / 2))
    level = float(body.top_at(np.linspace(first, last, 9)).max()) + 0.035  # clear of the roof's crown
    front, rear = body.ahead(first), body.ahead(last)
    rails = [bar((front, side * y, level), (rear, side * y, level), 0.05) for side in (1, -1)]
    places = (0.2, 0.8) if kind in ("bars", "box") else (0.05, 0.35, 0.65, 0.95)
    crossing = [front + share * (rear - front) for share in places]
    stands = crossing if kind == "box" else [front, rear]
    feet = [bar((x, side * y, level - 0.16), (x, side * y, level), 0.05) for x in stands for side in (1, -1)]
    bars = [bar((x, -y, level), (x, y, level), 0.05) for x in crossing]
    if kind == "rails":
        return [canvas.flat(join_solids([*rails, *feet]), (176, 179, 183), Material.METAL, part)]
    if kind == "bars":
        return [canvas.flat(join_solids([*bars, *rails, *feet]), DARK, Material.MATTE, part)]
    if kind == "basket":
        upper = [piece.moved((0, 0, 0.11)) for piece in (*rails, bars[0], bars[-1])]
        return [canvas.flat(join_solids([*bars, *rails, *upper, *feet]), (34, 34, 36), Material.MATTE, part)]
    radii = (0.42 * (last - first), 0.72 * y, 0.17)
    trunk = ellipsoid(((front + rear) / 2, 0.0, level + 0.18), radii, power=0.45, segments=20)
    frame = canvas.flat(join_solids([*bars, *feet]), DARK, Material.MATTE, part)
    return [frame, canvas.flat(trunk, (48, 50, 54), Material.PAINT, part)]


def _chassis(canvas: Canvas) -> Mesh:
    """Return the dark block between the wheels, so that no light passes through the wheel wells."""
    body = canvas.body
    reach = body.axles[1] - body.axles[0] + 1.1
    middle = body.ahead(sum(body.axles) / 2)
    top = min(2.3 * body.wheel_radius, float(body.belt_at(body.axles[0])) - 0.08)
    low = body.sill - 0.04
    block = box((middle, 0.0, (top + low) / 2), (reach, 2 * 0.62 * body.width / 2, top - low))
    return canvas.flat(block, (10, 10, 11), Material.MATTE)
