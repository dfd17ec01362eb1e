"""The left, right and top skins: windows, doors, lower edge, lamps, stickers, roof; and damage on all skins."""

from collections.abc import Sequence

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.atlas import Colour, Material, Point, Skin, ellipse, rectangle, shrunk
from data_cache.synthetic.vehicle.canvas import BLACK, CHROME, PLASTIC, Canvas, darker, paint_sticker
from data_cache.synthetic.vehicle.lamps import cover_colours, head_lamp, tail_lamp
from data_cache.synthetic.vehicle.shell import ARCH_GAP

ROOF_BLACK: Colour = (20, 21, 23)


def paint_sides(canvas: Canvas, lamps: dict[str, tuple[int, int]]) -> None:
    """Paint the left and right skins; `lamps` maps "front left" and so on to the part numbers (cover, light)."""
    for name, sign in (("left", 1), ("right", -1)):
        side = Side(canvas, canvas.skin(name), sign)
        side.skin.fill(canvas.design.paint, Material.PAINT)
        side.paint_windows()
        side.paint_doors()
        side.paint_lower_edge()
        side.paint_lamps(lamps[f"front {name}"], lamps[f"rear {name}"])
        side.paint_stickers()


class Side:
    """One side of the vehicle; positions are (s, z) in metres, with s behind the front bumper."""

    def __init__(self, canvas: Canvas, skin: Skin, sign: int) -> None:
        self.canvas, self.skin, self.sign = canvas, skin, sign
        self.body, self.paint = canvas.body, canvas.design.paint

    def polygon(
        self, points: Sequence[Point], colour: Colour, material: Material | None = None, part: int | None = None
    ) -> None:
        self.skin.polygon(self._flat(points), colour, material, part)

    def line(self, points: Sequence[Point], colour: Colour, width: float, material: Material | None = None) -> None:
        self.skin.line(self._flat(points), colour, width, material)

    def lettering(self, message: str, centre: Point, size: Point, colour: Colour) -> None:
        """Write `message` about `centre` (s, z), as large as fits into `size` (metres)."""
        self.skin.lettering(message, self._flat([centre])[0], size, colour)

    def _flat(self, points: Sequence[Point]) -> list[Point]:
        """Return positions (s, z) as positions (u, v) of the skin; the nose is at the left end of the left skin."""
        return [(self.sign * (s - self.body.full_length / 2), z) for s, z in points]

    def paint_windows(self) -> None:
        first, last = self.body.windows
        s = np.linspace(first, last, 60)
        low, high = self._window_edges(s)
        open_ = high - low > 0.05
        for margin, colour, material in (
            (0.022, CHROME if self.canvas.design.chrome else BLACK, Material.METAL),
            (0.0, self.canvas.design.glass.side, Material.GLASS_SIDE),
        ):
            band = [*zip(s[open_], low[open_] - margin, strict=True)]
            band += [*zip(s[open_][::-1], high[open_][::-1] + margin, strict=True)]
            self.polygon([(float(a), float(b)) for a, b in band], colour, material)
        for pillar in self.body.pillars:
            bottom, top = (float(edge) for edge in self._window_edges(np.array([pillar]))[:, 0])
            self.line([(pillar, bottom - 0.01), (pillar, top + 0.01)], BLACK, 0.085, Material.MATTE)

    def _window_edges(self, s: Floats) -> Floats:
        """Return (2, N): the lower and upper edge of the side windows at `s` (N,)."""
        belt = self.body.belt_at(s)
        roof = np.minimum(self.body.top_at(s - 0.10), self.body.top_at(s + 0.13))
        return np.stack([belt + 0.03, belt + 0.88 * (roof - belt) - 0.035])

    def paint_doors(self) -> None:
        seam = darker(self.paint, 0.5)
        low = self.body.sill + 0.12
        for door in self.body.doors:
            top = float(self.body.belt_at(door))
            self.line([(door, top), (door - 0.03, low + 0.1), (door, low)], seam, 0.013)
        first, last = self.body.doors[0], self.body.doors[-1]
        self.line([(first, low), (last, low)], seam, 0.013)
        for door in self.body.doors[1:]:
            handle = (door - 0.17, float(self.body.belt_at(door)) - 0.12)
            self.polygon(rectangle(handle, (0.19, 0.04)), seam, Material.MATTE)
            shade = CHROME if self.canvas.design.chrome else darker(self.paint, 1.1)
            self.polygon(rectangle((handle[0], handle[1] + 0.008), (0.17, 0.022)), shade, Material.METAL)
        crease = float(self.body.belt_at(first)) - 0.17
        ends = [(0.35, crease - 0.04), (self.body.length - 0.3, crease + 0.03)]
        self.line(ends, darker(self.paint, 0.72), 0.012)
        if self.canvas.design.moulding:
            z = self.body.sill + 0.30
            strip = [(self.body.axles[0] + 0.55, z), (self.body.axles[1] - 0.55, z)]
            self.line(strip, (40, 40, 42), 0.05, Material.MATTE)
        if self.sign == -1:
            cap = (self.body.axles[1] + 0.12, float(self.body.belt_at(self.body.axles[1])) - 0.16)
            fuel_flap = rectangle(cap, (0.17, 0.15))
            self.line([*fuel_flap, fuel_flap[0]], seam, 0.009)

    def paint_lower_edge(self) -> None:
        length, sill = self.body.length, self.body.sill
        self._shade_downwards(sill + 0.45)
        edge = [(0.0, 0.0), (length, 0.0), (length, sill + 0.05), (0.0, sill + 0.05)]
        self.polygon(edge, (38, 38, 40), Material.MATTE)
        if self.canvas.design.low_bumper:
            for s0, s1 in ((0.0, 0.42), (length - 0.42, length)):
                top = sill + 0.30
                self.polygon([(s0, 0), (s1, 0), (s1, top), (s0, top)], PLASTIC, Material.MATTE)
        self._paint_arches()

    def _paint_arches(self) -> None:
        """Paint the edges of the wheel arches, and the sill if it is clad."""
        reach, clad = self.body.wheel_radius + ARCH_GAP, self.canvas.design.cladding
        width = 0.10 if clad else 0.04
        for axle in self.body.axles:
            ring = ellipse((axle, self.body.wheel_radius), (reach + width / 2, reach + width / 2), 28)
            dark = (34, 34, 36) if clad else darker(self.paint, 0.5)
            self.line([*ring, ring[0]], dark, width, Material.MATTE if clad else None)
        if clad:
            z = self.body.sill + 0.10
            ends = [(self.body.axles[0], z), (self.body.axles[1], z)]
            self.line(ends, (36, 36, 38), 0.16, Material.MATTE)

    def _shade_downwards(self, start: float) -> None:
        """Darken the side gradually below the height `start`, where it faces the road."""
        view = self.skin.view
        height = view.top - (np.arange(view.rows) + 0.5) * view.texel
        share = 1 - 0.3 * np.clip((start - height) / start, 0, 1)
        self.skin.colour[:] = (self.skin.colour * share[:, None, None]).astype(np.uint8)

    def paint_lamps(self, front: tuple[int, int], rear: tuple[int, int]) -> None:
        """Paint the parts of head and tail lamps that wrap around the corners."""
        covers, reach = cover_colours(self.canvas), self.canvas.design.lamps.wrap
        head, tail = head_lamp(self.canvas)[0], tail_lamp(self.canvas)[0]
        self.paint_wrap(head, (0.0, reach[0]), front, (covers[0], (218, 222, 226)))
        ends = (self.body.length, self.body.length - reach[1])
        self.paint_wrap(tail, ends, rear, (covers[1], self.canvas.design.lamps.red), Material.TAIL)

    def paint_wrap(
        self,
        outline: list[Point],
        ends: tuple[float, float],
        parts: tuple[int, int],
        colours: tuple[Colour, Colour],
        lit: Material = Material.LENS,
    ) -> None:
        """Paint cover and light of a lamp from the corner at s = `ends[0]` to its tip at s = `ends[1]`."""
        start, tip = ends
        low, high = min(z for _, z in outline), max(z for _, z in outline)
        tall, inner = high - low, start + 0.6 * (tip - start)
        wrap = [(start, low), (tip, low + 0.45 * tall), (tip, high - 0.1 * tall), (start, high)]
        self.polygon(wrap, colours[0], Material.LENS, parts[0])
        light = [(start, low + 0.2 * tall), (inner, low + 0.5 * tall)]
        light += [(inner, high - 0.25 * tall), (start, high - 0.15 * tall)]
        self.polygon(light, colours[1], lit, parts[1])

    def paint_stickers(self) -> None:
        low, high = self.body.sill + 0.3, float(self.body.belt_at(self.body.length / 2)) - 0.12
        for sticker in self.canvas.individual.side_stickers:
            s, z = 0.9 + sticker.across * (self.body.length - 1.8), low + sticker.up * (high - low)
            paint_sticker(self, sticker, (s, z), (0.7, 0.35))


