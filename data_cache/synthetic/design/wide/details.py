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
LUGGAGE = ("none", "bags", "ladder", "boards")
CAB_ROOFS = ("plain", "deflector", "lamps")
ADVERT_SHAPES = ("letters", "board", "disc")
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
    diffuser: bool  # of a bus: a black tail
    brake_lamp: bool  # the third one, above the rear window
    windows: bool  # of a panel van: in the rear doors
    window_rim: float  # width of the black rim of the rear window, as a share of it
    window_power: int  # squareness of the rear window's corners
    wiper: int  # 1 points right, -1 left, 0 none
    guard: Colour | None
    trim: Colour | None  # strip above the plate
    letterings: tuple[tuple[str, float, float, float], ...]  # text, across and up as shares, height in metres
    wide_lettering: str  # spaced letters across the lid
    plate_level: float  # share of the tail's height


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
class Advert:
    """Lettering on the load space or the side of a commercial vehicle."""

    text: str
    ink: Colour
    ground: Colour
    shape: str  # one of ADVERT_SHAPES: on a board or beside a disc of the ground's colour, or letters only


@dataclass(frozen=True)
class CargoStyle:
    """The load space of a truck, and what is on its cab's roof."""

    paint: Colour
    tarpaulin: Colour
    arch: float  # height of a tarpaulin's arched roof in metres
    load: Colour | None  # what an open bed carries
    posts: float  # metres by which the posts of an open bed are above its walls
    rods: int  # lock rods of a box, 2 or 4
    high_gate: bool  # the metal gate below a tarpaulin reaches almost up to the roof
    codes: bool  # small letters and labels on the doors
    tape: bool  # reflective, along the sides
    painted_frame: bool  # the frame of a bare chassis and the rear beam have the load space's colour
    white_flaps: bool  # behind the wheels
    plate_across: float  # of the rear plate, as a share of the half-width
    lamp_height: float  # of the tail lamps in metres
    cab_roof: str  # one of CAB_ROOFS
    seed: int  # of the crates and the small letters


@dataclass(frozen=True)
class BusStyle:
    """Roof, mirrors and destination display of a bus."""

    hanging_mirrors: bool  # before the windshield, not beside it
    display: str
    display_ink: Colour
    unit_at: float  # share of the length at which the air conditioner is
    unit_height: float  # metres
    painted_unit: bool


@dataclass(frozen=True)
class SideStyle:
    """Mirrors, handles, stripes and lettering of the sides."""

    mirror: str  # one of MIRRORS
    mirror_scale: float
    handles: str  # one of HANDLES
    stripe: tuple[Colour, float, float] | None  # colour, height as a share between sill and belt, width in metres
    lower: Colour | None  # second colour of the lower body
    advert: Advert | None
    dark_pillars: bool


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
    luggage: str  # one of LUGGAGE, on the carrier if the vehicle has one
    sun_strip: Colour | None
    dirt: float  # 0 clean … 1
    dirt_tone: Colour
    dirt_seed: int  # of the patches
    cargo: CargoStyle
    bus: BusStyle
