"""The front skin: bumper, grille, lamps, logo, plate, and the windshield with its stickers."""

import numpy as np

from data_cache.synthetic.design.traits import Sticker
from data_cache.synthetic.geometry.atlas import Material, Point, Skin, band, shrunk
from data_cache.synthetic.vehicle.canvas import BLACK, CHROME, PLASTIC, Canvas, darker, sticker_outline
from data_cache.synthetic.vehicle.lamps import paint_fog_lamp, paint_head_lamp
from data_cache.synthetic.vehicle.plates import paint_logo, paint_plate


def paint_front(canvas: Canvas) -> dict[str, tuple[int, int]]:
    """Paint the front skin; return the part numbers (cover, light) of the head lamps by their corner."""
    skin = canvas.skin("front")
    skin.fill(canvas.design.paint, Material.PAINT)
    _paint_bumper(canvas, skin)
    _paint_grille(canvas, skin)
    lamps = {"front left": paint_head_lamp(canvas, 1), "front right": paint_head_lamp(canvas, -1)}
    if canvas.design.lamps.fog:
        for side in (1, -1):
            paint_fog_lamp(canvas, side)
    paint_logo(canvas, "front", 0.02, (0.0, canvas.nose_height(0.80)), 0.075)
    paint_plate(canvas, "front", 0.0, (0.0, canvas.nose_height(0.36)))
    paint_windshield(canvas, skin)
    paint_glass_stickers(canvas, skin)
    return lamps


def _paint_bumper(canvas: Canvas, skin: Skin) -> None:
    half = canvas.body.width / 2
    low, high = canvas.nose_height(-0.3), canvas.nose_height(0.5)
    if canvas.design.low_bumper:
        skin.polygon(band(half, low, high), PLASTIC, Material.MATTE)
    bottom, middle, top = (canvas.nose_height(share) for share in (0.03, 0.14, 0.24))
    intake = [(-0.62 * half, bottom), (0.62 * half, bottom), (0.50 * half, top), (-0.50 * half, top)]
    skin.polygon(intake, BLACK, Material.MATTE)
    skin.line([(-0.55 * half, middle), (0.55 * half, middle)], (60, 60, 62), 0.012)
    seam = darker(canvas.design.paint, 0.45)
    for side in (1, -1):
        skin.line([(side * 0.50 * half, high), (side * half, canvas.nose_height(0.52))], seam, 0.008)
    edge = canvas.nose_height(0.985)
    skin.line([(-0.9 * half, edge), (0.9 * half, edge)], darker(canvas.design.paint, 0.5), 0.012)


def _paint_grille(canvas: Canvas, skin: Skin) -> None:
    half, style = canvas.body.width / 2, canvas.design.grille
    foot, head = {3: (0.74, 0.93), 5: (0.12, 0.93), 6: (0.80, 0.90)}.get(style, (0.56, 0.93))
    low, high = canvas.nose_height(foot), canvas.nose_height(head)
    wide = (0.46, 0.42, 0.34, 0.46, 0.30, 0.44, 0.40)[style] * half
    narrow = wide * (0.9, 0.8, 0.75, 1.0, 1.0, 0.7, 1.0)[style]
    outline: list[Point] = [(-narrow, low), (narrow, low), (wide, high), (-wide, high)]
    skin.polygon(shrunk(outline, 1.06, 1.18), CHROME if canvas.design.chrome else BLACK, Material.METAL)
    skin.polygon(outline, BLACK, Material.MATTE)
    bars = (5, 0, 3, 2, 0, 8, 0)[style]
    for share in np.linspace(0.12, 0.88, bars):
        z = low + share * (high - low)
        skin.line([(-wide * 0.94, z), (wide * 0.94, z)], (150, 152, 156), 0.011, Material.METAL)
    for share in np.linspace(-0.9, 0.9, (0, 13, 0, 0, 9, 0, 0)[style]):
        skin.line([(share * narrow, low), (share * wide, high)], (112, 114, 118), 0.009)


def paint_windshield(canvas: Canvas, skin: Skin, rim_share: float = 1.05) -> None:
    """Paint the glass with its black rim, `rim_share` times as wide, and the wipers."""
    rim = [canvas.glass_point(side * rim_share, up) for side, up in _around(0.0, 1.0)]
    skin.polygon([(y, z) for _, y, z in rim], BLACK, Material.MATTE)
    outline = [canvas.glass_point(side, up) for side, up in _around(0.05, 0.95)]
    part = canvas.add_part("wind-shield glass", outline)
    skin.polygon([(y, z) for _, y, z in outline], (40, 48, 50), Material.GLASS_FRONT, part)
    for start, reach in ((0.15, 0.75), (-0.7, -0.05)):
        points = [canvas.glass_point(start, 0.03), canvas.glass_point(reach, 0.12)]
        skin.line([(y, z) for _, y, z in points], BLACK, 0.014, Material.MATTE)


def _around(low: float, high: float) -> list[Point]:
    """Return the outline (across, up) of the glass with slightly cut corners."""
    cut = 0.06
    right = [(1.0, low + cut), (1.0, high - cut), (1.0 - cut, high)]
    return [(1.0 - cut, low), *right, *[(-a, u) for a, u in reversed(right)], (-1.0 + cut, low)]


def paint_glass_stickers(canvas: Canvas, skin: Skin) -> None:
    """Paint the annual service signs (one part), the entry license and the newer sign."""
    individual = canvas.individual
    if individual.annual_signs:
        outlines = [_on_glass(canvas, sticker) for sticker in individual.annual_signs]
        points = np.concatenate([np.asarray(outline) for outline in outlines])
        low, high = points.min(axis=0), points.max(axis=0)
        (x0, y0, z0), (x1, y1, z1) = low, high
        part = canvas.add_part("annual service signs", [(x0, y0, z0), (x0, y1, z0), (x1, y1, z1), (x1, y0, z1)])
        for sticker, outline in zip(individual.annual_signs, outlines, strict=True):
            _paint_sticker(skin, sticker, outline, part)
    for name, single in (("entry license", individual.entry_license), ("newer sign", individual.newer_sign)):
        if single is not None:
            outline = _on_glass(canvas, single)
            _paint_sticker(skin, single, outline, canvas.add_part(name, outline))


def _on_glass(canvas: Canvas, sticker: Sticker) -> list[tuple[float, float, float]]:
    """Return the corners (x, y, z) of a sticker on the windshield."""
    x, y, z = canvas.glass_point(sticker.across, sticker.up)
    low, high = canvas.glass_point(0, 0.1), canvas.glass_point(0, 0.9)
    rise, run = high[2] - low[2], low[0] - high[0]
    length = float(np.hypot(rise, run))
    return [(x - b * run / length, y + a, z + b * rise / length) for a, b in sticker_outline(sticker)]


def _paint_sticker(skin: Skin, sticker: Sticker, outline: list[tuple[float, float, float]], part: int) -> None:
    corners = [(y, z) for _, y, z in outline]
    skin.polygon(corners, sticker.colour, Material.PAPER, part)
    skin.polygon(shrunk(corners, 0.55, 0.4), darker(sticker.colour, 0.55), Material.PAPER)
