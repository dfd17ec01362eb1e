"""The state shared by the painters and builders of one vehicle: its texture atlas and its list of parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.bodies import NOSE_LIFT
from data_cache.synthetic.design.traits import Sticker, Vehicle
from data_cache.synthetic.design.wide.details import Details, WideLamps
from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.atlas import Colour, Material, Point, Skin, View, new_atlas, rectangle, shrunk
from data_cache.synthetic.geometry.mesh import Mesh, Solid

BLACK: Colour = (22, 22, 24)
PLASTIC: Colour = (46, 47, 50)  # of unpainted bumpers
CHROME: Colour = (205, 208, 212)
TEXEL_M = 0.006  # of the front and rear skins, in metres
SIDE_TEXEL_M = 0.008
GLASS_SHARE = 0.92  # share of the upper surface's width between the windshield's pillars


@dataclass(frozen=True)
class Part:
    """One part of a vehicle; `outline` (N, 3) in metres is given for parts that are painted, not built as a mesh."""

    label: int  # index into PART_NAMES
    outline: Floats | None = None
    within: int = 0  # number of the part of which it is a piece, as a light of its cover; set for the variety wide only

    @cached_property
    def area(self) -> float:
        """Area of the outline in square metres (Newell's formula), 0 without one."""
        if self.outline is None:
            return 0.0
        normals = np.cross(self.outline, np.roll(self.outline, -1, axis=0))
        return float(np.linalg.norm(normals.sum(axis=0))) / 2


class Canvas:
    """A vehicle under construction: its blank textures, and its parts; part number n is `parts[n - 1]`."""

    def __init__(self, vehicle: Vehicle) -> None:
        self.design, self.individual, self.body = vehicle.design, vehicle.individual, vehicle.design.body
        self.parts: list[Part] = []
        body = self.body
        width, length, height = body.full_width + 0.2, body.full_length + 0.1, body.full_height + 0.1
        end = View(-width / 2, height, width, height, TEXEL_M)
        side = View(-length / 2, height, length, height, SIDE_TEXEL_M)
        top = View(-length / 2, width / 2, length, width, SIDE_TEXEL_M)
        wheel = View(-1.0, 1.0, 2.0, 2.0, 0.016)  # in wheel radii
        views = {"front": end, "rear": end, "left": side, "right": side, "top": top, "wheel": wheel}
        self.atlas = new_atlas(views)

    def skin(self, name: str) -> Skin:
        """Return a skin: front, rear, left, right, top or wheel."""
        return self.atlas.skins[name]

    def add_part(self, name: str, outline: Sequence[Sequence[float]] | None = None, within: int = 0) -> int:
        """Register a part, a piece of part number `within` if that is given, and return its number."""
        extent = None if outline is None else np.asarray(outline, dtype=np.float64)
        self.parts.append(Part(PART_NAMES.index(name), extent, within))
        return len(self.parts)

    def paint_part(
        self, name: str, end: str, s: float, outline: Sequence[Point], colour: Colour, material: Material
    ) -> int:
        """Paint a part with this outline (u, z) on the front or rear skin, where it is at `s`; return its number."""
        sign = 1 if end == "front" else -1
        part = self.add_part(name, [(self.body.ahead(s), sign * u, z) for u, z in outline])
        self.skin(end).polygon(outline, colour, material, part)
        return part

    def flat(self, solid: Solid, colour: Colour, material: Material = Material.MATTE, part: int = 0) -> Mesh:
        """Return the solid as a mesh of one colour, material and part."""
        swatch = self.atlas.swatch(colour, material)
        texture = np.broadcast_to(np.asarray(swatch), (*solid.corners.shape[:2], 2))
        return Mesh(solid.corners, solid.normals, texture, np.full(len(solid.corners), part, np.uint8))

    def glass_point(self, across: float, up: float) -> tuple[float, float, float]:
        """Return (x, y, z) on the windshield: `across` from -1 (right) to 1 (left), `up` from 0 to 1."""
        low, high = self.body.windshield
        s = low + up * (high - low)
        half = GLASS_SHARE * float(self.body.edge_at(s))
        return self.body.ahead(s), across * half, float(self.body.top_at(s)) - 0.01

    def nose_height(self, share: float) -> float:
        """Return z on the nose: `share` 0 is the bumper's lower edge, 1 the bonnet's front edge."""
        low = self.body.sill + NOSE_LIFT
        return low + share * (float(self.body.top_at(0.05)) - low)

    def tail_height(self, share: float) -> float:
        """Return z on the tail: `share` 0 is the bumper's lower edge, 1 the upper edge of the tail panel."""
        body = self.body
        if body.bed is not None:
            top = body.length - 0.03
        elif body.length - body.rear_glass[1] > 0.4:  # a boot lid
            top = body.length - 0.05
        else:
            top = max(body.length - 0.10, body.rear_glass[1] + 0.02)
        low = body.sill + body.tail_lift
        return low + share * (float(body.top_at(top)) - low)


def details_of(canvas: Canvas) -> Details:
    """Return the details of a vehicle of the variety `wide`; raise ValueError for one of another variety."""
    details = canvas.design.details
    if details is None:
        raise ValueError(f"vehicle with body {canvas.body.name} has no details of the variety wide")
    return details


def lamps_of(canvas: Canvas) -> WideLamps:
    """Return the lamps of a vehicle of the variety `wide`."""
    return details_of(canvas).lamps


def sticker_outline(sticker: Sticker) -> list[Point]:
    """Return the corners of a sticker relative to its centre, in metres."""
    return rectangle((0.0, 0.0), (sticker.width, sticker.height), sticker.lean)


class Surface(Protocol):
    """What polygons are painted on: a skin or a side."""

    def polygon(self, points: Sequence[Point], colour: Colour, material: Material | None = None) -> None:
        """Fill a polygon."""


def paint_sticker(surface: Surface, sticker: Sticker, centre: Point, print_share: Point, scale: float = 1.0) -> None:
    """Paint a sticker on the body, with a darker print that takes `print_share` of its width and height."""
    outline = [(centre[0] + scale * a, centre[1] + scale * b) for a, b in sticker_outline(sticker)]
    surface.polygon(outline, sticker.colour, Material.MATTE)
    surface.polygon(shrunk(outline, *print_share), darker(sticker.colour, 0.5), Material.MATTE)


def darker(colour: Colour, factor: float) -> Colour:
    """Return the colour scaled by `factor` and clipped."""
    red, green, blue = (int(min(255, max(0, channel * factor))) for channel in colour)
    return red, green, blue
