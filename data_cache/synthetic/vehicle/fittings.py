"""Everything mounted on the shell: wheels, mirrors, roof carriers and equipment, and the chassis below."""

import numpy as np

from data_cache.synthetic.geometry.atlas import Colour, Material
from data_cache.synthetic.geometry.mesh import Mesh, Solid, bar, box, ellipsoid, join_solids
from data_cache.synthetic.vehicle.canvas import Canvas
from data_cache.synthetic.vehicle.wheels import build_wheels

DARK: Colour = (30, 30, 33)
HOUSING: Colour = (32, 32, 34)  # of black mirrors, and of every mirror's stalk
MIRROR_GLASS: Colour = (120, 132, 140)


def build_fittings(canvas: Canvas) -> list[Mesh]:
    """Return the meshes of everything mounted on the shell."""
    roof = [*build_carrier(canvas), *build_roof_equipment(canvas)]
    return [*build_wheels(canvas), *_mirrors(canvas), *roof, build_chassis(canvas)]


def build_carrier(canvas: Canvas) -> list[Mesh]:
    """Return the roof carrier (rails, bars, basket or box) as one part; most vehicles have none."""
    kind = canvas.individual.carrier
    if kind == "none":
        return []
    body = canvas.body
    first, last = body.windshield[1] + 0.15, body.rear_glass[0] - 0.10
    part = canvas.add_part("carrier")
    y = 0.80 * float(body.edge_at((first + last) / 2))
    level = float(body.top_at(np.linspace(first, last, 9)).max()) + 0.035  # clear of the highest point of the roof
    front, rear = body.ahead(first), body.ahead(last)
    rails = [bar((front, side * y, level), (rear, side * y, level), 0.05) for side in (1, -1)]
    shares = (0.2, 0.8) if kind in ("bars", "box") else (0.05, 0.35, 0.65, 0.95)
    crossing = [front + share * (rear - front) for share in shares]
    stands = crossing if kind == "box" else [front, rear]
    feet = [bar((x, side * y, level - 0.16), (x, side * y, level), 0.05) for x in stands for side in (1, -1)]
    bars = [bar((x, -y, level), (x, y, level), 0.05) for x in crossing]
    if kind == "rails":
        shade = DARK if canvas.design.black_mirrors else (176, 179, 183)
        return [canvas.flat(join_solids([*rails, *feet]), shade, Material.METAL, part)]
    if kind in ("bars", "basket"):
        upper = [piece.moved((0, 0, 0.11)) for piece in (*rails, bars[0], bars[-1])] if kind == "basket" else []
        shade = (34, 34, 36) if kind == "basket" else DARK
        return [canvas.flat(join_solids([*bars, *rails, *upper, *feet]), shade, Material.MATTE, part)]
    radii = (0.42 * (last - first), 0.72 * y, 0.17)
    luggage = ellipsoid(((front + rear) / 2, 0.0, level + 0.18), radii, power=0.45, segments=20)
    frame = canvas.flat(join_solids([*bars, *feet]), DARK, Material.MATTE, part)
    return [frame, canvas.flat(luggage, (48, 50, 54), Material.PAINT, part)]


def build_roof_equipment(canvas: Canvas) -> list[Mesh]:
    """Return spoiler, antenna, hatch, beacon and sign, none of which is a part."""
    meshes = [_spoiler(canvas)] if canvas.design.roof.spoiler else []
    kind = canvas.design.roof.equipment
    if kind == "none" or (kind in ("hatch", "beacon", "sign") and canvas.individual.carrier == "box"):
        return meshes
    return [*meshes, _equipment(canvas, kind)]


def _spoiler(canvas: Canvas) -> Mesh:
    """Return the lip above the rear window."""
    body = canvas.body
    s = body.rear_glass[0] + 0.06
    width = 1.62 * float(body.edge_at(s))
    lip = box((body.ahead(s), 0.0, float(body.top_at(body.rear_glass[0] - 0.1)) - 0.01), (0.30, width, 0.035))
    colour = (26, 26, 28) if canvas.design.roof.dark or canvas.design.black_mirrors else canvas.design.paint
    return canvas.flat(lip, colour, Material.PAINT)


def _equipment(canvas: Canvas, kind: str) -> Mesh:
    body = canvas.body
    first, last = body.windshield[1], body.rear_glass[0]
    back, middle = last - 0.18, 0.45 * first + 0.55 * last

    def at(s: float, up: float) -> tuple[float, float, float]:
        return body.ahead(s), 0.0, float(body.top_at(s)) + up

    if kind == "fin":
        return canvas.flat(ellipsoid(at(back, 0.02), (0.09, 0.028, 0.065), segments=8), DARK, Material.PAINT)
    if kind == "rod":
        x, y, z = at(back, 0.0)
        return canvas.flat(bar((x, y, z), (x - 0.16, y, z + 0.28), 0.018), DARK)
    if kind == "sign":
        return canvas.flat(box(at(middle, 0.06), (0.16, 0.42, 0.13)), (236, 206, 60), Material.LENS)
    if kind == "hatch":
        unit = ellipsoid(at(middle, 0.02), (0.42, 0.36, 0.09), power=0.35, segments=16)
        return canvas.flat(unit, (206, 208, 208), Material.MATTE)
    half = 0.62 * float(body.edge_at(first + 0.3))
    beacon = box(at(first + 0.3, 0.06), (0.22, 2 * half, 0.10))
    return canvas.flat(beacon, (196, 26, 30) if canvas.design.chrome else (36, 60, 180), Material.LENS)


def _mirrors(canvas: Canvas) -> list[Mesh]:
    """Return housing, stalk and glass of both outside mirrors."""
    body = canvas.body
    s = body.windows[0] + 0.20
    scale = 1.35 if body.name in ("minibus", "pickup") else 1.0
    z = float(body.belt_at(s)) + 0.10 * scale
    colour = HOUSING if canvas.design.black_mirrors else canvas.design.paint
    material = Material.MATTE if canvas.design.black_mirrors else Material.PAINT
    meshes = []
    for side in (1, -1):
        y = side * (float(body.half_width_at(s)) + 0.09)
        x = body.ahead(s)
        housing = ellipsoid((x, y, z), (0.075, 0.125 * scale, 0.085 * scale), power=0.7, segments=14)
        stalk = bar((x, y - side * 0.16, z - 0.06), (x, y, z - 0.05), 0.05)
        glass = box((x - 0.07, y, z), (0.02, 0.20 * scale, 0.125 * scale))
        meshes += mirror_meshes(canvas, housing, stalk, glass, (colour, material))
    return meshes


def mirror_meshes(
    canvas: Canvas, housing: Solid, arms: Solid, glass: Solid, finish: tuple[Colour, Material]
) -> list[Mesh]:
    """Return one outside mirror as one part; `finish` is the colour and material of its housing."""
    part = canvas.add_part("back mirror")
    return [
        canvas.flat(housing, *finish, part),
        canvas.flat(arms, HOUSING, Material.MATTE, part),
        canvas.flat(glass, MIRROR_GLASS, Material.METAL, part),
    ]


def build_chassis(canvas: Canvas) -> Mesh:
    """Return dark blocks between the wheels, which stop light from passing through the wheel arches.

    The rear block ends behind the wheel arch and above the bumper's lower edge, so that the tyres stay visible below.
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
