"""The rear of a vehicle, painted flat: bumper, tail lamps, logo, plate, window and stickers."""

from data_cache.synthetic.atlas import Colour, Material, Point, Skin, ellipse, mirrored, rectangle
from data_cache.synthetic.canvas import Canvas, darker, sticker_outline
from data_cache.synthetic.paint_front import BLACK, CHROME, paint_logo, paint_plate, shrunk

RED: Colour = (150, 14, 18)


def paint_rear(canvas: Canvas) -> dict[str, tuple[int, int]]:
    """Paint the rear skin, whose u runs to the vehicle's right; return the tail lamps' part numbers, by flank."""
    skin = canvas.skin("rear")
    skin.fill(canvas.design.paint, Material.PAINT)
    _paint_window(canvas, skin)
    _paint_bumper(canvas, skin)
    lamps = {"rear right": _paint_lamp(canvas, skin, 1), "rear left": _paint_lamp(canvas, skin, -1)}
    ahead = canvas.body.ahead(canvas.body.length)
    paint_logo(canvas, skin, (0.0, tail_height(canvas, 0.90)), 0.062, ahead, -1)
    level = 0.22 if canvas.design.plate_height < 0.5 else 0.66
    paint_plate(canvas, skin, (0.0, tail_height(canvas, level)), ahead, -1)
    _paint_trim(canvas, skin)
    return lamps


def tail_height(canvas: Canvas, share: float) -> float:
    """Return z on the tail: 0 at the bumper's lower edge, 1 at the lower edge of the rear window or the lid."""
    low, high = canvas.body.sill + 0.09, tail_top(canvas)
    return low + share * (high - low)


def tail_top(canvas: Canvas) -> float:
    """Return the height of the tail panel's upper edge."""
    body = canvas.body
    if body.bed is not None:
        return float(body.top_at(body.length - 0.03))
    has_lid = body.length - body.rear_glass[1] > 0.4
    return float(body.top_at(body.length - 0.05 if has_lid else max(body.length - 0.10, body.rear_glass[1] + 0.02)))


def tail_lamp_outline(canvas: Canvas) -> list[Point]:
    """Return the outline (|y|, z) of a tail lamp by the fleet's style; it runs on around the corner on the sides."""
    half = canvas.body.width / 2
    top = tail_height(canvas, 0.95)
    upright = canvas.body.name in ("van", "suv", "minibus", "pickup", "hatchback")
    low = tail_height(canvas, 0.45 if upright else 0.58)
    inner = (0.76 if upright else 0.52) * half
    if upright and canvas.design.tail in (1, 3) and canvas.body.bed is None:
        top += 0.12
    outer = 1.0 * half
    outlines: dict[int, list[Point]] = {
        0: [(inner, low), (outer, low), (outer, top), (inner, top)],
        1: [
            (inner + 0.06 * half, low),
            (outer, low),
            (outer, top),
            (inner + 0.08 * half, top),
            (inner, (low + top) / 2),
        ],
        2: ellipse(((inner + outer) / 2, (low + top) / 2), ((outer - inner) / 2, (top - low) / 2), power=0.6),
        3: [(inner + 0.1 * half, low), (outer, low + 0.1 * (top - low)), (outer, top), (inner, top)],
    }
    return outlines[canvas.design.tail]


def _paint_window(canvas: Canvas, skin: Skin) -> None:
    body = canvas.body
    first, last = body.rear_glass
    rim: list[Point] = []
    glass: list[Point] = []
    for share, bucket in ((0.0, rim), (0.09, glass)):
        right = []
        for up in (share, 0.5, 1 - share):
            s = first + up * (last - first)
            right.append(((0.93 - 0.8 * share) * float(body.edge_at(s)), float(body.top_at(s)) - 0.01))
        bucket += right + mirrored(right)[::-1]
    skin.polygon(rim, BLACK, Material.MATTE)
    skin.polygon(glass, canvas.design.tint, Material.GLASS_SIDE)
    if body.name in ("suv", "hatchback", "van"):
        low = float(body.top_at(last)) + 0.06
        skin.line([(0.0, low), (0.32, low + 0.03)], BLACK, 0.018, Material.MATTE)


