"""Number plates: their sizes, what surrounds them, and one or two rows of characters."""

from data_cache.synthetic.design.fleet import PLATES
from data_cache.synthetic.design.styles import PLATE_SIZES
from data_cache.synthetic.geometry.atlas import Colour, Material, Point, Skin, rectangle
from data_cache.synthetic.vehicle.canvas import BLACK, CHROME, Canvas, darker

FRAME = (0.05, 0.04)  # metres that a frame adds to width and height
RECESS = (0.26, 0.14)


def paint_plate(canvas: Canvas, skin: Skin, centre: Point, ahead: float, sign: int) -> None:
    """Paint the number plate about `centre` (u, z); u = sign·y, the plate stands at x = `ahead`."""
    style = canvas.design.plates
    size = PLATE_SIZES[style.front if sign == 1 else style.rear]
    outline = [(sign * u, z) for u, z in rectangle(centre, size)]
    part = canvas.add_part("plate", [(ahead, u, z) for u, z in outline])
    _paint_surround(canvas, skin, centre, size)
    ground, ink = PLATES[canvas.individual.plate]
    skin.polygon(rectangle(centre, size), ground, Material.MATTE, part)
    _letter(skin, canvas.individual.plate_text, centre, size, ink)


def _paint_surround(canvas: Canvas, skin: Skin, centre: Point, size: Point) -> None:
    """Paint what the plate stands in: a frame, a recess in its own shade, nothing, or a strip with lamps above."""
    frame = canvas.design.plates.frame
    if frame == 0:
        skin.polygon(rectangle(centre, (size[0] + FRAME[0], size[1] + FRAME[1])), BLACK, Material.MATTE)
    elif frame == 1:
        (u, v), half, tall = centre, (size[0] + RECESS[0]) / 2, (size[1] + RECESS[1]) / 2
        hollow = [(u - 0.86 * half, v - tall), (u + 0.86 * half, v - tall), (u + half, v + tall), (u - half, v + tall)]
        skin.polygon(hollow, darker(canvas.design.paint, 0.62), Material.MATTE)
        lintel = [(u - half, v + tall), (u + half, v + tall), (u + half, v + 0.7 * tall), (u - half, v + 0.7 * tall)]
        skin.polygon(lintel, darker(canvas.design.paint, 0.35), Material.MATTE)
    elif frame == 3:
        strip = (centre[0], centre[1] + size[1] / 2 + 0.045)
        skin.polygon(rectangle(strip, (size[0] + 0.22, 0.05)), CHROME, Material.METAL)


def _letter(skin: Skin, text: str, centre: Point, size: Point, ink: Colour) -> None:
    """Write one row on a long plate, two on one less than three times as wide as high; they fill the plate."""
    wide, tall = size
    rows = [text] if wide >= 3 * tall else [text[:3], text[3:]]
    for place, row in enumerate(rows):
        middle = centre[1] + tall * ((len(rows) - 1) / 2 - place) / len(rows)
        skin.lettering(row, (centre[0], middle), (0.84 * wide, 0.62 * tall / len(rows)), ink)
