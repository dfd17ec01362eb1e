"""Who is who: fleets share body, trim and colour; only what owners add, change or damage tells their vehicles apart."""

from dataclasses import dataclass, fields

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.styles import GlassStyle, LampStyle, PlateStyle, RoofStyle, WheelStyle
from data_cache.synthetic.geometry.atlas import Colour

PLATES: dict[str, tuple[Colour, Colour]] = {
    "blue": ((28, 62, 158), (238, 240, 244)),
    "yellow": ((226, 176, 30), (28, 28, 28)),
    "green": ((150, 212, 160), (24, 30, 26)),
    "white": ((244, 244, 242), (30, 30, 34)),
    "bright yellow": ((248, 206, 78), (34, 30, 26)),
}


@dataclass(frozen=True)
class Design:
    """What all vehicles of a fleet share."""

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


@dataclass(frozen=True)
class Sticker:
    """A flat addition: where (0 … 1 across and up its surface), how large (metres), what colour, leaning how far."""

    across: float
    up: float
    width: float
    height: float
    colour: Colour
    lean: float = 0.0


@dataclass(frozen=True)
class Thing:
    """An object behind the windshield: where along the dashboard (-1 right … 1 left), which kind, what colour."""

    across: float
    kind: int
    colour: Colour


@dataclass(frozen=True)
class Mark:
    """Damage: on which skin, where (0 … 1 along and up), how long (metres), leaning how far, scratch or dent."""

    skin: str
    along: float
    up: float
    length: float
    lean: float
    dent: bool


@dataclass(frozen=True)
class Individual:
    """What one vehicle has of its own."""

    annual_signs: tuple[Sticker, ...]
    entry_license: Sticker | None
    newer_sign: Sticker | None
    hanging: Thing | None
    ornaments: tuple[Thing, ...]
    tissue_box: Thing | None
    safe_belt: bool
    carrier: str
    top_window: str
    rim: int
    plate: str
    plate_text: str
    rear_stickers: tuple[Sticker, ...]
    side_stickers: tuple[Sticker, ...]
    marks: tuple[Mark, ...]
    smoked_covers: bool

    def differences(self, other: "Individual") -> list[str]:
        """Return the names of the traits that differ, the illegible plate text left out."""
        names = (field.name for field in fields(self) if field.name != "plate_text")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True)
class Vehicle:
    """One identity of the data set."""

    number: int  # 1-based
    fleet: int  # 1-based
    design: Design
    individual: Individual
