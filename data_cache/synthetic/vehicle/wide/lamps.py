"""Head, tail and fog lamps of the variety `wide`: covers, luminous areas and what is visible inside."""

from collections.abc import Sequence

import numpy as np

from data_cache.synthetic.design.wide.details import WideLamps
from data_cache.synthetic.design.wide.lamp_shapes import HEAD_SHAPES, TAIL_SHAPES, WideLampShape
from data_cache.synthetic.geometry.atlas import Colour, Material, Point, Skin, ellipse, mirrored, rectangle, shrunk
from data_cache.synthetic.vehicle.canvas import Canvas, darker, lamps_of

AMBER: Colour = (224, 128, 36)
CLEAR: Colour = (222, 216, 212)
BRIGHT: Colour = (236, 239, 242)
PROJECTOR: Colour = (70, 76, 84)
# centre (share of the half-width, share of the nose's height), half sizes of the cover in metres, squareness
FOGS: dict[str, tuple[float, float, float, float, float]] = {
    "round": (0.68, 0.17, 0.075, 0.065, 1.0),
    "slit": (0.68, 0.16, 0.100, 0.026, 0.4),
    "upright": (0.84, 0.24, 0.035, 0.085, 0.4),
    "block": (0.68, 0.24, 0.105, 0.058, 0.5),
}

Outline = list[Point]


def head_lamp(canvas: Canvas) -> tuple[Outline, list[Outline]]:
    """Return the outlines (y, z) of the cover and of the lights of the left head lamp, without its wrap."""
    shape = HEAD_SHAPES[lamps_of(canvas).head]
    return _place(shape, canvas, canvas.nose_height(shape.low), canvas.nose_height(shape.high))


def tail_lamp(canvas: Canvas) -> tuple[Outline, list[Outline]]:
    """Return the outlines (|y|, z) of the cover and of the lights of a tail lamp, without its wrap."""
    style, body = lamps_of(canvas).tail, canvas.body
    shape = TAIL_SHAPES[style]
    low, high = canvas.tail_height(shape.low), canvas.tail_height(shape.high)
    if style == "vertical" and (body.form == "van" or body.name in ("van", "off-roader", "estate")):
        high += 0.4 * (body.height - high)  # beside the rear window
    return _place(shape, canvas, low, high)


def _place(shape: WideLampShape, canvas: Canvas, low: float, high: float) -> tuple[Outline, list[Outline]]:
    half = canvas.body.width / 2

    def metres(points: Sequence[Point]) -> Outline:
        wide = shape.outer - shape.inner
        return [((shape.inner + a * wide) * half, low + b * (high - low)) for a, b in points]

    outline = metres(shape.outline)
    return outline, [metres(light) for light in shape.lights] or [shrunk(outline, 0.76, 0.72)]


def paint_lamp_part(
    canvas: Canvas,
    name: str,
    end: str,
    lights: Sequence[Outline],
    colour: Colour,
    material: Material,
    within: int = 0,
) -> int:
    """Paint several outlines (u, z) on an end as one part, a piece of part `within` if given; return its number."""
    sign, s = (1, 0.05) if end == "front" else (-1, canvas.body.full_length - 0.05)
    # closed loops in a row: the area of this polygon is the sum of their areas
    loops = [(canvas.body.ahead(s), sign * u, z) for light in lights for u, z in [*light, light[0]]]
    part = canvas.add_part(name, loops, within)
    for light in lights:
        canvas.skin(end).polygon(light, colour, material, part)
    return part


