"""The texture atlas of one vehicle: painted flat views (skins) of colour, material and part, stacked vertically."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats, Integers

Colour = tuple[int, int, int]
Point = tuple[float, float]
SWATCH_PX = 4
SUBPIXEL_BITS = 4
FONT_HEIGHT = 21  # pixels of a capital letter at scale 1


class Material(IntEnum):
    """How a surface reflects and transmits light; see scene/shading.py."""

    PAINT = 0
    MATTE = 1
    METAL = 2
    LENS = 3
    GLASS_FRONT = 4  # windshield: the interior is visible
    GLASS_SIDE = 5  # tinted: the interior is faint, items in it are darkened
    PAPER = 6  # paper behind the windshield
    SHIRT = 7  # the driver's clothes, recoloured for every picture
    TAIL = 8  # from here on: lenses that may be lit
    HEAD = 9
    SIGNAL_LEFT = 10
    SIGNAL_RIGHT = 11


@dataclass(frozen=True)
class View:
    """The extent of a skin: left and top edge, width and height in metres, and metres per texel."""

    left: float
    top: float
    width: float
    height: float
    texel: float

    @property
    def rows(self) -> int:
        """Height in texels."""
        return int(np.ceil(self.height / self.texel))

    @property
    def columns(self) -> int:
        """Width in texels."""
        return int(np.ceil(self.width / self.texel))


@dataclass(frozen=True)
class Skin:
    """One flat view of the vehicle to paint on; positions are (u, v) in metres, v upwards."""

    view: View
    first_row: int
    colour: Bytes  # (rows, columns of the atlas, 3), a view into the atlas
    material: Bytes  # (rows, columns)
    part: Bytes  # (rows, columns)

    def texture(self, u: Floats, v: Floats) -> Floats:
        """Return the atlas positions (..., 2), column and row, of positions (u, v)."""
        column = np.clip((u - self.view.left) / self.view.texel, 0.5, self.view.columns - 0.5)
        row = np.clip((self.view.top - v) / self.view.texel, 0.5, self.view.rows - 0.5)
        return np.stack([column, row + self.first_row], axis=-1)

    def fill(self, colour: Colour, material: Material) -> None:
        """Cover the whole skin."""
        self.colour[:], self.material[:], self.part[:] = colour, material, 0

    def polygon(
        self, points: Sequence[Point], colour: Colour, material: Material | None = None, part: int | None = None
    ) -> None:
        """Fill a polygon with a colour; material and part change only if they are given."""
        corners = [self._texels(points)]
        cv2.fillPoly(self.colour, corners, colour, cv2.LINE_8, SUBPIXEL_BITS)
        if material is not None:
            cv2.fillPoly(self.material, corners, int(material), cv2.LINE_8, SUBPIXEL_BITS)
        if part is not None:
            cv2.fillPoly(self.part, corners, part, cv2.LINE_8, SUBPIXEL_BITS)

    def line(self, points: Sequence[Point], colour: Colour, width: float, material: Material | None = None) -> None:
        """Draw a line of `width` metres through the points."""
        thickness = max(1, round(width / self.view.texel))
        corners = [self._texels(points)]
        cv2.polylines(self.colour, corners, False, colour, thickness, cv2.LINE_8, SUBPIXEL_BITS)
        if material is not None:
            cv2.polylines(self.material, corners, False, int(material), thickness, cv2.LINE_8, SUBPIXEL_BITS)

    def text(self, message: str, bottom_left: Point, height: float, colour: Colour) -> None:
        """Write `message` in letters about `height` metres high."""
        column, row = self._texels([bottom_left])[0] >> SUBPIXEL_BITS
        scale = height / self.view.texel / FONT_HEIGHT
        at = (int(column), int(row))
        cv2.putText(self.colour, message, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)

    def lettering(self, message: str, centre: Point, size: Point, colour: Colour) -> None:
        """Write `message` about `centre`, as large as fits into `size` (metres)."""
        width, height = (metres / self.view.texel for metres in size)
        (text_width, _), _ = cv2.getTextSize(message, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
        scale = min(width / text_width, height / FONT_HEIGHT)
        column, row = self._texels([centre])[0] >> SUBPIXEL_BITS
        at = (round(int(column) - scale * text_width / 2), round(int(row) + scale * FONT_HEIGHT / 2))
        thickness = 2 if scale > 0.5 else 1
        cv2.putText(self.colour, message, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)

    def _texels(self, points: Sequence[Point]) -> Integers:
        """Return columns and rows (N, 2) int32 in fixed point with SUBPIXEL_BITS."""
        metres = np.asarray(points, dtype=np.float64)
        columns = (metres[:, 0] - self.view.left) / self.view.texel - 0.5
        rows = (self.view.top - metres[:, 1]) / self.view.texel - 0.5
        return np.round(np.stack([columns, rows], axis=1) * (1 << SUBPIXEL_BITS)).astype(np.int32)


@dataclass
class Atlas:
    """The textures of a vehicle: colour (R, C, 3), material (R, C) and part (R, C), with skins as views into them."""

    colour: Bytes
    material: Bytes
    part: Bytes
    skins: dict[str, Skin]
    swatches: dict[tuple[Colour, Material], Point] = field(default_factory=dict)

    def soften(self) -> None:
        """Blur the painted colours by about a texel against aliasing; materials and parts stay sharp."""
        for name, skin in self.skins.items():
            if name != "swatch":
                skin.colour[:] = cv2.GaussianBlur(skin.colour, (3, 3), 0.8)

    def swatch(self, colour: Colour, material: Material) -> Point:
        """Return the atlas position of a patch of this colour and material, painted on first use."""
        key = (colour, material)
        if key not in self.swatches:
            across = self.colour.shape[1] // SWATCH_PX
            row, column = (SWATCH_PX * index for index in divmod(len(self.swatches), across))
            if row >= self.skins["swatch"].view.rows:
                raise ValueError("the atlas has no room for another flat colour")
            patch = (slice(row, row + SWATCH_PX), slice(column, column + SWATCH_PX))
            self.colour[patch], self.material[patch] = colour, material
            self.swatches[key] = (column + SWATCH_PX / 2, row + SWATCH_PX / 2)
        return self.swatches[key]


def new_atlas(views: dict[str, View]) -> Atlas:
    """Return a blank atlas with one skin per view, below a skin named `swatch` for flat colours."""
    columns = max(view.columns for view in views.values())
    views = {"swatch": View(0, 2 * SWATCH_PX, columns, 2 * SWATCH_PX, 1.0), **views}
    rows = sum(view.rows for view in views.values())
    atlas = Atlas(
        np.zeros((rows, columns, 3), np.uint8),
        np.ones((rows, columns), np.uint8),
        np.zeros((rows, columns), np.uint8),
        {},
    )
    first = 0
    for name, view in views.items():
        window = slice(first, first + view.rows)
        atlas.skins[name] = Skin(view, first, atlas.colour[window], atlas.material[window], atlas.part[window])
        first += view.rows
    return atlas


def ellipse(centre: Point, radii: Point, count: int = 20, power: float = 1.0) -> list[Point]:
    """Return the outline of a superellipse: power 1 is an ellipse, smaller is squarer."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    u = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    v = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    return [(centre[0] + radii[0] * a, centre[1] + radii[1] * b) for a, b in zip(u, v, strict=True)]


def rectangle(centre: Point, size: Point, lean: float = 0.0) -> list[Point]:
    """Return the outline of a rectangle, rotated by `lean` radians about its centre."""
    cosine, sine = np.cos(lean), np.sin(lean)
    u, v = size[0] / 2, size[1] / 2
    corners = ((-u, -v), (u, -v), (u, v), (-u, v))
    return [(centre[0] + cosine * a - sine * b, centre[1] + sine * a + cosine * b) for a, b in corners]


def band(half: float, low: float, high: float) -> list[Point]:
    """Return the outline of a rectangle of half-width `half` about u = 0, between two heights."""
    return [(-half, low), (half, low), (half, high), (-half, high)]


def shrunk(points: Sequence[Point], across: float, up: float) -> list[Point]:
    """Return the outline scaled about the mean of its corners."""
    middle = np.mean(points, axis=0)
    return [(middle[0] + (u - middle[0]) * across, middle[1] + (v - middle[1]) * up) for u, v in points]


def mirrored(points: Sequence[Point]) -> list[Point]:
    """Return the outline reflected at u = 0."""
    return [(-u, v) for u, v in points]