def _paint_bumper(canvas: Canvas, skin: Skin) -> None:
    half = canvas.body.width / 2
    edge, low = tail_height(canvas, 0.40), tail_height(canvas, -0.25)
    if canvas.design.low_bumper:
        skin.polygon([(-half, low), (half, low), (half, edge), (-half, edge)], (48, 49, 52), Material.MATTE)
    inset = tail_height(canvas, 0.1)
    skin.polygon(
        [(-0.7 * half, low), (0.7 * half, low), (0.62 * half, inset), (-0.62 * half, inset)], BLACK, Material.MATTE
    )
    skin.line([(-half, edge), (half, edge)], darker(canvas.design.paint, 0.4), 0.012)
    top = tail_height(canvas, 0.99)
    for side in (1, -1):
        skin.polygon(rectangle((side * 0.72 * half, tail_height(canvas, 0.15)), (0.14, 0.035)), RED, Material.LENS)
        skin.line([(side * 0.74 * half, edge), (side * 0.74 * half, top)], darker(canvas.design.paint, 0.45), 0.009)
    skin.line([(-0.74 * half, top), (0.74 * half, top)], darker(canvas.design.paint, 0.5), 0.009)


def _paint_lamp(canvas: Canvas, skin: Skin, side: int) -> tuple[int, int]:
    """Paint a tail lamp: the cover, and in it the red light with its indicator."""
    outline = tail_lamp_outline(canvas)
    light = shrunk(outline, 0.74, 0.78)
    outer, inner = (outline, light) if side == 1 else (mirrored(outline), mirrored(light))
    ahead = canvas.body.ahead(canvas.body.length - 0.05)
    cover = canvas.add_part("light cover", [(ahead, -u, z) for u, z in outer])
    lamp = canvas.add_part("car light", [(ahead, -u, z) for u, z in inner])
    rim = (44, 8, 12) if canvas.individual.smoked_covers else (104, 30, 32)
    skin.polygon(outer, rim, Material.LENS, cover)
    skin.polygon(inner, (196, 22, 26), Material.LENS, lamp)
    low, high = min(z for _, z in inner), max(z for _, z in inner)
    level = low + 0.3 * (high - low)
    left, right = min(u for u, _ in inner), max(u for u, _ in inner)
    band = [(left, low), (right, low), (right, level), (left, level)]
    indicator = shrunk(band, 0.7, 0.7)
    skin.polygon(indicator, (226, 214, 206) if canvas.design.tail % 2 else (226, 130, 40), Material.LENS)
    return cover, lamp


def _paint_trim(canvas: Canvas, skin: Skin) -> None:
    """Paint the badge strip, the maker's letters and the owner's stickers."""
    half = canvas.body.width / 2
    if canvas.design.chrome:
        z = tail_height(canvas, 0.80)
        skin.polygon(rectangle((0.0, z), (0.62 * half, 0.035)), CHROME, Material.METAL)
    skin.text("ABCDEFGH"[canvas.design.rim :][:4], (0.30 * half, tail_height(canvas, 0.84)), 0.04, CHROME)
    low, high = tail_height(canvas, 0.48), tail_height(canvas, 1.25)
    for sticker in canvas.individual.rear_stickers:
        centre = ((sticker.across * 1.3 - 0.65) * half, low + sticker.up * (high - low))
        outline = [(centre[0] + a, centre[1] + b) for a, b in sticker_outline(sticker)]
        skin.polygon(outline, sticker.colour, Material.MATTE)
        skin.polygon(shrunk(outline, 0.6, 0.4), darker(sticker.colour, 0.5), Material.MATTE)
