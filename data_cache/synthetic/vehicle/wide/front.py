"""The front skin of the variety `wide`: bumper with intakes, grille, lamps, logo, plate, lettering, windshield."""

import numpy as np

from data_cache.synthetic.geometry.atlas import Material, Point, Skin, band, rectangle, shrunk
from data_cache.synthetic.vehicle.canvas import BLACK, PLASTIC, Canvas, darker, details_of
from data_cache.synthetic.vehicle.front import paint_glass_stickers, paint_windshield
from data_cache.synthetic.vehicle.plates import paint_plate
from data_cache.synthetic.vehicle.wide.badges import paint_badge
from data_cache.synthetic.vehicle.wide.lamps import paint_fog_lamps, paint_head_lamp


def paint_front(canvas: Canvas) -> dict[str, tuple[int, int]]:
    """Paint the front skin; return the part numbers (cover, light) of the head lamps by their corner."""
    skin, details = canvas.skin("front"), details_of(canvas)
    skin.fill(canvas.design.paint, Material.PAINT)
    _paint_bumper(canvas, skin)
    if canvas.body.form == "bus":
        _paint_bus_panel(canvas, skin)
    else:
        _paint_grille(canvas, skin)
    lamps = {"front left": paint_head_lamp(canvas, 1), "front right": paint_head_lamp(canvas, -1)}
    paint_fog_lamps(canvas)
    style = details.front
    level = 0.80 if style.head > 0.75 else style.head + 0.08
    if style.lettering and canvas.body.form in ("truck", "bus"):
        level = 0.62  # below the letters
    paint_badge(canvas, "front", 0.02, (0.0, canvas.nose_height(level)))
    paint_plate(canvas, "front", 0.0, (0.0, canvas.nose_height(0.22 if canvas.body.cargo else 0.36)))
    if style.lettering:
        size = (0.8 * canvas.body.width / 2, 0.10 if canvas.body.form in ("truck", "bus") else 0.05)
        skin.lettering(style.lettering, (0.0, canvas.nose_height(0.94)), size, details.logo_tone)
    paint_windshield(canvas, skin, 1.085 if details.side.dark_pillars else 1.05)
    _paint_sun_strip(canvas, skin)
    if canvas.body.form == "bus":
        _paint_display(canvas, skin)
    paint_glass_stickers(canvas, skin)
    return lamps


def _paint_bumper(canvas: Canvas, skin: Skin) -> None:
    """Paint the plastic bumper, the lower intake, its slats, the side intakes and the skid plate."""
    style, half = details_of(canvas).front, canvas.body.width / 2
    low, seam = canvas.nose_height(-0.4), canvas.nose_height(0.48)
    if canvas.design.low_bumper:
        skin.polygon(band(half, low, seam), PLASTIC, Material.MATTE)
    elif details_of(canvas).side.lower is not None or canvas.design.cladding:
        edge = canvas.nose_height(0.10)
        skin.polygon(band(half, low, edge), PLASTIC, Material.MATTE)
    bottom, top = canvas.nose_height(0.02), canvas.nose_height(0.23)
    wide = style.intake * half
    skin.polygon([(-wide, bottom), (wide, bottom), (0.88 * wide, top), (-0.88 * wide, top)], BLACK, Material.MATTE)
    for share in np.linspace(0.25, 0.75, style.count % 4):
        z = bottom + float(share) * (top - bottom)
        skin.line([(-0.9 * wide, z), (0.9 * wide, z)], (58, 58, 61), 0.010)
    if style.side_intakes:
        for side in (1, -1):
            scoop: list[Point] = [(side * a * half, canvas.nose_height(b)) for a, b in SCOOP]
            skin.polygon(scoop, BLACK, Material.MATTE)
    if style.guard is not None:
        guard = [(-0.5 * half, low), (0.5 * half, low), (0.42 * half, bottom + 0.05), (-0.42 * half, bottom + 0.05)]
        skin.polygon(guard, style.guard, Material.METAL)
    line = darker(canvas.design.paint, 0.45)
    edge = canvas.nose_height(0.985)
    skin.line([(-0.9 * half, edge), (0.9 * half, edge)], line, 0.010)
    for side in (1, -1):
        skin.line([(side * 0.56 * half, seam), (side * half, canvas.nose_height(0.53))], line, 0.008)