def cover_colours(canvas: Canvas) -> tuple[Colour, Colour]:
    """Return the cover colours of head and tail lamps."""
    lamps = lamps_of(canvas)
    if lamps.fill == "clear":
        return lamps.housing, (172, 160, 160)
    red = lamps.red
    tail = (max(34, red[0] // 4), red[1] // 2, red[2] // 2) if lamps.smoked else (max(60, red[0] // 2), red[1], red[2])
    return lamps.housing, tail


def paint_head_lamp(canvas: Canvas, side: int) -> tuple[int, int]:
    """Paint a head lamp; return the part numbers of cover and light."""
    outline, lights = head_lamp(canvas)
    if side == -1:
        outline, lights = mirrored(outline), [mirrored(light) for light in lights]
    lamps, skin = lamps_of(canvas), canvas.skin("front")
    cover = paint_lamp_part(canvas, "light cover", "front", [outline], lamps.housing, Material.LENS)
    dark = lamps.optics in ("projectors", "dots", "strip")
    ground = darker(lamps.housing, 0.85) if dark else darker(lamps.housing, 1.5)
    light = paint_lamp_part(canvas, "car light", "front", lights, ground, Material.LENS, cover)
    for area in lights:
        _paint_optics(skin, lamps.optics, area, single=len(lights) == 1)
    if lamps.daylight:
        _paint_daylight(skin, outline)
    return cover, light


def _extent(points: Outline) -> tuple[float, float, float, float]:
    """Return centre and half sizes (u, v, across, up) of an outline."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    u, v = (low + high) / 2
    across, up = (high - low) / 2
    return float(u), float(v), float(across), float(up)


def _paint_optics(skin: Skin, optics: str, area: Outline, *, single: bool) -> None:
    """Paint reflectors, projectors or LED within the luminous area of a head lamp."""
    u, v, across, up = _extent(area)
    if optics == "strip":
        skin.polygon(shrunk(area, 0.92, 0.34), BRIGHT, Material.HEAD)
        return
    reach = min(0.86 * up, across)
    count = 1 if not single else int(np.clip(across / (1.15 * reach), 1, {"dots": 5, "bowl": 1}.get(optics, 2)))
    for offset in (np.arange(count) - (count - 1) / 2) * 2 * across / max(count, 1):
        spot, size = (u + float(offset), v), 0.92 * reach
        if optics == "bowl":
            skin.polygon(ellipse(spot, (min(across, 1.5 * size), size), 24, 0.7), (214, 218, 222), Material.LENS)
            skin.polygon(ellipse(spot, (0.5 * size, 0.5 * size)), BRIGHT, Material.HEAD)
        elif optics == "reflector":
            skin.polygon(ellipse(spot, (size, size)), (176, 181, 186), Material.LENS)
            skin.polygon(ellipse(spot, (0.55 * size, 0.55 * size)), BRIGHT, Material.HEAD)
        elif optics == "dots":
            skin.polygon(rectangle(spot, (0.9 * size, 1.1 * size)), BRIGHT, Material.HEAD)
        else:
            skin.polygon(ellipse(spot, (size, size)), (150, 155, 160), Material.METAL)
            skin.polygon(ellipse(spot, (0.84 * size, 0.84 * size)), PROJECTOR, Material.LENS)
            skin.polygon(ellipse(spot, (0.5 * size, 0.5 * size)), BRIGHT, Material.HEAD)


def _paint_daylight(skin: Skin, outline: Outline) -> None:
    """Paint the bright strip along the lower edge of a head lamp."""
    u, v, across, up = _extent(outline)
    inner, outer = (u - across, u + across) if u > 0 else (u + across, u - across)
    points = [(inner + 0.1 * (outer - inner), v - 0.3 * up), (inner + 0.92 * (outer - inner), v - 0.72 * up)]
    skin.line([*points, (inner + 0.95 * (outer - inner), v + 0.6 * up)], BRIGHT, 0.016, Material.HEAD)


def paint_fog_lamps(canvas: Canvas) -> None:
    """Paint both fog lamps on the front bumper, if the vehicle has any."""
    kind = lamps_of(canvas).fog
    if kind == "none":
        return
    across, share, wide, tall, power = FOGS[kind]
    for side in (1, -1):
        spot = (side * across * canvas.body.width / 2, canvas.nose_height(share))
        canvas.skin("front").polygon(rectangle(spot, (2.9 * wide, 2.6 * tall)), (26, 27, 29), Material.MATTE)
        ring, light = ellipse(spot, (wide, tall), 24, power), ellipse(spot, (0.7 * wide, 0.66 * tall), 24, power)
        cover = paint_lamp_part(canvas, "light cover", "front", [ring], (92, 95, 98), Material.LENS)
        paint_lamp_part(canvas, "car light", "front", [light], (214, 216, 216), Material.LENS, cover)


def paint_tail_lamp(canvas: Canvas, side: int) -> tuple[int, int]:
    """Paint a tail lamp on the rear skin; `side` 1 is the right one. Return the part numbers of cover and light."""
    outline, lights = tail_lamp(canvas)
    if side == -1:
        outline, lights = mirrored(outline), [mirrored(light) for light in lights]
    return paint_tail_areas(canvas, outline, lights, side)


def paint_tail_areas(canvas: Canvas, outline: Outline, lights: list[Outline], side: int) -> tuple[int, int]:
    """Paint cover, lights and sections of a tail lamp; return the part numbers of cover and light."""
    lamps = lamps_of(canvas)
    red = darker(lamps.red, 0.55) if lamps.smoked else lamps.red
    cover = paint_lamp_part(canvas, "light cover", "rear", [outline], cover_colours(canvas)[1], Material.LENS)
    light = paint_lamp_part(canvas, "car light", "rear", lights, red, Material.TAIL, cover)
    signal = Material.SIGNAL_RIGHT if side == 1 else Material.SIGNAL_LEFT
    for area in lights:
        _paint_fill(canvas.skin("rear"), lamps, area, signal)
    return cover, light


def _paint_fill(skin: Skin, lamps: WideLamps, area: Outline, signal: Material) -> None:
    """Paint indicator, reversing light or LED within a luminous area of a tail lamp."""
    u, v, across, up = _extent(area)
    tall = up > across

    def pane(first: float, last: float) -> Outline:
        """Return the part of the extent between two shares of its longer axis, slightly inset."""
        middle, length = (first + last) - 1, last - first
        if tall:
            return rectangle((u, v + middle * up), (1.5 * across, 2 * length * up))
        side = 1 if u > 0 else -1
        return rectangle((u + side * middle * across, v), (2 * length * across, 1.5 * up))

    if lamps.fill == "bands":
        skin.polygon(pane(0.08, 0.30), AMBER, signal)
        skin.polygon(pane(0.34, 0.52), CLEAR, Material.LENS)
    elif lamps.fill == "stacked":
        skin.polygon(pane(0.10, 0.36), CLEAR, signal)
        skin.polygon(pane(0.42, 0.46), darker(lamps.red, 0.4), Material.LENS)
    elif lamps.fill == "contour":
        skin.polygon(shrunk(area, 0.72, 0.62), (46, 10, 13), Material.LENS)
    elif lamps.fill == "clear":
        skin.polygon(area, (206, 196, 196), Material.LENS)
        skin.polygon(ellipse((u, v), (0.55 * across, 0.72 * up)), lamps.red, Material.TAIL)
    elif lamps.fill == "dots":
        for share in np.linspace(0.12, 0.82, 4):
            skin.polygon(pane(float(share), float(share) + 0.09), darker(lamps.red, 1.5), Material.TAIL)
    elif lamps.fill == "core":
        skin.polygon(shrunk(area, 0.55, 0.5), darker(lamps.red, 1.45), Material.TAIL)