def paint_top(canvas: Canvas) -> None:
    """Paint the top skin (u = x, v = y): bonnet creases, cowl, roof ribs, a pick-up's bed, the top window."""
    skin, body, paint = canvas.skin("top"), canvas.body, canvas.design.paint
    skin.fill(paint, Material.PAINT)
    low, high = body.windshield
    half = body.width / 2
    if canvas.design.roof.dark:  # glossy black between windshield and rear window
        first, last = high - 0.05, body.rear_glass[0] + 0.05
        roof = rectangle((body.ahead((first + last) / 2), 0.0), (last - first, 1.1 * body.width))
        skin.polygon(roof, ROOF_BLACK, Material.PAINT)
    crease = darker(paint, 0.78)
    if low > 0.6:
        for side in (1, -1):
            skin.line(
                [(body.ahead(0.15), side * 0.45 * half), (body.ahead(low - 0.1), side * 0.62 * half)], crease, 0.016
            )
            edge = [(body.ahead(0.2), side * 0.80 * half), (body.ahead(low), side * 0.83 * half)]
            skin.line(edge, darker(paint, 0.55), 0.012)
    cowl = [(body.ahead(low - 0.07), 0.78 * half), (body.ahead(low + 0.02), 0.78 * half)]
    cowl += [(u, -v) for u, v in reversed(cowl)]
    skin.polygon(cowl, BLACK, Material.MATTE)
    if body.name in ("van", "minibus"):
        for share in np.linspace(0.2, 0.95, 7):
            s = high + share * (body.rear_glass[0] - high)
            skin.line([(body.ahead(s), -0.5 * half), (body.ahead(s), 0.5 * half)], crease, 0.02)
    if body.bed is not None:
        first, last, _ = body.bed
        bed = rectangle((body.ahead((first + last) / 2), 0.0), (last - first, 1.8 * half))
        skin.polygon(bed, (44, 44, 46), Material.MATTE)
    _paint_top_window(canvas, skin)


