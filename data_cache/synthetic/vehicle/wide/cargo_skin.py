"""What is painted on the load space of a truck: walls, doors, lettering, tail lamps, plate and reflective tape."""

import numpy as np

from data_cache.synthetic.design.bodies import Cargo
from data_cache.synthetic.geometry.atlas import Colour, Material, band, ellipse, rectangle
from data_cache.synthetic.vehicle.canvas import BLACK, Canvas, darker, details_of, paint_sticker
from data_cache.synthetic.vehicle.plates import paint_plate
from data_cache.synthetic.vehicle.sides import Side
from data_cache.synthetic.vehicle.wide.cargo import FRAME, beam_height, plate_across
from data_cache.synthetic.vehicle.wide.lamps import AMBER, CLEAR, paint_lamp_part

TAPE: tuple[Colour, Colour] = ((190, 30, 34), (226, 226, 222))
SECTIONS: dict[str, tuple[tuple[Colour | None, Material], ...]] = {  # from the outer end; None is the lamp's red
    "bands": ((AMBER, Material.SIGNAL_LEFT), (None, Material.TAIL), (CLEAR, Material.LENS)),
    "stacked": ((None, Material.TAIL), (AMBER, Material.SIGNAL_LEFT), (None, Material.TAIL)),
    "contour": ((None, Material.TAIL), (CLEAR, Material.LENS)),
    "clear": ((None, Material.TAIL), (CLEAR, Material.LENS), (AMBER, Material.SIGNAL_LEFT), (None, Material.TAIL)),
}
LABELS: tuple[Colour, ...] = ((226, 190, 50), (230, 230, 226), (40, 90, 160), (214, 130, 50))
PLAIN = ((None, Material.TAIL), (AMBER, Material.SIGNAL_LEFT))


def paint_cargo(canvas: Canvas) -> None:
    """Paint the load space on the left, right and rear skins, with tail lamps and plate at the rear."""
    cargo = canvas.body.cargo
    if cargo is None:
        raise ValueError(f"{canvas.body.name} has no load space")
    _paint_walls(canvas, cargo)
    _paint_doors(canvas, cargo)
    _paint_beam(canvas, cargo)


def _wall_colour(canvas: Canvas, cargo: Cargo) -> Colour:
    style = details_of(canvas).cargo
    return style.tarpaulin if cargo.kind == "tarpaulin" else style.paint


def _paint_walls(canvas: Canvas, cargo: Cargo) -> None:
    """Paint both sides: corrugations, folds or planks, the advert, the tape and the lower rail."""
    style, colour = details_of(canvas).cargo, _wall_colour(canvas, cargo)
    material = Material.MATTE if cargo.kind == "tarpaulin" else Material.PAINT
    top, dark = cargo.top, darker(colour, 0.72)
    for name, sign in (("left", 1), ("right", -1)):
        side = Side(canvas, canvas.skin(name), sign)
        first, last = cargo.first - 0.02, cargo.last + 0.05
        side.polygon([(first, 0), (last, 0), (last, cargo.top + 0.2), (first, cargo.top + 0.2)], colour, material)
        step = {"container": 0.22, "tarpaulin": 0.75, "box": 1.2, "stake": 0.9, "dump": 5.0}.get(cargo.kind, 5.0)
        width = {"container": 0.07, "tarpaulin": 0.03}.get(cargo.kind, 0.014)
        for s in np.arange(first + step, last, step):
            side.line([(float(s), cargo.floor + 0.06), (float(s), top - 0.05)], dark, width)
        if cargo.kind == "tarpaulin":  # low metal walls below the cover
            low = cargo.floor + 0.5
            corners = [(first, cargo.floor), (last, cargo.floor), (last, low), (first, low)]
            side.polygon(corners, style.paint, Material.PAINT)
        _paint_side_text(side, cargo)
        side.line([(first, cargo.floor + 0.05), (last, cargo.floor + 0.05)], darker(style.paint, 0.6), 0.09)
        if style.tape:
            _paint_tape(side, cargo)


