"""Details that only vehicles of the variety `wide` have, each with its sampler."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.lamp_shapes import BUS_TAILS, CAR_HEADS, CAR_TAILS, HEAVY_HEADS, UPRIGHT_TAILS
from data_cache.synthetic.design.wide_bodies import is_upright
from data_cache.synthetic.geometry.atlas import Colour

HEAD_HOUSINGS: tuple[Colour, ...] = ((150, 154, 158), (112, 116, 120), (64, 67, 71), (34, 36, 39), (196, 199, 202))
HEAD_OPTICS = ("reflector", "projectors", "strip", "dots", "bowl")
TAIL_FILLS = ("plain", "bands", "stacked", "contour", "clear", "dots", "core")
TAIL_BARS = ("none", "dark", "red", "chrome")
FOG_LAMPS = ("none", "round", "slit", "upright", "block")
GRILLES = ("bars", "mesh", "slats", "closed", "frame", "honeycomb")
RIM_KINDS = ("spokes", "split", "turbine", "steel", "cap", "disc", "truck")
MIRRORS = ("painted", "black", "chrome", "two-tone")
LOGO_SHAPES = ("round", "oval", "wide", "shield", "diamond", "star")
LUGGAGE = ("none", "bags", "ladder", "boards")
HANDLES = ("painted", "chrome", "black", "flush")


@dataclass(frozen=True)
class WideLamps:
    """Head, tail and fog lamps; `head` and `tail` name shapes of lamp_shapes.py."""

    head: str
    housing: Colour  # what is between the optics of a head lamp
    optics: str  # one of HEAD_OPTICS
    daylight: bool  # a bright strip along the head lamp's edge
    tail: str
    red: Colour
    fill: str  # one of TAIL_FILLS
    smoked: bool
    bar: str  # one of TAIL_BARS, between the tail lamps
    fog: str  # one of FOG_LAMPS
    wrap: tuple[float, float]  # metres by which head and tail lamps wrap around the corner


@dataclass(frozen=True)
class FrontStyle:
    """Grille and bumper; `foot` and `head` are shares of the nose's height, `wide` of its half-width."""

    grille: str  # one of GRILLES
    foot: float
    head: float
    wide: float
    taper: float  # width of the lower edge as a share of the upper
    count: int  # bars or slats
    tone: Colour
    surround: Colour | None
    side_intakes: bool
    intake: float  # width of the lower intake as a share of the half-width
    guard: Colour | None  # skid plate
    bull_bar: Colour | None
    lettering: str


@dataclass(frozen=True)
class RearStyle:
    """Lid, bumper and lettering of the tail."""

    exhausts: int
    reflectors: str  # "none", "corner", "strip" or "upright"
    diffuser: bool
    guard: Colour | None
    trim: Colour | None  # strip above the plate
    letterings: tuple[tuple[str, float, float, float], ...]  # text, across and up as shares, height in metres
    wide_lettering: str  # spaced letters across the lid
    plate_level: float  # share of the tail's height
    bars: int  # doors of a van or truck: lock rods


@dataclass(frozen=True)
class RimStyle:
    """Rims and tyres; radii are shares of the wheel's radius."""

    kind: str  # one of RIM_KINDS
    count: int
    half_width: float
    twist: float
    tone: Colour
    barrel: Colour  # what is behind the spokes
    tyre: Colour
    share: float
    hub: float
    dirt: float  # 0 … 1


@dataclass(frozen=True)
class SideStyle:
    """Mirrors, handles, stripes and lettering of the sides."""

    mirror: str  # one of MIRRORS
    mirror_scale: float
    handles: str  # one of HANDLES
    stripe: tuple[Colour, float, float] | None  # colour, height as a share between sill and belt, width in metres
    lower: Colour | None  # second colour of the lower body
    advert: tuple[Colour, Colour, str] | None  # ground, ink, text
    dark_pillars: bool
    window_trim: Colour


@dataclass(frozen=True)
class Details:
    """All details of a `wide` vehicle beyond the traits in Design."""

    lamps: WideLamps
    front: FrontStyle
    rear: RearStyle
    rim: RimStyle
    side: SideStyle
    logo: str  # one of LOGO_SHAPES
    logo_radius: float  # metres
    logo_tone: Colour
    roof: Colour | None  # second colour
    taxi: Colour | None
    luggage: str  # one of LUGGAGE
    sun_strip: Colour | None
    dirt: float  # 0 clean … 1
    dirt_tone: Colour
    cargo_paint: Colour
    worn: bool  # the load space is old


# mean and standard deviation of a hue in degrees, and the largest brightness
BRIGHT_HUES = ((2, 7, 0.75), (215, 14, 0.75), (205, 20, 0.6), (28, 8, 0.85), (48, 5, 0.88), (130, 22, 0.55))
LETTERS = "ABCDEFGHIKLMNOPRSTUVXZ"


