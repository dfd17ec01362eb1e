"""Number plates and maker's logos, which the front and the rear share."""

from data_cache.synthetic.design.styles import PLATE_SIZES
from data_cache.synthetic.design.traits import PLATES, WIDE_PLATES
from data_cache.synthetic.geometry.atlas import Colour, Material, Point, Skin, ellipse, rectangle, shrunk
from data_cache.synthetic.vehicle.canvas import BLACK, CHROME, Canvas, darker

FRAME = (0.05, 0.04)  # metres that a frame adds to the plate's width and height
RECESS = (0.26, 0.14)
LOGO_STROKES: tuple[tuple[tuple[Point, ...], ...], ...] = (  # in shares of the logo's radius
    (((-0.7, 0.5), (0.0, -0.7), (0.7, 0.5)),),
    (((-1.0, 0.0), (1.0, 0.0)),),
    (((0.0, 0.8), (0.0, 0.0)), ((-0.7, -0.5), (0.0, 0.0), (0.7, -0.5))),
    (((-0.6, -0.6), (-0.6, 0.6)), ((0.6, -0.6), (0.6, 0.6)), ((-0.6, 0.0), (0.6, 0.0))),
    (((-0.9, 0.0), (0.0, 0.4), (0.9, 0.0)),),
)
LOGO_GROUNDS: tuple[Colour, ...] = (BLACK, (30, 50, 120), BLACK, (150, 20, 24), (240, 240, 240))


def paint_plate(canvas: Canvas, end: str, s: float, centre: Point) -> None:
    """Paint the number plate about `centre` (u, z) on the front or rear skin, where it is at `s`."""
    skin, style = canvas.skin(end), canvas.design.plates
    size = PLATE_SIZES[style.front if end == "front" else style.rear]
    _paint_surround(canvas, skin, centre, size)
    ground, ink = (PLATES | WIDE_PLATES)[canvas.individual.plate]
    canvas.paint_part("plate", end, s, rectangle(centre, size), ground, Material.MATTE)
    _paint_characters(skin, canvas.individual.plate_text, centre, size, ink)


def _paint_surround(canvas: Canvas, skin: Skin, centre: Point, size: Point) -> None:
    """Paint what surrounds the plate: see PlateStyle.frame."""
    frame = canvas.design.plates.frame
    if frame == 0:
        skin.polygon(rectangle(centre, (size[0] + FRAME[0], size[1] + FRAME[1])), BLACK, Material.MATTE)
    elif frame == 1:
        (u, v), half, tall = centre, (size[0] + RECESS[0]) / 2, (size[1] + RECESS[1]) / 2
        recess = [(u - 0.86 * half, v - tall), (u + 0.86 * half, v - tall), (u + half, v + tall), (u - half, v + tall)]
        skin.polygon(recess, darker(canvas.design.paint, 0.62), Material.MATTE)
        lintel = [(u - half, v + tall), (u + half, v + tall), (u + half, v + 0.7 * tall), (u - half, v + 0.7 * tall)]
        skin.polygon(lintel, darker(canvas.design.paint, 0.35), Material.MATTE)
    elif frame == 3:
        strip = (centre[0], centre[1] + size[1] / 2 + 0.045)
        skin.polygon(rectangle(strip, (size[0] + 0.22, 0.05)), CHROME, Material.METAL)


def _paint_characters(skin: Skin, text: str, centre: Point, size: Point, ink: Colour) -> None:
    """Write one row of characters, or two on a plate less than three times as wide as high."""
    width, height = size
    rows = [text] if width >= 3 * height else [text[:3], text[3:]]
    for index, row in enumerate(rows):
        middle = centre[1] + height * ((len(rows) - 1) / 2 - index) / len(rows)
        skin.lettering(row, (centre[0], middle), (0.84 * width, 0.62 * height / len(rows)), ink)


def paint_logo(canvas: Canvas, end: str, s: float, centre: Point, radius: float) -> None:
    """Paint the maker's logo about `centre` (u, z) on the front or rear skin, where it is at `s`."""
    skin, style = canvas.skin(end), canvas.design.logo
    outline = ellipse(centre, (radius * (1.35 if style in (1, 3) else 1.0), radius))
    canvas.paint_part("logo", end, s, outline, CHROME, Material.METAL)
    skin.polygon(shrunk(outline, 0.76, 0.76), LOGO_GROUNDS[style], Material.METAL)
    for stroke in LOGO_STROKES[style]:
        points = [(centre[0] + radius * u, centre[1] + radius * v) for u, v in stroke]
        skin.line(points, CHROME if style != 4 else (40, 60, 150), 0.016)
