"""The rear skin: window, bumper, tail lamps, lid, logo, plate, trim and stickers."""

import numpy as np

from data_cache.synthetic.design.styles import PLATE_SIZES
from data_cache.synthetic.geometry.atlas import Colour, Material, Skin, band, mirrored, rectangle
from data_cache.synthetic.vehicle.canvas import BLACK, CHROME, Canvas, darker, paint_sticker
from data_cache.synthetic.vehicle.lamps import paint_tail_lamp
from data_cache.synthetic.vehicle.plates import paint_logo, paint_plate

RED: Colour = (150, 14, 18)


def paint_rear(canvas: Canvas) -> dict[str, tuple[int, int]]:
    """Paint the rear skin (u = -y); return the part numbers (cover, light) of the tail lamps by their corner."""
    skin = canvas.skin("rear")
    skin.fill(canvas.design.paint, Material.PAINT)
    _paint_window(canvas, skin)
    _paint_bumper(canvas, skin)
    if canvas.design.lamps.band:
        middle, wide = canvas.tail_height(0.82), 1.5 * canvas.body.width / 2
        skin.polygon(rectangle((0.0, middle), (wide, 0.05)), (60, 12, 16), Material.LENS)
    lamps = {"rear right": paint_tail_lamp(canvas, 1), "rear left": paint_tail_lamp(canvas, -1)}
    _paint_lid(canvas, skin)
    paint_logo(canvas, "rear", canvas.body.length, (0.0, canvas.tail_height(0.90)), 0.062)
    level = 0.22
    if canvas.design.plate_height > 0:
        level = 0.57 if PLATE_SIZES[canvas.design.plates.rear][1] > 0.16 else 0.64
    paint_plate(canvas, "rear", canvas.body.length, (0.0, canvas.tail_height(level)))
    _paint_trim(canvas, skin)
    return lamps


def _paint_window(canvas: Canvas, skin: Skin) -> None:
    body = canvas.body
    first, last = body.rear_glass
    for inset, colour, material in (
        (0.0, BLACK, Material.MATTE),
        (0.09, canvas.design.glass.rear, Material.GLASS_SIDE),
    ):
        right = []
        for up in (inset, 0.5, 1 - inset):
            s = first + up * (last - first)
            right.append(((0.93 - 0.8 * inset) * float(body.edge_at(s)), float(body.top_at(s)) - 0.01))
        skin.polygon(right + mirrored(right)[::-1], colour, material)
    if canvas.design.glass.heated:
        paint_heating(canvas, skin)
    if body.name in ("suv", "hatchback", "van"):
        low = float(body.top_at(last)) + 0.06
        skin.line([(0.0, low), (0.32, low + 0.03)], BLACK, 0.018, Material.MATTE)


def paint_heating(canvas: Canvas, skin: Skin) -> None:
    """Paint the heating lines of the rear window."""
    body = canvas.body
    first, last = body.rear_glass
    shade = darker(canvas.design.glass.rear, 1.4)
    for up in np.linspace(0.22, 0.86, 7):
        s = first + float(up) * (last - first)
        half, z = 0.74 * float(body.edge_at(s)), float(body.top_at(s)) - 0.01
        skin.line([(-half, z), (half, z)], shade, 0.006)


def _paint_lid(canvas: Canvas, skin: Skin) -> None:
    """Paint the seams of boot lid or tailgate, also across the lamps."""
    half, seam = canvas.body.width / 2, darker(canvas.design.paint, 0.45)
    edge, top = canvas.tail_height(0.40), canvas.tail_height(0.99)
    for side in (1, -1):
        skin.line([(side * 0.74 * half, edge), (side * 0.74 * half, top)], seam, 0.009)
    skin.line([(-0.74 * half, top), (0.74 * half, top)], seam, 0.009)


def _paint_bumper(canvas: Canvas, skin: Skin) -> None:
    half = canvas.body.width / 2
    edge, low = canvas.tail_height(0.40), canvas.tail_height(-0.25)
    if canvas.design.low_bumper:
        skin.polygon(band(half, low, edge), (48, 49, 52), Material.MATTE)
    inset = canvas.tail_height(0.1)
    skin.polygon(
        [(-0.7 * half, low), (0.7 * half, low), (0.62 * half, inset), (-0.62 * half, inset)], BLACK, Material.MATTE
    )
    skin.line([(-half, edge), (half, edge)], darker(canvas.design.paint, 0.4), 0.012)
    for side in (1, -1):
        skin.polygon(rectangle((side * 0.72 * half, canvas.tail_height(0.15)), (0.14, 0.035)), RED, Material.LENS)
    if canvas.design.chrome and canvas.design.low_bumper:  # a bright skid plate
        guard = [(-0.62 * half, low), (0.62 * half, low), (0.5 * half, inset), (-0.5 * half, inset)]
        skin.polygon(guard, (176, 178, 180), Material.METAL)


def _paint_trim(canvas: Canvas, skin: Skin) -> None:
    """Paint the badge strip, the model name and the stickers."""
    half = canvas.body.width / 2
    if canvas.design.chrome:
        z = canvas.tail_height(0.80)
        skin.polygon(rectangle((0.0, z), (0.62 * half, 0.035)), CHROME, Material.METAL)
    skin.text("ABCDEFGHJKLMNPR"[canvas.design.wheels.rim :][:4], (0.30 * half, canvas.tail_height(0.84)), 0.04, CHROME)
    paint_rear_stickers(canvas, skin)


def paint_rear_stickers(canvas: Canvas, skin: Skin) -> None:
    """Paint the stickers on lid and rear window."""
    half = canvas.body.width / 2
    low, high = canvas.tail_height(0.48), canvas.tail_height(1.25)
    for sticker in canvas.individual.rear_stickers:
        centre = ((sticker.across * 1.3 - 0.65) * half, low + sticker.up * (high - low))
        paint_sticker(skin, sticker, centre, (0.6, 0.4))