def sample_details(body: BodyModel, paint: Colour, rng: np.random.Generator) -> Details:
    """Sample the details of a fleet with this body and paint."""
    heavy = body.form in ("truck", "bus")
    logo = LOGO_SHAPES[int(rng.integers(len(LOGO_SHAPES)))]
    return Details(
        lamps=_lamps(body, rng),
        front=_front(body, rng),
        rear=_rear(body, rng),
        rim=_rim(body, rng),
        side=_side(body, paint, rng),
        logo=logo,
        logo_radius=rng.uniform(0.045, 0.085) * (1.7 if heavy else 1.0),
        logo_tone=_grey(rng, 150, 230) if rng.random() < 0.75 else _grey(rng, 15, 60),
        roof=_second_colour(rng) if body.form == "car" and rng.random() < 0.16 else None,
        taxi=_bright(rng) if body.form == "car" and body.bed is None and rng.random() < 0.07 else None,
        luggage=LUGGAGE[int(rng.integers(1, len(LUGGAGE)))],
        sun_strip=_second_colour(rng) if rng.random() < (0.3 if heavy else 0.12) else None,
        dirt=float(rng.beta(1.2, 2.5)),
        dirt_tone=(int(rng.integers(105, 150)), int(rng.integers(95, 130)), int(rng.integers(75, 110))),
        cargo_paint=_cargo_paint(paint, rng),
        worn=rng.random() < 0.5,
    )


def _choice(rng: np.random.Generator, **shares: float) -> str:
    """Return one of the names, with probabilities proportional to `shares`; an underscore stands for a space."""
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum())).replace("_", " ")


def _grey(rng: np.random.Generator, low: int, high: int) -> Colour:
    level = int(rng.integers(low, high))
    return level, level + 1, level + 3


def _bright(rng: np.random.Generator) -> Colour:
    """Return a colour of lorries, lettering and stripes: red, orange, yellow, green or blue."""
    centre, spread, brightest = BRIGHT_HUES[int(rng.integers(len(BRIGHT_HUES)))]
    hue, saturation = (centre + rng.normal(0, spread)) % 360, rng.uniform(0.45, 0.9)
    return from_hue(hue, saturation, rng.uniform(0.25, brightest))


