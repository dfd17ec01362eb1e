"""The load spaces of trucks: box, container, tarpaulin, dump body, open bed or bare chassis, and the frame below."""

import numpy as np

from data_cache.synthetic.design.bodies import Cargo
from data_cache.synthetic.geometry.atlas import Colour, Material
from data_cache.synthetic.geometry.mesh import Mesh, Solid, bar, box, ellipsoid, join_solids, tube
from data_cache.synthetic.vehicle.canvas import Canvas, darker, details_of
from data_cache.synthetic.vehicle.wide.skinned import extruded, skinned

FRAME: Colour = (38, 38, 40)
BAR_HEIGHT = 0.22  # metres, of the beam that carries lamps and plate


def build_cargo(canvas: Canvas) -> list[Mesh]:
    """Return the load space, the frame and everything below it; nothing for vehicles without one."""
    cargo = canvas.body.cargo
    if cargo is None:
        return []
    builders = {
        "box": _box, "container": _box, "tarpaulin": _tarpaulin, "dump": _dump, "stake": _stake, "bare": _bare,
    }  # fmt: skip
    return [*builders[cargo.kind](canvas, cargo), *_frame(canvas, cargo), *_rear_beam(canvas, cargo), _cab_back(canvas)]


def beam_height(canvas: Canvas, cargo: Cargo) -> float:
    """Return the height of the middle of the beam below the rear end."""
    return max(0.42 * cargo.floor, cargo.floor - 0.12 - 0.75 * BAR_HEIGHT - 0.10 * canvas.body.wheel_radius)


def plate_across(canvas: Canvas, cargo: Cargo) -> float:
    """Return the u of the middle of the rear plate."""
    return details_of(canvas).cargo.plate_across * cargo.width / 2


def _span(canvas: Canvas, first: float, last: float, low: float, high: float, width: float, y: float = 0.0) -> Solid:
    """Return a box between two s and two heights."""
    front, rear = canvas.body.ahead(first), canvas.body.ahead(last)
    return box(((front + rear) / 2, y, (low + high) / 2), (front - rear, width, high - low))


def _box(canvas: Canvas, cargo: Cargo) -> list[Mesh]:
    colour = details_of(canvas).cargo.paint
    walls = _span(canvas, cargo.first, cargo.last, cargo.floor, cargo.top, cargo.width)
    return [skinned(canvas, walls, darker(colour, 0.97))]


def _tarpaulin(canvas: Canvas, cargo: Cargo) -> list[Mesh]:
    """Return the covered bed: upright sides and an arched or flat roof."""
    style = details_of(canvas).cargo
    half, rise = cargo.width / 2, style.arch
    angle = np.linspace(0, np.pi, 9)
    arch = np.column_stack([half * np.cos(angle), cargo.top - rise + rise * np.sin(angle)])
    profile = np.concatenate([[[-half, cargo.floor], [half, cargo.floor]], arch])
    rear, front = canvas.body.ahead(cargo.last), canvas.body.ahead(cargo.first)
    return [skinned(canvas, extruded(profile, rear, front), style.tarpaulin, Material.MATTE)]


def _dump(canvas: Canvas, cargo: Cargo) -> list[Mesh]:
    """Return an open body with ribs, filled to a random level."""
    style, top = details_of(canvas).cargo, cargo.top
    meshes = _open_walls(canvas, cargo, top, 0.08)
    ribs = [
        _span(canvas, float(s), float(s) + 0.09, cargo.floor, top, 0.06, side * (cargo.width / 2 + 0.03))
        for s in np.linspace(cargo.first + 0.1, cargo.last - 0.2, 6)
        for side in (1, -1)
    ]
    rims = [_span(canvas, cargo.first, cargo.last, top - 0.10, top, 0.07, s * cargo.width / 2) for s in (1, -1)]
    meshes.append(canvas.flat(join_solids([*ribs, *rims]), darker(style.paint, 0.85), Material.PAINT))
    if style.load is not None:
        middle = canvas.body.ahead((cargo.first + cargo.last) / 2)
        radii = (0.46 * (cargo.last - cargo.first), 0.44 * cargo.width, 0.25)
        mound = ellipsoid((middle, 0.0, top - 0.12), radii, power=0.8, segments=16)
        meshes.append(canvas.flat(mound, style.load, Material.MATTE))
    shield = _span(canvas, cargo.first - 0.25, cargo.first + 0.1, top - 0.08, top + 0.02, cargo.width)
    return [*meshes, canvas.flat(shield, style.paint, Material.PAINT)]


