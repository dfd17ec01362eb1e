"""What the painters and builders of one vehicle share: its atlas, its list of parts, and its places."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from data_cache.parts.names import PART_NAMES
from data_cache.synthetic.design.bodies import NOSE_LIFT, BodyModel
from data_cache.synthetic.design.fleet import Design, Individual, Sticker, Vehicle
from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.atlas import Atlas, Colour, Material, Point, Skin, View, new_atlas
from data_cache.synthetic.geometry.mesh import Mesh, Solid

BLACK: Colour = (22, 22, 24)
CHROME: Colour = (205, 208, 212)
TEXEL_M = 0.006
SIDE_TEXEL_M = 0.008
GLASS_SHARE = 0.92  # of the upper surface's width, between the windshield's pillars


@dataclass(frozen=True)
class Part:
    """One part of a vehicle; `outline` (N, 3) in metres is its own extent where it is painted and not built."""

    label: int  # index into PART_NAMES
    outline: Floats | None = None

    @cached_property
    def area(self) -> float:
        """Area of the outline in square metres, by Newell's formula; 0 where there is none."""
        if self.outline is None:
            return 0.0
        normals = np.cross(self.outline, np.roll(self.outline, -1, axis=0))
        return float(np.linalg.norm(normals.sum(axis=0))) / 2


@dataclass
class Canvas:
    """A vehicle being built; part numbers are 1-based places in `parts`."""

    vehicle: Vehicle
    atlas: Atlas
    parts: list[Part] = field(default_factory=list)

    @property
    def body(self) -> BodyModel:
        """The shape that all vehicles of the fleet share."""
        return self.vehicle.design.body

    @property
    def design(self) -> Design:
        """What all vehicles of the fleet share."""
        return self.vehicle.design

    @property
    def individual(self) -> Individual:
        """What this vehicle has of its own."""
        return self.vehicle.individual

    def add_part(self, name: str, outline: Sequence[Sequence[float]] | None = None) -> int:
        """Register a part and return its number."""
        extent = None if outline is None else np.asarray(outline, dtype=np.float64)
        self.parts.append(Part(PART_NAMES.index(name), extent))
        return len(self.parts)

    def skin(self, name: str) -> Skin:
        """Return one of the vehicle's flat views."""
        return self.atlas.skins[name]

    def flat(self, solid: Solid, colour: Colour, material: Material = Material.MATTE, part: int = 0) -> Mesh:
        """Return the solid in one colour."""
        place = self.atlas.swatch(colour, material)
        texture = np.broadcast_to(np.asarray(place), (*solid.corners.shape[:2], 2))
        return Mesh(solid.corners, solid.normals, texture, np.full(len(solid.corners), part, np.uint8))

    def glass_point(self, across: float, up: float) -> tuple[float, float, float]:
        """Return x, y, z on the windshield: across -1 (right) … 1 (left), up 0 … 1 between its edges."""
        low, high = self.body.windshield
        s = low + up * (high - low)
        half = GLASS_SHARE * float(self.body.edge_at(s))
        return self.body.ahead(s), across * half, float(self.body.top_at(s)) - 0.01


def new_canvas(vehicle: Vehicle) -> Canvas:
    """Return an empty canvas with the skins that the vehicle's body needs."""
    body = vehicle.design.body
    wide, long, tall = body.width + 0.2, body.length + 0.1, body.height + 0.1
    end = View(-wide / 2, tall, wide, tall, TEXEL_M)
    side = View(-long / 2, tall, long, tall, SIDE_TEXEL_M)
    views = {
        "front": end,
        "rear": end,
        "left": side,
        "right": side,
        "top": View(-long / 2, wide / 2, long, wide, SIDE_TEXEL_M),
        "wheel": View(-1.0, 1.0, 2.0, 2.0, 0.016),
    }
    return Canvas(vehicle, new_atlas(views))


def sticker_outline(sticker: Sticker, slope: float = 1.0) -> list[Point]:
    """Return a sticker's corners about its middle (metres), its height shortened by the sine `slope` of the surface."""
    cosine, sine = np.cos(sticker.lean), np.sin(sticker.lean)
    half = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    corners = [(a * sticker.width / 2, b * sticker.height / 2) for a, b in half]
    return [(cosine * a - sine * b, slope * (sine * a + cosine * b)) for a, b in corners]


def height_at(canvas: Canvas, share: float) -> float:
    """Return z on the nose: 0 at the bumper's lower edge, 1 at the bonnet's front edge."""
    low = canvas.body.sill + NOSE_LIFT
    return low + share * (float(canvas.body.top_at(0.05)) - low)


def tail_height(canvas: Canvas, share: float) -> float:
    """Return z on the tail: 0 at the bumper's lower edge, 1 at the lower edge of the rear window or the lid."""
    low, high = canvas.body.sill + canvas.body.tail_lift, tail_top(canvas)
    return low + share * (high - low)


def tail_top(canvas: Canvas) -> float:
    """Return the height of the tail panel's upper edge."""
    body = canvas.body
    if body.bed is not None:
        return float(body.top_at(body.length - 0.03))
    has_lid = body.length - body.rear_glass[1] > 0.4
    return float(body.top_at(body.length - 0.05 if has_lid else max(body.length - 0.10, body.rear_glass[1] + 0.02)))


def darker(colour: Colour, factor: float) -> Colour:
    """Return the colour scaled by `factor`, kept in range."""
    red, green, blue = (int(min(255, max(0, channel * factor))) for channel in colour)
    return red, green, blue
