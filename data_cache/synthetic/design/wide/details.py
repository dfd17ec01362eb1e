"""Details that only vehicles of the variety `wide` have; sampled in detail_sampling.py."""

from dataclasses import dataclass

from data_cache.synthetic.geometry.atlas import Colour

HEAD_OPTICS = ("reflector", "projectors", "strip", "dots", "bowl")
TAIL_FILLS = ("plain", "bands", "stacked", "contour", "clear", "dots", "core")
TAIL_BARS = ("none", "dark", "red", "chrome")
FOG_LAMPS = ("none", "round", "slit", "upright", "block")
GRILLES = ("bars", "mesh", "slats", "closed", "frame", "honeycomb")
RIM_KINDS = ("spokes", "split", "turbine", "steel", "cap", "disc", "truck")
MIRRORS = ("painted", "black", "chrome", "two-tone")
LOGO_SHAPES = ("round", "oval", "wide", "shield", "diamond", "star")
LUGGAGE = ("bags", "ladder", "boards")
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