def _stake(canvas: Canvas, cargo: Cargo) -> list[Mesh]:
    """Return an open bed with low walls, posts and rails, and some load."""
    style, top = details_of(canvas).cargo, cargo.top
    meshes = _open_walls(canvas, cargo, top, 0.05)
    upper = top + style.posts
    posts = [
        _span(canvas, float(s), float(s) + 0.06, cargo.floor, upper, 0.05, side * (cargo.width / 2 - 0.03))
        for s in np.linspace(cargo.first + 0.02, cargo.last - 0.08, 4)
        for side in (1, -1)
    ]
    rails = [
        _span(canvas, cargo.first, cargo.last, z - 0.04, z, 0.04, side * (cargo.width / 2 - 0.03))
        for side in (1, -1)
        for z in (upper, upper - 0.22)
    ]
    rack = _span(canvas, cargo.first, cargo.first + 0.06, cargo.floor, canvas.body.height + 0.05, cargo.width - 0.1)
    meshes.append(canvas.flat(join_solids([*posts, *rails, rack]), darker(style.paint, 0.7), Material.METAL))
    if style.load is not None:
        meshes += _load(canvas, cargo, style.load)
    return meshes


def _load(canvas: Canvas, cargo: Cargo, colour: Colour) -> list[Mesh]:
    """Return crates of different heights and shades on an open bed."""
    rng = np.random.default_rng(details_of(canvas).cargo.seed)
    meshes = []
    for s in np.arange(cargo.first + 0.3, cargo.last - 0.9, 0.85):
        for y in (-0.25, 0.25):
            first, top = float(s), cargo.floor + rng.uniform(0.4, 1.2)
            crate = _span(canvas, first, first + 0.78, cargo.floor, top, 0.46 * cargo.width, y * cargo.width)
            meshes.append(canvas.flat(crate, darker(colour, rng.uniform(0.6, 1.3)), Material.MATTE))
    return meshes


def _open_walls(canvas: Canvas, cargo: Cargo, top: float, thick: float) -> list[Mesh]:
    """Return floor and four walls of an open bed."""
    colour, half = details_of(canvas).cargo.paint, cargo.width / 2
    sides = [
        _span(canvas, cargo.first, cargo.last, cargo.floor, top, thick, side * (half - thick / 2)) for side in (1, -1)
    ]
    ends = [
        _span(canvas, s, s + thick, cargo.floor, top, cargo.width - 2 * thick)
        for s in (cargo.first, cargo.last - thick)
    ]
    floor = _span(canvas, cargo.first, cargo.last, cargo.floor, cargo.floor + 0.06, cargo.width - 2 * thick)
    inside = darker(colour, 0.6)
    return [
        skinned(canvas, join_solids([*sides, *ends]), inside, Material.PAINT),
        canvas.flat(floor, darker(colour, 0.45), Material.MATTE),
    ]


def _bare(canvas: Canvas, cargo: Cargo) -> list[Mesh]:
    """Return the skeleton of an empty container chassis."""
    style = details_of(canvas).cargo
    colour = style.paint if style.painted_frame else FRAME
    high = cargo.floor
    beams = [_span(canvas, cargo.first, cargo.last, high - 0.28, high, 0.14, y) for y in (-0.45, 0.45)]
    crossing = [
        _span(canvas, float(s), float(s) + 0.12, high - 0.16, high - 0.02, cargo.width)
        for s in np.linspace(cargo.first + 0.6, cargo.last - 0.3, 6)
    ]
    return [canvas.flat(join_solids([*beams, *crossing]), colour, Material.MATTE)]


