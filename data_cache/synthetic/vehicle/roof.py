"""What stands on the roof: carriers, which are parts, and antennas, spoilers, hatches and signs, which are none."""

import numpy as np

from data_cache.synthetic.geometry.atlas import Colour, Material
from data_cache.synthetic.geometry.mesh import Mesh, bar, box, ellipsoid, join_solids
from data_cache.synthetic.vehicle.canvas import Canvas

DARK: Colour = (30, 30, 33)


def build_carrier(canvas: Canvas) -> list[Mesh]:
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
        shade = DARK if canvas.design.black_mirrors else (176, 179, 183)
        return [canvas.flat(join_solids([*rails, *feet]), shade, Material.METAL, part)]
    if kind == "bars":
        return [canvas.flat(join_solids([*bars, *rails, *feet]), DARK, Material.MATTE, part)]
    if kind == "basket":
        upper = [piece.moved((0, 0, 0.11)) for piece in (*rails, bars[0], bars[-1])]
        return [canvas.flat(join_solids([*bars, *rails, *upper, *feet]), (34, 34, 36), Material.MATTE, part)]
    radii = (0.42 * (last - first), 0.72 * y, 0.17)
    trunk = ellipsoid(((front + rear) / 2, 0.0, level + 0.18), radii, power=0.45, segments=20)
    frame = canvas.flat(join_solids([*bars, *feet]), DARK, Material.MATTE, part)
    return [frame, canvas.flat(trunk, (48, 50, 54), Material.PAINT, part)]


def build_roof_things(canvas: Canvas) -> list[Mesh]:
    """Return spoiler, antenna, hatch, beacon or sign: things on a roof that are no carrier."""
    meshes = []
    if canvas.design.roof.spoiler:
        meshes.append(_spoiler(canvas))
    thing = canvas.design.roof.thing
    if thing == "none" or (thing in ("hatch", "beacon", "sign") and canvas.individual.carrier == "box"):
        return meshes
    return [*meshes, *_thing(canvas, thing)]


def _spoiler(canvas: Canvas) -> Mesh:
    """Return the lip that stands out over the rear window."""
    body = canvas.body
    s = body.rear_glass[0] + 0.06
    wide = 1.62 * float(body.edge_at(s))
    lip = box((body.ahead(s), 0.0, float(body.top_at(body.rear_glass[0] - 0.1)) - 0.01), (0.30, wide, 0.035))
    colour = (26, 26, 28) if canvas.design.roof.dark or canvas.design.black_mirrors else canvas.design.paint
    return canvas.flat(lip, colour, Material.PAINT)


def _thing(canvas: Canvas, thing: str) -> list[Mesh]:
    body = canvas.body
    first, last = body.windshield[1], body.rear_glass[0]
    back, middle = last - 0.18, 0.45 * first + 0.55 * last

    def at(s: float, up: float) -> tuple[float, float, float]:
        return body.ahead(s), 0.0, float(body.top_at(s)) + up

    if thing == "fin":
        return [canvas.flat(ellipsoid(at(back, 0.02), (0.09, 0.028, 0.065), segments=8), DARK, Material.PAINT)]
    if thing == "rod":
        x, y, z = at(back, 0.0)
        return [canvas.flat(bar((x, y, z), (x - 0.16, y, z + 0.28), 0.018), DARK)]
    if thing == "sign":
        return [canvas.flat(box(at(middle, 0.06), (0.16, 0.42, 0.13)), (236, 206, 60), Material.LENS)]
    if thing == "hatch":
        unit = ellipsoid(at(middle, 0.02), (0.42, 0.36, 0.09), power=0.35, segments=16)
        return [canvas.flat(unit, (206, 208, 208), Material.MATTE)]
    half = 0.62 * float(body.edge_at(first + 0.3))
    light = box(at(first + 0.3, 0.06), (0.22, 2 * half, 0.10))
    return [canvas.flat(light, (196, 26, 30) if canvas.design.chrome else (36, 60, 180), Material.LENS)]