def _paint_side_text(side: Side, cargo: Cargo) -> None:
    advert, tall = details_of(side.canvas).side.advert, cargo.top - cargo.floor
    if advert is None:
        return
    middle, length = (cargo.first + cargo.last) / 2, cargo.last - cargo.first
    centre = (middle, cargo.floor + (0.55 if cargo.kind != "tarpaulin" else 0.6) * tall)
    if advert.shape == "board":
        side.polygon(rectangle(centre, (0.7 * length, 0.5 * tall)), advert.ground, Material.PAINT)
    elif advert.shape == "disc":
        side.polygon(ellipse((cargo.last - 0.8, centre[1]), (0.5, 0.3 * tall)), advert.ground, Material.PAINT)
    ink = advert.ink if advert.shape == "board" else advert.ground
    side.lettering(advert.text, centre, (0.55 * length, min(0.9, 0.3 * tall)), ink)


def _paint_tape(side: Side, cargo: Cargo) -> None:
    """Paint pieces of reflective tape along the lower edge."""
    for index, s in enumerate(np.arange(cargo.first + 0.1, cargo.last - 0.3, 0.3)):
        spot = (float(s) + 0.15, cargo.floor + 0.05)
        side.polygon(rectangle(spot, (0.26, 0.05)), TAPE[index % 2], Material.MATTE)


def _paint_doors(canvas: Canvas, cargo: Cargo) -> None:
    """Paint the rear end above the floor: two doors with lock rods, a tailgate or a flap of canvas."""
    skin, style, half = canvas.skin("rear"), details_of(canvas).cargo, cargo.width / 2
    colour, top = _wall_colour(canvas, cargo), cargo.top
    skin.fill(colour, Material.MATTE if cargo.kind == "tarpaulin" else Material.PAINT)
    dark, light = darker(colour, 0.6), darker(colour, 1.15)
    if cargo.kind in ("box", "container"):
        frame = band(half, cargo.floor, top)
        skin.line([*frame, frame[0]], dark, 0.10, Material.METAL)
        skin.line([(0.0, cargo.floor), (0.0, top)], darker(colour, 0.35), 0.03)
        shares = (-0.62, -0.22, 0.22, 0.62) if style.rods == 4 else (-0.16, 0.16)
        rod = (196, 198, 200) if sum(colour) < 420 else (112, 114, 116)
        for share in shares:
            skin.line([(share * half, cargo.floor + 0.03), (share * half, top - 0.03)], rod, 0.030, Material.METAL)
            handle = rectangle((share * half, cargo.floor + 0.3 * (top - cargo.floor)), (0.24, 0.05))
            skin.polygon(handle, rod, Material.METAL)
        for side in (1, -1):
            for z in np.linspace(cargo.floor + 0.2, top - 0.2, 4):
                skin.polygon(rectangle((side * 0.93 * half, float(z)), (0.16, 0.05)), light, Material.METAL)
    elif cargo.kind == "tarpaulin":
        gate = cargo.floor + (0.92 * (top - cargo.floor) if style.high_gate else 0.5)
        corners = band(0.97 * half, cargo.floor, gate)
        skin.polygon(corners, style.paint, Material.PAINT)
        skin.line([(0.0, cargo.floor), (0.0, gate)], darker(style.paint, 0.5), 0.02)
        for share in (-0.5, 0.5):
            skin.line([(share * half, gate), (share * half, top)], dark, 0.02)
    else:
        for share in (-0.55, 0.0, 0.55):
            skin.line([(share * half, cargo.floor), (share * half, top)], dark, 0.05, Material.PAINT)
    _paint_rear_text(canvas, cargo, top)


def _paint_rear_text(canvas: Canvas, cargo: Cargo, top: float) -> None:
    """Paint lettering and stickers on the doors."""
    skin, details, half = canvas.skin("rear"), details_of(canvas), cargo.width / 2
    tall = top - cargo.floor
    tone = (30, 32, 36) if sum(_wall_colour(canvas, cargo)) > 380 else (226, 226, 224)
    for text, across, up, height in details.rear.letterings:
        skin.lettering(text, (across * half, cargo.floor + up * tall), (0.75, 2.6 * height), tone)
    if cargo.kind == "container" or details.cargo.codes:
        _paint_codes(canvas, cargo, tone)
    if details.side.advert is not None and tall > 1:
        advert, centre = details.side.advert, (0.0, cargo.floor + 0.72 * tall)
        skin.polygon(rectangle(centre, (1.3 * half, 0.22 * tall)), advert.ground, Material.PAINT)
        skin.lettering(advert.text, centre, (1.1 * half, 0.14 * tall), advert.ink)
    for sticker in canvas.individual.rear_stickers:
        spot = ((1.5 * sticker.across - 0.75) * half, cargo.floor + (0.15 + 0.7 * sticker.up) * tall)
        paint_sticker(skin, sticker, spot, (0.6, 0.4), scale=2.0)