SCOOP = ((0.66, 0.10), (0.92, 0.14), (0.94, 0.46), (0.86, 0.46))


def _paint_grille(canvas: Canvas, skin: Skin) -> None:
    """Paint the grille with its surround and filling."""
    style, half = details_of(canvas).front, canvas.body.width / 2
    low, high = canvas.nose_height(style.foot), canvas.nose_height(style.head)
    wide, narrow = style.wide * half, style.wide * style.taper * half
    if style.grille == "closed":
        z = canvas.nose_height(0.86)
        skin.line([(-wide, z), (wide, z)], style.surround or darker(canvas.design.paint, 0.5), 0.022, Material.METAL)
        return
    bend = low + 0.55 * (high - low)
    outline: list[Point] = [(-narrow, low), (narrow, low), (wide, bend), (0.97 * wide, high)]
    outline += [(-0.97 * wide, high), (-wide, bend)]
    if style.surround is not None:
        skin.polygon(shrunk(outline, 1.07, 1.14), style.surround, Material.METAL)
    skin.polygon(outline, BLACK, Material.MATTE)
    inner = 0.9 * min(narrow, wide)
    if style.grille in ("bars", "mesh", "frame"):
        count = {"bars": style.count, "mesh": 8, "frame": 1}[style.grille]
        for share in (np.arange(count) + 0.5) / count:
            z = low + float(share) * (high - low)
            width = 0.012 if style.grille != "frame" else 0.045
            skin.line([(-0.94 * inner, z), (0.94 * inner, z)], style.tone, width, Material.METAL)
    if style.grille in ("slats", "mesh"):
        for share in np.linspace(-0.9, 0.9, 7 + 2 * (style.count % 5)):
            skin.line([(float(share) * inner, low + 0.01), (float(share) * inner, high - 0.01)], style.tone, 0.010)
    if style.grille == "honeycomb":
        step = 0.055
        for start in np.arange(-inner, inner - (high - low), step):
            for lean in (1, -1):
                ends = [(lean * float(start), low), (lean * float(start + high - low), high)]
                skin.line(ends, style.tone, 0.006)


def _paint_bus_panel(canvas: Canvas, skin: Skin) -> None:
    """Paint what is below a bus's windshield: a dark or painted flap with a few lines."""
    style, half = details_of(canvas).front, canvas.body.width / 2
    line = darker(canvas.design.paint, 0.5)
    low, high = canvas.nose_height(0.46), canvas.nose_height(0.9)
    if style.grille in ("mesh", "honeycomb", "frame"):
        panel = rectangle((0.0, (low + high) / 2), (1.5 * half, high - low))
        skin.polygon(panel, (26, 28, 31), Material.PAINT)
    elif style.grille in ("bars", "slats"):
        for share in np.linspace(0.2, 0.6, style.count % 4 + 2):
            z = low + float(share) * (high - low)
            skin.line([(-0.4 * half, z), (0.4 * half, z)], BLACK, 0.02, Material.MATTE)
    skin.line([(-0.97 * half, low), (0.97 * half, low)], line, 0.012)
    skin.line([(-0.97 * half, high), (0.97 * half, high)], line, 0.012)


def _paint_display(canvas: Canvas, skin: Skin) -> None:
    """Paint the destination display above the windshield of a bus."""
    style, body = details_of(canvas).bus, canvas.body
    z = float(body.top_at(body.windshield[1])) + 0.10
    centre, size = (0.0, z), (1.1 * body.width / 2, 0.17)
    skin.polygon(rectangle(centre, size), (16, 17, 19), Material.PAINT)
    skin.lettering(style.display, centre, (0.8 * size[0], 0.7 * size[1]), style.display_ink)


def _paint_sun_strip(canvas: Canvas, skin: Skin) -> None:
    """Paint the strip at the top of the windshield."""
    colour = details_of(canvas).sun_strip
    if colour is not None:
        corners = [canvas.glass_point(*point) for point in ((-0.98, 0.87), (0.98, 0.87), (0.95, 0.945), (-0.95, 0.945))]
        skin.polygon([(y, z) for _, y, z in corners], colour, Material.MATTE)
