"""The light of one picture: sun or cloud, from any side, as strong as the camera's exposure makes it."""

import numpy as np

from data_cache.synthetic.scene.shading import Light

DUSK = 0.07  # of the pictures: little light, lamps on
LIT = (0.30, 0.10, 0.10, 0.10)  # of the other pictures: brake, head, left and right signal lamps


def draw_light(rng: np.random.Generator, exposure: float) -> Light:
    """Draw the light of a picture."""
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
        glare=float(np.exp(rng.normal(-0.1, 0.3))),
        panes=float(np.exp(rng.uniform(-0.3, 1.2))),
        lamps=_draw_lamps(rng, dusk),
        skyline=rng.uniform(0, 2 * np.pi, 3),
    )


def _draw_lamps(rng: np.random.Generator, dusk: bool) -> tuple[float, float, float, float]:
    """Draw how brightly brake, head and left and right signal lamps are lit; mostly not at all."""
    shares = (0.9, 0.8, *LIT[2:]) if dusk else LIT
    brake, head, left, right = (rng.uniform(0.3, 1.0) if rng.random() < share else 0.0 for share in shares)
    return brake, head, left, right
