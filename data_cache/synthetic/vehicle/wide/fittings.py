"""Everything mounted on the shell of a `wide` vehicle: mirrors, roof equipment and loads, bull bars, the chassis."""

import numpy as np

from data_cache.synthetic.geometry.atlas import Colour, Material
from data_cache.synthetic.geometry.mesh import Mesh, bar, box, ellipsoid, join_solids
from data_cache.synthetic.vehicle.canvas import Canvas, darker, details_of
from data_cache.synthetic.vehicle.fittings import (
    HOUSING,
    build_carrier,
    build_chassis,
    build_roof_equipment,
    mirror_meshes,
)
from data_cache.synthetic.vehicle.wheels import build_wheels
from data_cache.synthetic.vehicle.wide.cargo import build_cargo

UNIT: Colour = (198, 201, 203)
BAGS: tuple[Colour, ...] = ((60, 52, 44), (38, 60, 110), (128, 34, 36), (86, 92, 60), (150, 140, 120), (32, 33, 36))


def build_fittings(canvas: Canvas) -> list[Mesh]:
    """Return the meshes of everything mounted on the shell."""
    form = canvas.body.form
    roof = _bus_roof(canvas) if form == "bus" else _cab_roof(canvas) if form == "truck" else _car_roof(canvas)
    mirrors = _arm_mirrors(canvas) if form in ("truck", "bus") else _mirrors(canvas)
    return [*build_wheels(canvas), *mirrors, *roof, *_bull_bar(canvas), build_chassis(canvas), *build_cargo(canvas)]


def _mirrors(canvas: Canvas) -> list[Mesh]:
    """Return housing, stalk and glass of both outside mirrors of a car or van."""
    body, style = canvas.body, details_of(canvas).side
    tall = body.form == "van" or body.bed is not None
    scale = style.mirror_scale * (1.3 if tall else 1.0)
    s = body.windows[0] + 0.18
    z = float(body.belt_at(s)) + 0.10 * scale
    radii = (0.075, 0.115 * scale, (0.13 if body.form == "van" else 0.082) * scale)
    finishes: dict[str, tuple[Colour, Material]] = {
        "painted": (canvas.design.paint, Material.PAINT),
        "black": (HOUSING, Material.MATTE),
        "chrome": ((200, 203, 207), Material.METAL),
        "two-tone": (canvas.design.paint, Material.PAINT),
    }
    meshes = []
    for side in (1, -1):
        x, y = body.ahead(s), side * (float(body.half_width_at(s)) + 0.085)
        housing = ellipsoid((x, y, z), radii, power=0.66, segments=14)
        stalk = bar((x, y - side * 0.16, z - 0.6 * radii[2]), (x, y, z - 0.5 * radii[2]), 0.05)
        glass = box((x - 0.068, y, z), (0.02, 1.6 * radii[1], 1.45 * radii[2]))
        meshes += mirror_meshes(canvas, housing, stalk, glass, finishes[style.mirror])
        if style.mirror == "two-tone":
            lower = ellipsoid((x - 0.005, y, z - 0.45 * radii[2]), (0.078, 1.02 * radii[1], 0.6 * radii[2]), power=0.6)
            meshes.append(canvas.flat(lower, HOUSING, Material.MATTE, len(canvas.parts)))
    return meshes


def _arm_mirrors(canvas: Canvas) -> list[Mesh]:
    """Return tall mirrors on arms: beside the doors of a truck, or before the windshield of a bus."""
    body, style = canvas.body, details_of(canvas).side
    scale = style.mirror_scale * (0.8 if body.width < 2.1 else 1.0)
    tall, wide = 0.42 * scale, 0.22 * scale
    hanging = body.form == "bus" and details_of(canvas).bus.hanging_mirrors
    s = -0.28 if hanging else body.windshield[0] + (0.28 if body.name == "tractor" else 0.10)
    middle = (body.windshield[0] + body.windshield[1]) / 2
    z = float(body.top_at(middle)) - (0.05 if hanging else 0.10)
    finish = (HOUSING, Material.MATTE) if style.mirror == "black" else (canvas.design.paint, Material.PAINT)
    meshes = []
    for side in (1, -1):
        edge = side * float(body.half_width_at(0.3))
        y = edge + side * (0.02 if hanging else wide / 2 + 0.14)
        x = body.ahead(s)
        root = (body.ahead(0.35), 0.93 * edge, z + 0.55) if hanging else (body.ahead(s + 0.12), 0.95 * edge, z + 0.3)
        low_root = (body.ahead(s + 0.12), 0.95 * edge, z - 0.3)
        arms = [bar(root, (x, y, z + 0.45 * tall), 0.04)]
        if not hanging:
            arms.append(bar(low_root, (x, y, z - 0.42 * tall), 0.035))
        housing = ellipsoid((x, y, z), (0.07, wide / 2, tall / 2), power=0.45, segments=12)
        glass = box((x - 0.062, y, z + 0.03), (0.02, 0.84 * wide, 0.74 * tall))
        meshes += mirror_meshes(canvas, housing, join_solids(arms), glass, finish)
    return meshes


def _car_roof(canvas: Canvas) -> list[Mesh]:
    """Return carrier with its load, antenna or spoiler, and a taxi sign."""
    meshes = [*build_carrier(canvas), *build_roof_equipment(canvas)]
    individual, details, body = canvas.individual, details_of(canvas), canvas.body
    if individual.carrier in ("basket", "bars") and details.luggage != "none":
        meshes += _luggage(canvas, len(canvas.parts))
    if details.taxi is not None and individual.carrier in ("none", "rails"):
        s = 0.7 * body.windshield[1] + 0.3 * body.rear_glass[0]
        at = (body.ahead(s), 0.0, float(body.top_at(s)) + 0.065)
        sign = ellipsoid(at, (0.09, 0.26, 0.08), power=0.4, segments=12)
        foot = box((at[0], 0.0, at[2] - 0.06), (0.10, 0.46, 0.04))
        meshes.append(canvas.flat(sign, details.taxi, Material.LENS))
        meshes.append(canvas.flat(foot, HOUSING, Material.MATTE))
    return meshes