def _frame(canvas: Canvas, cargo: Cargo) -> list[Mesh]:
    """Return the beams below the load space, axles, mud flaps, tank, boxes and side guards."""
    body, colour = canvas.body, FRAME
    high, radius = cargo.floor - 0.02, body.wheel_radius
    solids = [_span(canvas, body.length - 0.6, cargo.last - 0.15, high - 0.30, high, 0.22, y) for y in (-0.42, 0.42)]
    solids.append(_span(canvas, cargo.first, cargo.last - 0.05, high - 0.08, high, cargo.width - 0.12))
    rear = [body.axles[1], *body.more_axles]
    for s in rear:
        solids.append(_span(canvas, s - 0.12, s + 0.12, radius - 0.12, radius + 0.12, 0.75 * body.width))
    flaps = []
    for s in (rear[-1], rear[0]) if len(rear) > 2 else (rear[-1],):
        behind = min(s + radius + 0.08, cargo.last - 0.06)
        for side in (1, -1):
            flaps.append(_span(canvas, behind, behind + 0.02, 0.18, high - 0.1, 0.50, side * (body.width / 2 - 0.28)))
    guards = []
    first, last = body.length + 0.25, body.axles[1] - radius - 0.15
    if last - first > 1.2:
        y = body.width / 2 - 0.06
        x, end = body.ahead(first + 0.75), body.ahead(last)
        for z in (0.45, 0.72):
            guards += [bar((x, side * y, z), (end, side * y, z), 0.06) for side in (1, -1)]
    flap_tone = (210, 210, 206) if details_of(canvas).cargo.white_flaps else (20, 20, 21)
    meshes = [
        canvas.flat(join_solids(solids), colour, Material.MATTE),
        canvas.flat(join_solids(flaps), flap_tone, Material.MATTE),
        canvas.flat(_tank(canvas, first, high), (150, 152, 154) if radius > 0.45 else (60, 60, 62), Material.METAL),
    ]
    if guards:
        meshes.append(canvas.flat(join_solids(guards), (140, 142, 144), Material.METAL))
    return meshes


def _tank(canvas: Canvas, s: float, high: float) -> Solid:
    """Return a round tank beside the frame, lying along the vehicle, and a battery box on the other side."""
    body = canvas.body
    radius, length = 0.5 * (high - 0.32), 0.70
    round_tank = tube(np.array([[-length / 2, 0], [-length / 2, radius], [length / 2, radius], [length / 2, 0]]), 16)
    turned = Solid(round_tank.corners[:, :, [1, 0, 2]][:, ::-1], round_tank.normals[:, :, [1, 0, 2]][:, ::-1])
    y, z = body.width / 2 - radius - 0.05, high - 0.12 - radius
    x = body.ahead(s + length / 2)
    case = box((x, -y, z), (0.6, 1.6 * radius, 1.6 * radius))
    return join_solids([turned.moved((x, y, z)), case])


def _rear_beam(canvas: Canvas, cargo: Cargo) -> list[Mesh]:
    """Return the beam with lamps and plate at the rear end, its brackets and the bar below it."""
    middle, end = beam_height(canvas, cargo), cargo.last
    beam = _span(canvas, end - 0.10, end, middle - BAR_HEIGHT / 2, middle + BAR_HEIGHT / 2, 0.94 * cargo.width)
    y = -plate_across(canvas, cargo)
    plate = _span(canvas, end - 0.03, end + 0.005, middle - 0.26, middle - BAR_HEIGHT / 2, 0.60, y)
    brackets = [
        _span(canvas, end - 0.12, end - 0.04, middle, cargo.floor, 0.12, side * 0.55 * cargo.width / 2)
        for side in (1, -1)
    ]
    return [
        skinned(canvas, join_solids([beam, plate]), FRAME, Material.MATTE),
        canvas.flat(join_solids(brackets), FRAME, Material.MATTE),
    ]


def _cab_back(canvas: Canvas) -> Mesh:
    """Return the dark window in the back wall of the cab."""
    body = canvas.body
    low, high = float(body.belt_at(body.length - 0.1)) + 0.12, body.height - 0.28
    pane = _span(canvas, body.length - 0.02, body.length + 0.012, low, high, 0.5 * body.width)
    return canvas.flat(pane, (18, 21, 23), Material.GLASS_SIDE)
