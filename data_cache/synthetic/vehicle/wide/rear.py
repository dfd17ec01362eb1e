"""The rear skin of the variety `wide`, of all vehicles without a separate load space."""

import numpy as np

from data_cache.synthetic.design.wide.bodies import is_upright
from data_cache.synthetic.design.wide.lamp_shapes import TAIL_SHAPES
from data_cache.synthetic.geometry.atlas import (
    Colour,
    Material,
    Point,
    Skin,
    band,
    ellipse,
    mirrored,
    rectangle,
)
from data_cache.synthetic.vehicle.canvas import BLACK, PLASTIC, Canvas, darker, details_of
from data_cache.synthetic.vehicle.plates import paint_plate
from data_cache.synthetic.vehicle.rear import paint_heating, paint_rear_stickers
from data_cache.synthetic.vehicle.wide.badges import paint_badge
from data_cache.synthetic.vehicle.wide.lamps import paint_tail_lamp

REFLECTOR: Colour = (158, 18, 22)
REFLECTORS: dict[str, tuple[float, float, float, float]] = {  # share across, share up, width and height in metres
    "corner": (0.72, 0.16, 0.14, 0.032),
    "strip": (0.66, 0.10, 0.26, 0.024),
    "upright": (0.88, 0.22, 0.035, 0.14),
}


def paint_rear(canvas: Canvas) -> dict[str, tuple[int, int]]:
    """Paint the rear skin (u = -y); return the part numbers (cover, light) of the tail lamps by their corner."""
    skin, body, style = canvas.skin("rear"), canvas.body, details_of(canvas).rear
    skin.fill(canvas.design.paint, Material.PAINT)
    if style.windows:
        _paint_window(canvas, skin)
    _paint_bumper(canvas, skin)
    if body.form == "bus":
        _paint_engine_flap(canvas, skin)
    _paint_bar(canvas, skin)
    lamps = {"rear right": paint_tail_lamp(canvas, 1), "rear left": paint_tail_lamp(canvas, -1)}
    _paint_seams(canvas, skin)
    paint_badge(canvas, "rear", body.length, (0.0, canvas.tail_height(0.88 if body.form != "bus" else 0.98)))
    level = style.plate_level if body.form != "bus" else 0.5 * style.plate_level + 0.06
    paint_plate(canvas, "rear", body.length, (0.0, canvas.tail_height(level)))
    _paint_trim(canvas, skin, level)
    _paint_letters(canvas, skin)
    if body.form != "bus" and style.brake_lamp:
        _paint_third_brake_lamp(canvas, skin)
    return lamps


def _paint_window(canvas: Canvas, skin: Skin) -> None:
    """Paint the rear window with rounded corners and a black rim, its heating and wiper."""
    body, style = canvas.body, details_of(canvas).rear
    first, last = body.rear_glass
    for inset, colour, material in (
        (0.0, BLACK, Material.PAINT),
        (style.window_rim, canvas.design.glass.rear, Material.GLASS_SIDE),
    ):
        right: list[Point] = []
        for share in np.linspace(-1, 1, 13):
            s = first + (0.5 + (0.5 - inset) * float(share)) * (last - first)
            half = (0.94 - 0.7 * inset) * (1 - 0.12 * abs(float(share)) ** style.window_power) * float(body.edge_at(s))
            right.append((half, float(body.top_at(s)) - 0.01))
        skin.polygon(right + mirrored(right)[::-1], colour, material)
    if canvas.design.glass.heated:
        paint_heating(canvas, skin)
    if body.form == "car" and is_upright(body) and body.bed is None and style.wiper:
        low = float(body.top_at(last)) + 0.07
        skin.line([(0.0, low), (style.wiper * 0.34, low + 0.03)], BLACK, 0.018, Material.MATTE)


def _paint_bumper(canvas: Canvas, skin: Skin) -> None:
    """Paint bumper, diffuser, skid plate, exhausts and reflectors."""
    style, half = details_of(canvas).rear, canvas.body.width / 2
    low, edge = canvas.tail_height(-0.35), canvas.tail_height(0.38)
    whole = band(half, low, edge)
    if canvas.design.low_bumper:
        skin.polygon(whole, PLASTIC, Material.MATTE)
    elif canvas.design.cladding or style.diffuser:
        top = canvas.tail_height(0.14)
        skin.polygon([(-half, low), (half, low), (0.8 * half, top), (-0.8 * half, top)], PLASTIC, Material.MATTE)
    if style.guard is not None:
        guard = rectangle((0.0, canvas.tail_height(0.02)), (0.9 * half, 0.10))
        skin.polygon(guard, style.guard, Material.METAL)
    skin.line([(-half, edge), (half, edge)], darker(canvas.design.paint, 0.45), 0.010)
    spots = {0: (), 1: (0.52,), 2: (0.56, -0.56), 4: (0.48, 0.62, -0.48, -0.62)}[style.exhausts]
    for share in spots:
        pipe = (share * half, canvas.tail_height(0.04))
        skin.polygon(ellipse(pipe, (0.055, 0.036)), (186, 188, 192), Material.METAL)
        skin.polygon(ellipse(pipe, (0.043, 0.026)), (12, 12, 13), Material.MATTE)
    if style.reflectors in REFLECTORS:
        across, up, width, height = REFLECTORS[style.reflectors]
        for side in (1, -1):
            spot = (side * across * half, canvas.tail_height(up))
            skin.polygon(rectangle(spot, (width, height)), REFLECTOR, Material.LENS)


