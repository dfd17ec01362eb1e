"""The traits of a vehicle: those shared by its fleet and those by which fleet mates can be told apart."""

from dataclasses import dataclass, fields
from typing import Literal

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.styles import GlassStyle, LampStyle, PlateStyle, RoofStyle, WheelStyle
from data_cache.synthetic.design.wide.details import Details
from data_cache.synthetic.geometry.atlas import Colour

# fleets: the vehicles of the published data set; wide: more bodies and details, to train a part detector with
Variety = Literal["fleets", "wide"]

PLATES: dict[str, tuple[Colour, Colour]] = {  # background and characters
    "blue": ((28, 62, 158), (238, 240, 244)),
    "yellow": ((226, 176, 30), (28, 28, 28)),
    "green": ((150, 212, 160), (24, 30, 26)),
    "white": ((244, 244, 242), (30, 30, 34)),
    "bright yellow": ((248, 206, 78), (34, 30, 26)),
}


WIDE_PLATES: dict[str, tuple[Colour, Colour]] = {  # further plates of the variety wide
    "pale": ((232, 234, 230), (24, 40, 110)),
    "black": ((28, 28, 30), (232, 232, 230)),
    "red on white": ((240, 240, 238), (176, 30, 34)),
    "cream": ((236, 226, 190), (40, 36, 30)),
    "worn": ((196, 198, 192), (90, 92, 92)),
}


@dataclass(frozen=True)
class Design:
    """Traits shared by all vehicles of a fleet."""

    body: BodyModel
    colour: str
    paint: Colour
    grille: int
    logo: int
    lamps: LampStyle
    wheels: WheelStyle
    roof: RoofStyle
    plates: PlateStyle
    glass: GlassStyle
    low_bumper: bool  # unpainted plastic
    cladding: bool  # unpainted arches and sills
    chrome: bool  # strips around the windows
    moulding: bool  # along the doors
    black_mirrors: bool
    cabin: Colour
    plate_height: float  # of the rear plate: 0 on the bumper, 1 on the lid
    details: Details | None = None  # of the variety wide


@dataclass(frozen=True)
class Sticker:
    """A rectangle on a surface; `across` (glass: -1 … 1, body: 0 … 1) and `up` (0 … 1) are shares, sizes are metres."""

    across: float
    up: float
    width: float
    height: float
    colour: Colour
    lean: float = 0.0  # radians


@dataclass(frozen=True)
class CabinItem:
    """An object behind the windshield; `across` runs from -1 (right) to 1 (left) along the dashboard."""

    across: float
    kind: int
    colour: Colour


@dataclass(frozen=True)
class Damage:
    """A scratch or dent on a skin; `along` and `up` are shares of the skin."""

    skin: str
    along: float
    up: float
    length: float  # metres
    lean: float  # radians
    dent: bool


@dataclass(frozen=True)
class Individual:
    """Traits of one vehicle."""

    annual_signs: tuple[Sticker, ...]
    entry_license: Sticker | None
    newer_sign: Sticker | None
    hanging: CabinItem | None
    ornaments: tuple[CabinItem, ...]
    tissue_box: CabinItem | None
    safe_belt: bool
    carrier: str
    top_window: str
    rim: int
    plate: str
    plate_text: str
    rear_stickers: tuple[Sticker, ...]
    side_stickers: tuple[Sticker, ...]
    damages: tuple[Damage, ...]
    smoked_covers: bool

    def differences(self, other: "Individual") -> list[str]:
        """Return the names of the traits that differ, ignoring the plate text, which is illegible in most images."""
        names = (field.name for field in fields(self) if field.name != "plate_text")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Vehicle:
    """One identity of the data set."""

    number: int  # 1-based
    fleet: int  # 1-based
    design: Design
    individual: Individual