def from_hue(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour from its hue in degrees, saturation and value in 0 … 1."""
    channels = (hue / 60 + np.array([5, 3, 1])) % 6
    shares = value * (1 - saturation * np.clip(np.minimum(channels, 4 - channels), 0, 1))
    red, green, blue = (int(np.clip(255 * share, 8, 245)) for share in shares)
    return red, green, blue


def _second_colour(rng: np.random.Generator) -> Colour:
    return _grey(rng, 14, 40) if rng.random() < 0.7 else _grey(rng, 170, 240) if rng.random() < 0.5 else _bright(rng)


def _cargo_paint(paint: Colour, rng: np.random.Generator) -> Colour:
    if rng.random() < 0.45:
        return _grey(rng, 165, 235)
    return paint if rng.random() < 0.4 else _bright(rng)


def _word(rng: np.random.Generator, low: int, high: int) -> str:
    return "".join(LETTERS[int(index)] for index in rng.integers(0, len(LETTERS), int(rng.integers(low, high))))


def _lamps(body: BodyModel, rng: np.random.Generator) -> WideLamps:
    heavy = body.form in ("truck", "bus") and body.name != "tractor"
    heads = list(HEAVY_HEADS if heavy else CAR_HEADS)
    tails = list(BUS_TAILS if body.form == "bus" else UPRIGHT_TAILS if is_upright(body) else CAR_TAILS)
    if body.form == "van":
        tails = ["vertical", "tall", "vertical", "tall", "bumper", "block"]
    head = heads[int(rng.integers(len(heads)))]
    level = rng.uniform(0.45, 1.0)
    return WideLamps(
        head=head,
        housing=HEAD_HOUSINGS[int(rng.integers(len(HEAD_HOUSINGS)))],
        optics=HEAD_OPTICS[int(rng.integers(len(HEAD_OPTICS)))],
        daylight=rng.random() < (0.1 if heavy else 0.4),
        tail=tails[int(rng.integers(len(tails)))],
        red=(int(120 + 110 * level), int(12 + 40 * level * rng.random()), int(16 + 36 * level * rng.random())),
        fill=TAIL_FILLS[int(rng.integers(len(TAIL_FILLS)))],
        smoked=rng.random() < 0.2,
        bar=_choice(rng, none=0.62, dark=0.12, red=0.18, chrome=0.08) if body.form == "car" else "none",
        fog=_choice(rng, none=0.4, round=0.24, slit=0.14, upright=0.12, block=0.10),
        wrap=(rng.uniform(0.10, 0.46), rng.uniform(0.06, 0.40)) if not heavy else (rng.uniform(0.0, 0.15), 0.06),
    )


def _front(body: BodyModel, rng: np.random.Generator) -> FrontStyle:
    foot, head = rng.uniform(0.48, 0.66), rng.uniform(0.88, 0.95)
    if rng.random() < 0.25:  # down into the bumper, behind the plate
        foot = rng.uniform(0.10, 0.24)
    if body.form in ("truck", "bus"):
        foot, head = rng.uniform(0.46, 0.62), rng.uniform(0.72, 0.92)
    dark = rng.random() < 0.6
    return FrontStyle(
        grille=_choice(rng, bars=0.24, mesh=0.18, slats=0.16, closed=0.14, frame=0.12, honeycomb=0.16),
        foot=foot,
        head=head,
        wide=rng.uniform(0.26, 0.50),
        taper=rng.uniform(0.6, 1.0),
        count=int(rng.integers(2, 9)),
        tone=_grey(rng, 40, 90) if dark else _grey(rng, 130, 210),
        surround=None if rng.random() < 0.35 else _grey(rng, 180, 225) if rng.random() < 0.55 else _grey(rng, 16, 36),
        side_intakes=body.form == "car" and rng.random() < 0.45,
        intake=rng.uniform(0.35, 0.85),
        guard=_grey(rng, 150, 200) if rng.random() < 0.15 else None,
        bull_bar=(
            (_grey(rng, 150, 215) if rng.random() < 0.5 else _grey(rng, 18, 40))
            if body.name in ("suv", "pickup", "off-roader", "tractor") and rng.random() < 0.3
            else None
        ),
        lettering=_word(rng, 4, 8) if rng.random() < (0.5 if body.form in ("truck", "bus") else 0.12) else "",
    )


def _rear(body: BodyModel, rng: np.random.Generator) -> RearStyle:
    letterings = [
        (_word(rng, 2, 8), float(side * rng.uniform(0.3, 0.58)), rng.uniform(0.58, 0.92), rng.uniform(0.025, 0.055))
        for side in (1, -1)
        if rng.random() < 0.65
    ]
    level = rng.uniform(0.10, 0.28) if rng.random() < 0.45 else rng.uniform(0.52, 0.66)
    return RearStyle(
        exhausts=int(rng.choice((0, 1, 2, 4), p=(0.45, 0.25, 0.22, 0.08))) if body.form == "car" else 0,
        reflectors=_choice(rng, none=0.25, corner=0.35, strip=0.25, upright=0.15),
        diffuser=rng.random() < 0.5,
        guard=_grey(rng, 140, 200) if body.form == "car" and rng.random() < 0.2 else None,
        trim=_grey(rng, 180, 225) if rng.random() < 0.3 else _grey(rng, 16, 40) if rng.random() < 0.2 else None,
        letterings=tuple(letterings),
        wide_lettering=_word(rng, 4, 8) if rng.random() < 0.15 else "",
        plate_level=level,
        bars=int(rng.integers(1, 5)),
    )


def _rim(body: BodyModel, rng: np.random.Generator) -> RimStyle:
    heavy = body.form in ("truck", "bus")
    kind = "truck" if heavy else _choice(rng, spokes=0.34, split=0.2, turbine=0.16, steel=0.1, cap=0.12, disc=0.08)
    tone = _grey(rng, 150, 226) if rng.random() < 0.62 else _grey(rng, 22, 110)
    if heavy:
        tone = _grey(rng, 70, 210) if rng.random() < 0.93 else _bright(rng)
    if kind == "steel":
        tone = _grey(rng, 20, 60) if rng.random() < 0.5 else _grey(rng, 90, 140)
    tyre = int(rng.integers(18, 62))
    return RimStyle(
        kind=kind,
        count=int(rng.choice((5, 6, 7, 8, 9, 10, 12))),
        half_width=rng.uniform(0.04, 0.17),
        twist=float(rng.choice((0.0, 0.0, rng.uniform(-0.5, 2.2)))),
        tone=tone,
        barrel=_grey(rng, 14, 70),
        tyre=(tyre, tyre, tyre + 1),
        share=rng.uniform(0.56, 0.66) if heavy else rng.uniform(0.58, 0.84),
        hub=rng.uniform(0.08, 0.2),
        dirt=float(rng.beta(1.2, 2.2)),
    )


def _side(body: BodyModel, paint: Colour, rng: np.random.Generator) -> SideStyle:
    commercial = body.form != "car"
    advert = (_bright(rng), _grey(rng, 220, 245), _word(rng, 4, 10)) if rng.random() < 0.5 * commercial else None
    black = (
        rng.random() < 0.75
        if body.form == "truck" or (body.form == "bus" and rng.random() < 0.9)
        else rng.random() < 0.3
    )
    return SideStyle(
        mirror="black"
        if black
        else _choice(rng, painted=0.7, chrome=0.12, two_tone=0.18).replace("two tone", "two-tone"),
        mirror_scale=rng.uniform(0.85, 1.2),
        handles=HANDLES[int(rng.integers(len(HANDLES)))],
        stripe=(_bright(rng), rng.uniform(0.3, 0.85), rng.uniform(0.03, 0.3))
        if rng.random() < (0.4 if commercial else 0.06)
        else None,
        lower=_second_colour(rng) if rng.random() < (0.2 if commercial else 0.04) else None,
        advert=advert,
        dark_pillars=rng.random() < 0.7,
        window_trim=_grey(rng, 18, 30) if rng.random() < 0.65 else _grey(rng, 180, 215),
    )