def _luggage(canvas: Canvas, part: int) -> list[Mesh]:
    """Return bags, a ladder or boards on the carrier; they belong to part number `part`, the carrier."""
    body, kind = canvas.body, details_of(canvas).luggage
    first, last = body.windshield[1] + 0.3, body.rear_glass[0] - 0.25
    level = float(body.top_at((first + last) / 2)) + 0.09
    half = 0.62 * float(body.edge_at((first + last) / 2))
    front, rear = body.ahead(first), body.ahead(last)
    if kind == "bags":
        shares = ((0.15, -0.4), (0.4, 0.45), (0.72, -0.1))
        return [
            canvas.flat(
                ellipsoid((front + a * (rear - front), b * half, level + 0.13), (0.30, 0.26, 0.15), power=0.6),
                BAGS[(sum(canvas.design.paint) + index) % len(BAGS)],
                Material.MATTE,
                part,
            )
            for index, (a, b) in enumerate(shares)
        ]
    if kind == "ladder":
        rails = [bar((front, y, level), (rear, y, level), 0.05) for y in (-0.2, 0.2)]
        rungs = [bar((x, -0.2, level), (x, 0.2, level), 0.035) for x in np.linspace(front - 0.1, rear + 0.1, 6)]
        return [canvas.flat(join_solids([*rails, *rungs]), (190, 192, 194), Material.METAL, part)]
    boards = [box(((front + rear) / 2, y, level + 0.04), (front - rear, 0.28, 0.08)) for y in (-0.16, 0.16)]
    return [canvas.flat(join_solids(boards), (168, 134, 92), Material.MATTE, part)]


def _cab_roof(canvas: Canvas) -> list[Mesh]:
    """Return the air deflector, marker lamps or beacon of a cab."""
    body, details = canvas.body, details_of(canvas)
    middle = (body.windshield[1] + body.length) / 2
    top = float(body.top_at(middle))
    kind = details.cargo.cab_roof
    if kind == "deflector" and body.cargo is not None and body.cargo.kind in ("box", "container", "tarpaulin"):
        rise = 0.8 * max(0.1, body.cargo.top - body.height)
        deflector = box((0, 0, 0), (0.06, 0.86 * body.width, 1.35 * rise)).tilted(-0.75)
        return [
            canvas.flat(
                deflector.moved((body.ahead(middle), 0.0, top + 0.4 * rise)), canvas.design.paint, Material.PAINT
            )
        ]
    if kind == "lamps":
        s = body.windshield[1] + 0.2
        lamps = [
            box((body.ahead(s), y, float(body.top_at(s)) + 0.02), (0.08, 0.11, 0.05)) for y in (-0.6, -0.2, 0.2, 0.6)
        ]
        return [canvas.flat(join_solids(lamps), (210, 120, 40), Material.LENS)]
    return []


def _bus_roof(canvas: Canvas) -> list[Mesh]:
    """Return air conditioner, hatches and a fairing on the roof of a bus."""
    body, style = canvas.body, details_of(canvas).bus
    shade = darker(canvas.design.paint, 0.9) if style.painted_unit else UNIT
    length, width, tall, at = 0.24 * body.length, 0.62 * body.width, style.unit_height, style.unit_at

    def on_roof(share: float, up: float) -> tuple[float, float, float]:
        s = share * body.length
        return body.ahead(s), 0.0, float(body.top_at(s)) + up

    unit = ellipsoid(on_roof(at, tall / 3), (length / 2, width / 2, tall), power=0.3, segments=20)
    x, _, z = on_roof(at, tall / 3 + tall)
    fans = [box((x + dx, 0.0, z), (0.34, 0.34, 0.03)) for dx in (-0.9, -0.3, 0.3, 0.9) if abs(dx) < length / 2 - 0.3]
    hatches = [box(on_roof(share, 0.0), (0.62, 0.70, 0.10)) for share in ((at + 0.28) % 0.9, (at + 0.55) % 0.9)]
    meshes = [
        canvas.flat(unit, shade, Material.PAINT),
        canvas.flat(join_solids(hatches), darker(shade, 0.8), Material.MATTE),
    ]
    if fans:
        meshes.append(canvas.flat(join_solids(fans), (34, 35, 37), Material.MATTE))
    return meshes


def _bull_bar(canvas: Canvas) -> list[Mesh]:
    """Return a tubular guard before the nose."""
    colour, body = details_of(canvas).front.bull_bar, canvas.body
    if colour is None:
        return []
    x, half = body.ahead(-0.10), 0.42 * body.width / 2
    low, high = canvas.nose_height(0.05), canvas.nose_height(0.86)
    pipes = [bar((x, y, low), (x, y, high), 0.06) for y in (-half, half)]
    pipes += [bar((x, -half, z), (x, half, z), 0.055) for z in (low + 0.05, (low + high) / 2, high)]
    wide = 0.82 * body.width / 2
    pipes += [bar((x, y, low + 0.1), (x - 0.18, 1.9 * y, low + 0.1), 0.05) for y in (-half, half) if wide > half]
    pipes += [bar((x, y, z), (x - 0.25, y, z), 0.05) for y in (-half, half) for z in (low + 0.05,)]
    return [canvas.flat(join_solids(pipes), colour, Material.METAL)]