def _paint_top_window(canvas: Canvas, skin: Skin) -> None:
    kind = canvas.individual.top_window
    if kind == "none":
        return
    body = canvas.body
    roof = (body.windshield[1] + 0.18, body.rear_glass[0] - 0.12)
    last = roof[0] + (0.55 if kind == "sunroof" else roof[1] - roof[0])
    half = 0.62 * float(body.edge_at(roof[0] + 0.2))
    outline = rectangle((body.ahead((roof[0] + last) / 2), 0.0), (last - roof[0], 2 * half))
    extent = [(x, y, float(body.top_at(body.length / 2 - x)) - 0.01) for x, y in outline]
    part = canvas.add_part("car topwindow", extent)
    skin.polygon(shrunk(outline, 1.06, 1.06), BLACK, Material.MATTE, part)
    skin.polygon(outline, (14, 20, 24), Material.GLASS_SIDE, part)
    if kind == "panorama":
        middle = body.ahead((roof[0] + last) / 2)
        skin.line([(middle, -half), (middle, half)], BLACK, 0.05, Material.MATTE)


def paint_damages(canvas: Canvas) -> None:
    """Paint scratches and dents on the sides, the front and the rear."""
    for damage in canvas.individual.damages:
        skin = canvas.skin(damage.skin)
        span = skin.view.width * 0.9
        top = float(canvas.body.belt_at(canvas.body.length * 0.5))
        u = (damage.along - 0.5) * span
        v = canvas.body.sill + 0.12 + damage.up * (top - canvas.body.sill - 0.2)
        du, dv = damage.length / 2 * np.cos(damage.lean), damage.length / 2 * np.sin(damage.lean)
        if damage.dent:
            spot = ellipse((u, v), (damage.length / 3, damage.length / 5))
            skin.polygon(spot, darker(canvas.design.paint, 0.62))
            skin.polygon(
                ellipse((u - 0.03, v + 0.03), (damage.length / 5, damage.length / 9)), darker(canvas.design.paint, 1.25)
            )
        else:
            light = sum(canvas.design.paint) < 420
            shade = (205, 205, 202) if light else (70, 66, 62)
            skin.line([(u - du, v - dv), (u, v + 0.02), (u + du, v + dv)], shade, 0.022)
