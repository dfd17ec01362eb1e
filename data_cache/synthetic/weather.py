"""The light of one picture: sun or cloud, from any side, as strong as the camera's exposure makes it."""

import numpy as np

from data_cache.synthetic.shading import Light


def draw_light(rng: np.random.Generator, exposure: float) -> Light:
    """Draw the light of a picture."""
    overcast = rng.random() < 0.4
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 70))
    strength = (rng.uniform(0.02, 0.2) if overcast else rng.uniform(0.5, 1.1)) * exposure
    sky = (rng.uniform(0.75, 1.05) if overcast else rng.uniform(0.45, 0.75)) * exposure
    blue = np.array([1.0, 1.0, 1.02]) if overcast else np.array([0.72, 0.88, 1.12])
    return Light(
        sun=np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]),
        sun_colour=strength * np.array([1.05, 1.0, 0.90]),
        zenith=sky * blue,
        horizon=sky * np.array([1.12, 1.12, 1.14]),
        ground=(0.30 * sky + 0.18 * strength) * np.array([1.0, 0.98, 0.94]),
        shirt=rng.uniform(0.06, 0.8) * rng.uniform(0.5, 1.0, 3),
        cabin=rng.uniform(0.45, 0.85),
        glare=rng.uniform(0.55, 1.25),
        skyline=rng.uniform(0, 2 * np.pi, 3),
    )
