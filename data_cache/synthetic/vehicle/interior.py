"""The cabin: lining, dashboard, seats, driver, and the items behind the windshield."""

from itertools import pairwise

import numpy as np

from data_cache.synthetic.design.traits import CabinItem
from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.atlas import Colour, Material
from data_cache.synthetic.geometry.mesh import Mesh, Solid, bar, box, ellipsoid, join_solids, tube
from data_cache.synthetic.vehicle.canvas import Canvas, darker

SKIN_TONE: Colour = (196, 150, 120)
DRIVER_Y = 0.37  # metres left of the middle
BELT = (  # x, y, z from the driver's chest, shoulder and the top of the head
    (-0.10, 0.20, -0.25), (-0.02, 0.12, -0.33), (0.0, 0.02, -0.45), (0.0, -0.10, -0.57), (-0.05, -0.20, -0.69),
)  # fmt: skip


def build_interior(canvas: Canvas) -> list[Mesh]:
    """Return the meshes of everything that is visible through glass only."""
    cabin = _Cabin(canvas)
    meshes = [*cabin.furniture(), *cabin.driver()]
    individual = canvas.individual
    if individual.safe_belt:
        meshes.append(cabin.safe_belt())
    if individual.tissue_box is not None:
        meshes += cabin.tissue_box(individual.tissue_box)
    if individual.hanging is not None:
        meshes += cabin.hanging(individual.hanging)
    for item in individual.ornaments:
        meshes += cabin.ornament(item)
    return meshes