def _paint_engine_flap(canvas: Canvas, skin: Skin) -> None:
    """Paint the grille, the flap and the lamps' dark columns of a bus."""
    style, half = details_of(canvas).rear, canvas.body.width / 2
    if style.diffuser:  # a black tail from the window down
        low, high = canvas.tail_height(0.34), canvas.tail_height(1.1)
        skin.polygon(rectangle((0.0, (low + high) / 2), (1.5 * half, high - low)), (24, 26, 29), Material.PAINT)
    for share in np.linspace(0.62, 0.80, 5):
        z = canvas.tail_height(float(share))
        skin.line([(-0.34 * half, z), (0.34 * half, z)], darker(canvas.design.paint, 0.3), 0.022, Material.MATTE)
    seam = darker(canvas.design.paint, 0.5)
    flap = rectangle((0.0, canvas.tail_height(0.62)), (1.3 * half, 0.55))
    skin.line([*flap, flap[0]], seam, 0.010)


def _paint_bar(canvas: Canvas, skin: Skin) -> None:
    """Paint what joins the tail lamps: nothing, a dark or chrome strip, or a red bar."""
    lamps, half = details_of(canvas).lamps, canvas.body.width / 2
    if lamps.bar == "none":
        return
    shape = TAIL_SHAPES[lamps.tail]
    z = canvas.tail_height(0.45 * shape.low + 0.55 * shape.high)
    tall = {"dark": 0.10, "red": 0.055, "chrome": 0.045}[lamps.bar]
    colour, material = {
        "dark": (BLACK, Material.PAINT),
        "red": (darker(lamps.red, 0.6), Material.LENS),
        "chrome": ((196, 199, 203), Material.METAL),
    }[lamps.bar]
    skin.polygon(rectangle((0.0, z), (2 * (shape.inner + 0.05) * half, tall)), colour, material)


def _paint_third_brake_lamp(canvas: Canvas, skin: Skin) -> None:
    """Paint the brake lamp at the upper edge of the rear window, which is no part: it is neither left nor right."""
    body = canvas.body
    s = body.rear_glass[0] + 0.06 * (body.rear_glass[1] - body.rear_glass[0])
    lamp = rectangle((0.0, float(body.top_at(s)) - 0.02), (0.30, 0.030))
    skin.polygon(lamp, darker(details_of(canvas).lamps.red, 0.7), Material.LENS)


def _paint_seams(canvas: Canvas, skin: Skin) -> None:
    """Paint the seams of lid or tailgate, or of the two doors of a panel van."""
    body, half, seam = canvas.body, canvas.body.width / 2, darker(canvas.design.paint, 0.42)
    low, top = canvas.tail_height(0.39), canvas.tail_height(0.99)
    if body.form == "bus":
        return
    if body.form == "van" and body.name != "minibus":
        roof = body.height - 0.12
        skin.line([(0.0, low), (0.0, roof)], seam, 0.018, Material.MATTE)
        for side in (1, -1):
            skin.line([(side * 0.80 * half, low), (side * 0.80 * half, roof)], seam, 0.010)
            for z in np.linspace(low + 0.1, roof - 0.2, 3):
                skin.polygon(rectangle((side * 0.82 * half, float(z)), (0.10, 0.06)), seam, Material.MATTE)
        skin.polygon(rectangle((0.06, canvas.tail_height(0.9)), (0.06, 0.18)), BLACK, Material.MATTE)
        return
    for side in (1, -1):
        skin.line([(side * 0.74 * half, low), (side * 0.74 * half, top)], seam, 0.008)
    skin.line([(-0.74 * half, top), (0.74 * half, top)], seam, 0.008)
    middle = canvas.tail_height(0.68)
    skin.line([(-0.72 * half, middle), (0.72 * half, middle)], darker(canvas.design.paint, 0.75), 0.014)


def _paint_trim(canvas: Canvas, skin: Skin, level: float) -> None:
    style = details_of(canvas).rear
    if style.trim is not None and level > 0.4 and canvas.body.form != "bus":
        z = canvas.tail_height(level) + 0.13
        skin.polygon(rectangle((0.0, z), (0.62, 0.036)), style.trim, Material.METAL)


def _paint_letters(canvas: Canvas, skin: Skin) -> None:
    """Paint model names, spaced letters across the lid and stickers."""
    details, half = details_of(canvas), canvas.body.width / 2
    style, tone = details.rear, details.logo_tone
    for text, across, up, height in style.letterings:
        skin.lettering(text, (across * half, canvas.tail_height(up)), (0.24, height), tone)
    if style.wide_lettering:
        letters = " ".join(style.wide_lettering)
        skin.lettering(letters, (0.0, canvas.tail_height(0.76)), (0.9 * half, 0.045), tone)
    if canvas.body.form == "bus" and details.side.advert is not None:
        advert, centre = details.side.advert, (0.0, canvas.tail_height(0.42))
        skin.polygon(rectangle(centre, (1.1 * half, 0.16)), advert.ground, Material.PAINT)
        skin.lettering(advert.text, centre, (0.9 * half, 0.11), advert.ink)
    paint_rear_stickers(canvas, skin)