def _paint_codes(canvas: Canvas, cargo: Cargo, tone: Colour) -> None:
    """Paint the lines of small letters and the labels on the doors of a container."""
    skin, half, tall = canvas.skin("rear"), cargo.width / 2, cargo.top - cargo.floor
    rng = np.random.default_rng(details_of(canvas).cargo.seed)
    for row in range(int(rng.integers(4, 9))):
        text = "".join(chr(65 + int(letter)) for letter in rng.integers(0, 26, int(rng.integers(4, 9))))
        spot = (0.45 * half, cargo.floor + (0.92 - 0.075 * row) * tall)
        skin.lettering(text, spot, (0.32 * half, 0.07 if row else 0.14), tone)
    for _ in range(int(rng.integers(0, 4))):
        label = rectangle((rng.uniform(-0.8, 0.8) * half, cargo.floor + rng.uniform(0.25, 0.75) * tall), (0.18, 0.16))
        skin.polygon(label, LABELS[int(rng.integers(len(LABELS)))], Material.MATTE)


def _paint_beam(canvas: Canvas, cargo: Cargo) -> None:
    """Paint the beam below the floor: its colour, tape, both lamps and the plate."""
    skin, details, half = canvas.skin("rear"), details_of(canvas), cargo.width / 2
    middle = beam_height(canvas, cargo)
    colour = darker(details.cargo.paint, 0.8) if details.cargo.painted_frame else FRAME
    skin.polygon(band(2, 0, cargo.floor - 0.01), colour, Material.MATTE)
    if details.rear.reflectors == "strip":
        for index, u in enumerate(np.arange(-0.5 * half, 0.5 * half, 0.2)):
            stripe = rectangle((float(u), middle + 0.06), (0.18, 0.05))
            skin.polygon(stripe, TAPE[index % 2], Material.MATTE)
    for side in (1, -1):
        _paint_block(canvas, cargo, side, middle)
    paint_plate(canvas, "rear", cargo.last, (plate_across(canvas, cargo), middle - 0.12))


def _paint_block(canvas: Canvas, cargo: Cargo, side: int, middle: float) -> None:
    """Paint a tail lamp: a dark housing with sections side by side, or separate round lenses."""
    lamps, half = details_of(canvas).lamps, cargo.width / 2
    wide, tall = 0.26 + 0.09 * half, details_of(canvas).cargo.lamp_height
    centre = (side * (0.90 * half - wide / 2), middle)
    housing = rectangle(centre, (wide, tall))
    shade = darker(lamps.red, 0.3) if lamps.smoked else BLACK
    cover = paint_lamp_part(canvas, "light cover", "rear", [housing], shade, Material.LENS)
    sections = SECTIONS.get(lamps.fill, PLAIN)
    pitch = 0.92 * wide / len(sections)
    spots = [(centre[0] + side * (0.46 * wide - (index + 0.5) * pitch), middle) for index in range(len(sections))]
    if lamps.fill in ("stacked", "dots", "core"):
        radius = min(0.46 * pitch, 0.42 * tall)
        panes = [ellipse(spot, (radius, radius), 16) for spot in spots]
    else:
        panes = [rectangle(spot, (0.96 * pitch, 0.78 * tall)) for spot in spots]
    paint_lamp_part(canvas, "car light", "rear", panes, lamps.red, Material.TAIL, cover)
    for pane, (tone, material) in zip(panes, sections, strict=True):
        lit = Material.SIGNAL_RIGHT if material == Material.SIGNAL_LEFT and side == 1 else material
        canvas.skin("rear").polygon(pane, tone or lamps.red, lit)
