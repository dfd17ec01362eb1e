"""The light of one picture: sun and sky, reflections, and which lamps are on."""

from dataclasses import dataclass, fields

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats

DUSK = 0.07  # share of the pictures with little light and lamps on
LAMPS_ON = (0.30, 0.10, 0.10, 0.10)  # share of the other pictures with brake, head, left and right signal lamps on
LAMPS_ON_AT_DUSK = (0.9, 0.8, 0.10, 0.10)


@dataclass(frozen=True)
class Light:
    """The light of one picture; colours are linear, all arrays (3, 1) float32."""

    sun: Floats  # unit vector towards the sun
    sun_colour: Floats
    zenith: Floats
    horizon: Floats
    ground: Floats  # light reflected by the road
    shirt: Floats  # albedo of the driver's clothes
    skyline: Floats  # phases of the silhouette of trees and houses that paint and glass reflect
    cabin: float  # light in the cabin, as a share of the light outside
    reflection: float  # strength of all reflections
    glass_reflection: float  # further factor for tinted glass
    lamps: tuple[float, float, float, float]  # brightness of brake, head, left and right signal lamps
    windshield_reflection: float = 1.0  # further factor for the windshield

    def __post_init__(self) -> None:
        for field in fields(self)[:7]:
            column = np.asarray(getattr(self, field.name), dtype=np.float32).reshape(3, 1)
            object.__setattr__(self, field.name, column)


def sample_light(rng: np.random.Generator, exposure: float) -> Light:
    """Sample the light of a picture, scaled by the camera's exposure."""
    overcast, dusk = rng.random() < 0.45, rng.random() < DUSK
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(20, 75))
    strength = (rng.uniform(0.02, 0.25) if overcast else rng.uniform(0.5, 1.9)) * exposure
    sky = (rng.uniform(0.75, 1.15) if overcast else rng.uniform(0.32, 0.75)) * exposure
    if dusk:
        strength, sky = 0.1 * strength, 0.5 * sky
    blue = np.array([1.0, 1.0, 1.02]) if overcast else np.array([0.72, 0.88, 1.12])
    return Light(
        sun=np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]),
        sun_colour=strength * np.array([1.05, 1.0, 0.90]),
        zenith=sky * blue,
        horizon=sky * np.array([1.12, 1.12, 1.14]),
        ground=(0.30 * sky + 0.18 * strength) * np.array([1.0, 0.98, 0.94]),
        shirt=rng.uniform(0.06, 0.8) * rng.uniform(0.5, 1.0, 3),
        cabin=rng.uniform(0.40, 0.85),
        reflection=float(np.exp(rng.normal(-0.1, 0.3))),
        glass_reflection=float(np.exp(rng.uniform(-0.3, 1.2))),
        lamps=sample_lamps(LAMPS_ON_AT_DUSK if dusk else LAMPS_ON, rng),
        skyline=rng.uniform(0, 2 * np.pi, 3),
    )


def sample_lamps(
    shares: tuple[float, float, float, float], rng: np.random.Generator, power: float = 1.0
) -> tuple[float, float, float, float]:
    """Sample the brightness of brake, head, left and right signal lamps, given the shares that are on; 0 is off."""
    brake, head, left, right = (power * rng.uniform(0.3, 1.0) if rng.random() < share else 0.0 for share in shares)
    return brake, head, left, right