class _Cabin:
    """Dimensions of one cabin, and builders for what is in it; s values are metres behind the front bumper."""

    def __init__(self, canvas: Canvas) -> None:
        self.body, self.flat, self.add_part = canvas.body, canvas.flat, canvas.add_part
        self.glass_low, self.glass_high = self.body.windshield
        self.glass_run = self.glass_high - self.glass_low
        self.dash_top = float(self.body.top_at(self.glass_low)) - 0.05
        self.dash_end = self.glass_low + 0.32 + 0.45 * self.glass_run
        self.seat = self.glass_low + 0.60 + 0.48 * self.glass_run
        self.roof = float(self.body.top_at(self.seat)) - 0.05
        self.crown = min(self.roof - 0.05, self.dash_top + 0.56)  # top of the driver's head
        self.shade = canvas.design.cabin
        broad = self.body.form in ("truck", "bus")
        self.driver_y = 0.26 * self.body.width if broad else DRIVER_Y
        self.reach = 0.42 * self.body.width if broad else 0.72  # of the dashboard on either side, in metres

    def _at(self, s: float, y: float, z: float) -> tuple[float, float, float]:
        return self.body.ahead(s), y, z

    def furniture(self) -> list[Mesh]:
        """Return lining, rear window, dashboard, steering wheel, seats and inside mirror."""
        half = self.body.width / 2
        end = max(self.body.rear_glass[0] - 0.05, self.seat + 0.6)
        front = self.glass_low - 0.1
        lining = box(self._at((front + end) / 2, 0, (self.roof + 0.3) / 2), (end - front, 1.84 * half, self.roof - 0.3))
        window = box(self._at(end - 0.05, 0, self.dash_top + 0.28), (0.02, 1.0 * half, 0.24))
        deep = self.dash_end - self.glass_low
        dash = box(self._at((front + self.dash_end) / 2, 0, self.dash_top - 0.2), (deep + 0.1, 1.8 * half, 0.4))
        hood = ellipsoid(self._at(self.dash_end - 0.16, self.driver_y, self.dash_top), (0.14, 0.20, 0.06))
        ring = tube(np.array([[-0.02, 0.15], [-0.02, 0.19], [0.02, 0.19], [0.02, 0.15], [-0.02, 0.15]]), 18)
        wheel = Solid(ring.corners[:, :, [1, 0, 2]][:, ::-1], ring.normals[:, :, [1, 0, 2]][:, ::-1]).tilted(-0.5)
        wheel = wheel.moved(self._at(self.dash_end + 0.10, self.driver_y, self.dash_top + 0.03))
        mirror = box(
            self._at(self.glass_high - 0.02, 0, self._glass(self.glass_high - 0.12) - 0.06), (0.03, 0.22, 0.06)
        )
        seats = []
        for y in (self.driver_y, -self.driver_y):  # back and head rest
            seats.append(ellipsoid(self._at(self.seat + 0.22, y, self.crown - 0.55), (0.10, 0.25, 0.36), power=0.6))
            seats.append(ellipsoid(self._at(self.seat + 0.26, y, self.crown - 0.16), (0.06, 0.14, 0.10), power=0.6))
        return [
            self.flat(lining.inverted(), darker(self.shade, 0.7)),
            self.flat(window, (168, 178, 184)),
            self.flat(join_solids([dash, hood]), self.shade),
            self.flat(wheel, (26, 26, 28)),
            self.flat(mirror, (24, 24, 26)),
            self.flat(join_solids(seats), darker(self.shade, 1.25)),
        ]

    def _glass(self, s: float) -> float:
        """Return the height of the windshield's inner side at `s`."""
        return float(self.body.top_at(s)) - 0.02

    def driver(self) -> list[Mesh]:
        """Return torso, arms, head and hair of the driver."""
        y, s = self.driver_y, self.seat
        torso = ellipsoid(self._at(s, y, self.crown - 0.54), (0.15, 0.23, 0.32), power=0.75, segments=14)
        hands = self.dash_top + 0.08
        arms = [
            bar(
                self._at(s, y + side * 0.22, self.crown - 0.42),
                self._at(self.dash_end + 0.12, y + side * 0.15, hands),
                0.09,
            )
            for side in (1, -1)
        ]
        head = ellipsoid(self._at(s - 0.02, y, self.crown - 0.12), (0.10, 0.085, 0.125), segments=12)
        hair = ellipsoid(self._at(s + 0.02, y, self.crown - 0.07), (0.11, 0.093, 0.10), segments=12)
        return [
            self.flat(join_solids([torso, *arms]), (128, 128, 128), Material.SHIRT),
            self.flat(head, SKIN_TONE),
            self.flat(hair, (26, 20, 18)),
        ]

    def safe_belt(self) -> Mesh:
        """Return the belt from the door pillar across the driver's chest to the buckle."""
        x = self.body.ahead(self.seat - 0.155)
        strips = []
        for ends in pairwise(BELT):
            y, z = self.driver_y, self.crown
            corners = [(x + a, y + b + side, z + c) for a, b, c in ends for side in (0.035, -0.035)]
            strips.append(_double_sided(np.array(corners)))
        part = self.add_part("safe belt")
        return self.flat(join_solids(strips), (20, 20, 22), part=part)

    def tissue_box(self, item: CabinItem) -> list[Mesh]:
        """Return a box on the dashboard with a tissue sticking out."""
        part = self.add_part("tissuebox")
        s, y = self.glass_low + 0.24 + 0.22 * self.glass_run, item.across * 0.7
        case = box(self._at(s, y, self.dash_top + 0.055), (0.13, 0.25, 0.11))
        tissue = ellipsoid(self._at(s, y, self.dash_top + 0.13), (0.03, 0.06, 0.05), segments=8)
        return [self.flat(case, item.colour, part=part), self.flat(tissue, (240, 240, 238), part=part)]

    def ornament(self, item: CabinItem) -> list[Mesh]:
        """Return an ornament on the dashboard: a figure, a ball, a bottle or a toy animal."""
        part = self.add_part("lay ornament")
        s, y, z = self.glass_low + 0.20 + 0.22 * self.glass_run, item.across * self.reach, self.dash_top
        low, high = self._at(s, y, z + 0.05), self._at(s, y, z + 0.13)
        second: Colour = (240, 226, 160)
        if item.kind == 0:
            return [
                self.flat(ellipsoid(low, (0.05, 0.06, 0.06)), item.colour, part=part),
                self.flat(ellipsoid(high, (0.04, 0.042, 0.042), segments=8), second, part=part),
            ]
        if item.kind == 1:
            return [self.flat(ellipsoid(self._at(s, y, z + 0.06), (0.07, 0.075, 0.07)), item.colour, part=part)]
        if item.kind == 2:
            case = box(self._at(s, y, z + 0.05), (0.06, 0.08, 0.12))
            lid = box(self._at(s, y, z + 0.125), (0.05, 0.06, 0.03))
            return [self.flat(case, item.colour, part=part), self.flat(lid, second, part=part)]
        head = ellipsoid(self._at(s, y + 0.07, z + 0.10), (0.05, 0.05, 0.05), segments=8)
        return [
            self.flat(ellipsoid(low, (0.05, 0.09, 0.05)), item.colour, part=part),
            self.flat(head, darker(item.colour, 0.8), part=part),
        ]

    def hanging(self, item: CabinItem) -> list[Mesh]:
        """Return what hangs from the inside mirror: a gourd, a knot with a tassel, or a card."""
        part = self.add_part("hanging")
        s = self.glass_high + 0.02
        top = self._glass(self.glass_high - 0.12) - 0.09
        cord = bar(self._at(s, 0, top), self._at(s, 0, top - 0.07), 0.014)
        meshes = [self.flat(cord, item.colour, part=part)]
        if item.kind == 0:
            upper = ellipsoid(self._at(s, 0, top - 0.08), (0.03, 0.03, 0.03), segments=8)
            lower = ellipsoid(self._at(s, 0, top - 0.14), (0.045, 0.045, 0.045), segments=8)
            return [*meshes, self.flat(join_solids([upper, lower]), item.colour, part=part)]
        if item.kind == 1:
            knot = box((0, 0, 0), (0.02, 0.075, 0.075)).rolled(np.pi / 4).moved(self._at(s, 0, top - 0.10))
            tassel = box(self._at(s, 0, top - 0.20), (0.02, 0.035, 0.12))
            return [*meshes, self.flat(join_solids([knot, tassel]), item.colour, part=part)]
        card = box(self._at(s, 0, top - 0.13), (0.01, 0.09, 0.13))
        return [*meshes, self.flat(card, item.colour, part=part)]


def _double_sided(corners: Floats) -> Solid:
    """Return the strip between two pairs of corners (4, 3), visible from both sides."""
    a, b, c, d = corners
    triangles = np.array([[a, b, d], [a, d, c], [a, d, b], [a, c, d]])
    ahead = np.zeros_like(triangles)
    ahead[..., 0] = 1.0
    return Solid(triangles, ahead)
