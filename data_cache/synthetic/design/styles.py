"""Details of a fleet's design, each with its sampler: lamps, wheels, roof, plates, glass."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.geometry.atlas import Colour

RIMS = 11
HEAD_LAMPS = 8
TAIL_LAMPS = 11
CLEAR_SECTIONS = 5
PLATE_FRAMES = 4
# width and height in metres; plates less than three times as wide as high have two rows of characters
PLATE_SIZES: dict[str, tuple[float, float]] = {
    "long": (0.46, 0.15),
    "narrow": (0.52, 0.115),
    "broad": (0.33, 0.165),
    "square": (0.30, 0.20),
}
HATCHED = ("suv", "hatchback", "van", "minibus")  # bodies with a tailgate
ROOF_EQUIPMENT = ("none", "fin", "rod", "sign", "hatch", "beacon")
TAIL_REDS: tuple[Colour, ...] = ((196, 22, 26), (150, 14, 20), (222, 44, 40), (112, 12, 18), (176, 60, 62))
RIM_TONES: tuple[Colour, ...] = ((186, 189, 193), (224, 226, 228), (150, 152, 154), (96, 98, 102), (44, 45, 48))


@dataclass(frozen=True)
class LampStyle:
    """Head and tail lamps; `head`, `tail` and `clear` index the tables in vehicle/lamps.py."""

    head: int
    tail: int
    red: Colour
    clear: int  # sections of the tail lamp that are not red
    wrap: tuple[float, float]  # metres by which head and tail lamps wrap around the corner
    fog: bool
    band: bool  # a dark strip between the tail lamps


@dataclass(frozen=True)
class WheelStyle:
    """Wheels as delivered; an individual vehicle may have another rim."""

    rim: int
    rim_share: float  # of the wheel's radius
    tone: Colour
    tyre: Colour


@dataclass(frozen=True)
class RoofStyle:
    """The roof as delivered, without a carrier."""

    dark: bool  # black whatever the body colour
    equipment: str  # one of ROOF_EQUIPMENT
    spoiler: bool  # above the rear window


@dataclass(frozen=True)
class PlateStyle:
    """Shapes and surround of the number plates."""

    front: str  # one of PLATE_SIZES
    rear: str
    frame: int  # 0 black frame, 1 recess, 2 none, 3 chrome strip


@dataclass(frozen=True)
class GlassStyle:
    """Tints of the side and rear windows."""

    side: Colour
    rear: Colour
    heated: bool  # thin lines across the rear window


def sample_lamp_style(rng: np.random.Generator) -> LampStyle:
    """Sample the lamps of a fleet."""
    return LampStyle(
        head=int(rng.integers(HEAD_LAMPS)),
        tail=int(rng.integers(TAIL_LAMPS)),
        red=TAIL_REDS[int(rng.integers(len(TAIL_REDS)))],
        clear=int(rng.integers(CLEAR_SECTIONS)),
        wrap=(rng.uniform(0.16, 0.42), rng.uniform(0.10, 0.36)),
        fog=rng.random() < 0.6,
        band=rng.random() < 0.2,
    )


def sample_wheel_style(rng: np.random.Generator) -> WheelStyle:
    """Sample the wheels of a fleet."""
    tyre = int(rng.choice((20, 26, 36, 52), p=(0.35, 0.35, 0.2, 0.1)))
    tone = RIM_TONES[int(rng.choice(len(RIM_TONES), p=(0.34, 0.26, 0.16, 0.12, 0.12)))]
    return WheelStyle(int(rng.integers(RIMS)), rng.uniform(0.62, 0.80), tone, (tyre, tyre, tyre + 1))


def sample_roof_style(body: str, rng: np.random.Generator) -> RoofStyle:
    """Sample the roof of a fleet."""
    shares = (0.34, 0.06, 0.10, 0.02, 0.42, 0.06) if body in ("minibus", "van") else (0.34, 0.40, 0.20, 0.05, 0.0, 0.01)
    return RoofStyle(
        dark=rng.random() < 0.14,
        equipment=str(rng.choice(ROOF_EQUIPMENT, p=shares)),
        spoiler=body in HATCHED and rng.random() < 0.55,
    )


def sample_plate_style(rng: np.random.Generator) -> PlateStyle:
    """Sample the plates of a fleet."""
    shapes = list(PLATE_SIZES)
    return PlateStyle(
        front=str(rng.choice(shapes, p=(0.45, 0.25, 0.2, 0.1))),
        rear=str(rng.choice(shapes, p=(0.28, 0.12, 0.28, 0.32))),
        frame=int(rng.integers(PLATE_FRAMES)),
    )


def sample_glass_style(rng: np.random.Generator) -> GlassStyle:
    """Sample the window tints of a fleet: mostly dark, a quarter of the rear windows light."""
    side = int(rng.integers(6, 36))
    rear = int(rng.integers(6, 36)) if rng.random() < 0.75 else int(rng.integers(50, 130))
    return GlassStyle((side, side + 4, side + 5), (rear, rear + 4, rear + 4), rng.random() < 0.45)
