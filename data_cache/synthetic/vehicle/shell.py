"""The shell of a body, lofted through cross-sections along its length, with wheel arches cut into the lower edge."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.design.bodies import NOSE_LIFT, BodyModel
from data_cache.synthetic.geometry.arrays import Booleans, Floats, Integers
from data_cache.synthetic.geometry.mesh import Solid, flat_normals, grid_solid, join_solids

HALF_POINTS = 13  # of half a cross-section, from the middle of the underside to the middle of the roof
UPPER_EDGE = 8  # index of the first point of the upper surface in half a cross-section
ARCH_GAP = 0.06  # metres between tyre and arch


@dataclass(frozen=True)
class Shell:
    """The surface with the s of each triangle and its index around the cross-section (0 … 2·HALF_POINTS-3)."""

    solid: Solid
    s: Floats  # (T,) metres behind the front bumper
    around: Integers  # (T,) -1 on the flat ends

    @property
    def is_upper(self) -> Booleans:
        """(T,) bool: bonnet, windshield, roof, rear window and boot lid."""
        return (self.around >= UPPER_EDGE) & (self.around < 2 * HALF_POINTS - 2 - UPPER_EDGE)

    @property
    def is_under(self) -> Booleans:
        """(T,) bool: the underside and the ceilings of the wheel arches."""
        return ((self.around >= 0) & (self.around < 2)) | (self.around >= 2 * HALF_POINTS - 4)


def loft(body: BodyModel) -> Shell:
    """Return the shell of `body`, closed by flat ends."""
    stations = _stations(body)
    points = _sections(body, stations)  # (S, 2H-1, 3)
    sides = grid_solid(points).inverted()
    rows, columns = len(stations) - 1, points.shape[1] - 1
    middle = (stations[:-1] + stations[1:]) / 2
    s = np.repeat(middle, 2 * columns)
    around = np.tile(np.repeat(np.arange(columns), 2), rows)
    front, rear = _end(points[0]), _end(points[-1]).inverted()
    s = np.concatenate([s, np.zeros(len(front.corners)), np.full(len(rear.corners), body.length)])
    around = np.concatenate([around, np.full(len(front.corners) + len(rear.corners), -1)])
    return Shell(join_solids([sides, front, rear]), s, around)


def _stations(body: BodyModel) -> Floats:
    """Return the s (S,) of the cross-sections, dense at the ends, at bends of the profile and over the wheels."""
    ends = np.array([0, 0.02, 0.05, 0.1, 0.17, 0.26, 0.4])
    stations = [ends, body.length - ends, np.arange(0.4, body.length - 0.4, 0.17), np.array([s for s, _ in body.top])]
    for s, _ in body.top[1:-1]:
        stations.append(np.clip(s + np.array([-0.12, -0.06, 0.06, 0.12]), 0, body.length))
    reach = body.wheel_radius + ARCH_GAP
    for axle in body.axles:
        stations += [axle + reach * np.cos(np.linspace(0, np.pi, 13)), axle + np.array([-1, 1]) * (reach + 0.004)]
    if body.bed is not None:
        first, last, _ = body.bed
        stations.append(np.array([first, first + 0.02, last - 0.02, last]))
    merged = np.unique(np.round(np.concatenate(stations), 3))
    merged = merged[merged <= np.round(body.length, 3)]  # a truck's rear axles are behind its cab
    return np.asarray(merged[np.concatenate([[True], np.diff(merged) > 0.002])])


def _underside(body: BodyModel, stations: Floats) -> Floats:
    """Return the height (S,) of the lower edge: the sill, raised over the wheels and towards both ends."""
    nose, tail = np.clip(1 - stations / 0.4, 0, 1), np.clip(1 - (body.length - stations) / 0.4, 0, 1)
    lift = NOSE_LIFT * nose + body.tail_lift * np.minimum(1.8 * tail, 1)
    height = body.sill + lift
    reach = body.wheel_radius + ARCH_GAP
    for axle in body.axles:
        inside = np.clip(reach**2 - (stations - axle) ** 2, 0, None)
        height = np.where(inside > 0, np.maximum(height, body.wheel_radius + np.sqrt(inside)), height)
    return np.asarray(height)


def _sections(body: BodyModel, stations: Floats) -> Floats:
    """Return (S, 2H-1, 3): cross-sections from the middle of the underside over left, roof and right back to it."""
    low, top, belt = _underside(body, stations), body.top_at(stations), body.belt_at(stations)
    wide, edge = body.half_width_at(stations), body.edge_at(stations)
    low = np.minimum(low, belt - 0.06)
    rise, glass = belt - low, top - belt
    base = 0.945 * wide  # half-width at the foot of the windows
    lean = base + (edge - base) * 0.92
    half = [
        (0 * wide, low),
        (0.70 * wide, low),
        (0.962 * wide, low + 0.012),
        (0.988 * wide, low + 0.18 * rise),
        (1.000 * wide, low + 0.50 * rise),
        (0.992 * wide, low + 0.76 * rise),
        (0.972 * wide, belt - 0.05 * rise),
        (base, belt),
        (lean, belt + 0.88 * glass),
        (edge * 0.965, belt + 0.945 * glass),
        (edge * 0.80, belt + 0.98 * glass),
        (edge * 0.42, belt + 0.996 * glass),
        (0 * wide, top),
    ]
    if body.bed is not None:
        half = _with_bed(body.bed, wide, stations, half)
    across = np.stack([y for y, _ in half] + [-y for y, _ in half[-2::-1]], axis=1)
    height = np.stack([z for _, z in half] + [z for _, z in half[-2::-1]], axis=1)
    ahead = np.broadcast_to(body.ahead(0) - stations[:, None], across.shape)
    return np.stack([ahead, across, height], axis=-1)


def _with_bed(
    bed: tuple[float, float, float], wide: Floats, stations: Floats, half: list[tuple[Floats, Floats]]
) -> list[tuple[Floats, Floats]]:
    """Lower the upper surface of a pick-up between the walls of its bed."""
    first, last, floor = bed
    inside = (stations > first + 0.01) & (stations < last - 0.01)
    level = np.full_like(stations, floor)
    sunk = ((0.86, half[7][1]), (0.84, level), (0.80, level), (0.42, level), (0.0, level))
    changed = [
        (np.where(inside, share * wide, y), np.where(inside, height, z))
        for (share, height), (y, z) in zip(sunk, half[UPPER_EDGE:], strict=True)
    ]
    return [*half[:UPPER_EDGE], *changed]


def _end(section: Floats) -> Solid:
    """Return the flat end that closes a cross-section (P, 3): strips between its left and right half."""
    count = len(section) // 2
    left, right = section[: count + 1], section[::-1][: count + 1]
    quads = []
    for i in range(count):
        quads += [[left[i], left[i + 1], right[i + 1]], [left[i], right[i + 1], right[i]]]
    corners = np.asarray(quads)
    doubled_area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    corners = corners[doubled_area > 1e-9]
    return Solid(corners, flat_normals(corners))
