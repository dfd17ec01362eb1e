"""Weather and time of day: the light, the air, and how wet the road is."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.scene.light import Light, sample_lamps

STREET_LAMPS = ((1.0, 0.62, 0.26), (1.0, 0.78, 0.5), (0.88, 0.96, 1.0), (0.82, 1.0, 0.88), (1.0, 1.0, 0.95))
EDGE_LIGHT = (1.0, 0.72, 0.48)  # colour of a sun near the horizon
WINDSHIELD = (0.7, 9.0)  # range of the windshield's reflection, as a factor on that of the design
DARK_HOURS = ("dusk", "night", "infrared")


@dataclass(frozen=True)
class Weather:
    """The weather of one picture. Light is linear, such that 1 is about the white of a well exposed picture."""

    kind: str
    light: Light
    clouds: float  # share of the sky covered
    air: Floats  # (3,) colour of the light that fog scatters
    fog: float  # share of light scattered per metre
    wet: float  # 0 dry … 1 covered with water
    rain: float  # strength of streaks and drops

    @property
    def is_dark(self) -> bool:
        """Whether vehicles have their lamps on and windows of buildings are lit."""
        return self.kind in DARK_HOURS

    @property
    def is_grey(self) -> bool:
        """Whether the camera sees no colours."""
        return self.kind == "infrared"


def sample_weather(camera_azimuth: float, rng: np.random.Generator) -> Weather:
    """Sample the weather; `camera_azimuth` (radians) is where the camera stands, seen from the vehicle."""
    kind = str(rng.choice(list(KINDS), p=[share for share, _ in KINDS.values()]))
    weather = KINDS[kind][1](kind, camera_azimuth, rng)
    light = weather.light
    return replace(
        weather,
        light=replace(
            light,
            cabin=rng.uniform(0.3, 0.85),
            windshield_reflection=float(np.exp(rng.uniform(*np.log(WINDSHIELD)))),
        ),
    )


def _light(
    sun: tuple[float, float], sun_colour: Floats, zenith: Floats, horizon: Floats, rng: np.random.Generator
) -> Light:
    """Return a light with the sun at (azimuth, height) in radians and all lamps off."""
    azimuth, height = sun
    downward = max(float(np.sin(height)), 0.0)
    return Light(
        sun=np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)]),
        sun_colour=sun_colour,
        zenith=zenith,
        horizon=horizon,
        ground=0.22 * (0.5 * zenith + 0.5 * horizon + downward * sun_colour),
        shirt=rng.uniform(0.04, 0.8) * rng.uniform(0.4, 1.0, 3),
        cabin=0.6,
        reflection=float(np.exp(rng.normal(0.4, 0.4))),
        glass_reflection=float(np.exp(rng.uniform(0.0, 1.4))),
        lamps=sample_lamps((0.25, 0.1, 0.06, 0.06), rng),
        skyline=np.zeros(3),
    )


def _weather(kind: str, light: Light, **changed: float | Floats) -> Weather:
    dry = Weather(kind, light, clouds=0.3, air=0.5 * (light.horizon + light.zenith)[:, 0], fog=0.0, wet=0.0, rain=0.0)
    return replace(dry, **changed)  # type: ignore[arg-type]


def _clear(kind: str, camera_azimuth: float, rng: np.random.Generator) -> Weather:
    """Sample a bright sun; in a fifth of the pictures it stands behind the vehicle."""
    back_lit = rng.random() < 0.2
    azimuth = camera_azimuth + np.pi + rng.normal(0, 0.5) if back_lit else rng.uniform(0, 2 * np.pi)
    height = np.radians(rng.uniform(6, 30) if back_lit else rng.uniform(10, 75))
    low = np.clip(1 - height / 0.45, 0, 1)
    colour = (1 - low) * np.array([1.04, 1.0, 0.92]) + low * np.array([1.1, 0.9, 0.66])
    sky = rng.uniform(0.22, 0.5)
    light = _light(
        (azimuth, height),
        rng.uniform(0.7, 2.0) * colour,
        sky * np.array([0.55, 0.8, 1.2]),
        sky * rng.uniform(1.1, 1.9) * np.array([0.96, 1.0, 1.06]),
        rng,
    )
    return _weather(kind, light, clouds=rng.uniform(0.0, 0.6), fog=rng.uniform(0, 0.0012))


def _overcast(kind: str, camera_azimuth: float, rng: np.random.Generator) -> Weather:
    sky = rng.uniform(0.6, 1.1)
    tint = np.array([1.0, 1.0, 1.02]) * rng.uniform(0.95, 1.05, 3)
    light = _light(
        (rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(30, 75))),
        rng.uniform(0.0, 0.25) * np.ones(3),
        sky * tint,
        sky * rng.uniform(0.8, 1.1) * tint,
        rng,
    )
    return _weather(kind, light, clouds=1.0, fog=rng.uniform(0, 0.004))


def _dusk(kind: str, camera_azimuth: float, rng: np.random.Generator) -> Weather:
    sky, warm = rng.uniform(0.12, 0.4), rng.uniform(0, 1)
    light = _light(
        (rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(2, 12))),
        rng.uniform(0.0, 0.7) * np.asarray(EDGE_LIGHT),
        sky * np.array([0.7, 0.8, 1.15]),
        sky * (warm * np.array([1.5, 1.05, 0.75]) + (1 - warm) * np.array([1.0, 1.0, 1.1])),
        rng,
    )
    light = replace(light, lamps=sample_lamps((0.5, 0.75, 0.1, 0.1), rng, rng.uniform(0.6, 2.5)))
    return _weather(kind, light, clouds=rng.uniform(0.1, 0.9), fog=rng.uniform(0, 0.003))


def _night(kind: str, camera_azimuth: float, rng: np.random.Generator) -> Weather:
    """Sample a street lamp in place of the sun, a dark sky and lit lamps."""
    lamp = np.asarray(STREET_LAMPS[int(rng.integers(len(STREET_LAMPS)))]) * rng.uniform(0.9, 1.1, 3)
    glow = rng.uniform(0.01, 0.10)
    light = _light(
        (rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 85))),
        np.exp(rng.uniform(*np.log((0.08, 0.9)))) * lamp,
        glow * (0.5 * lamp + 0.5 * np.array([0.6, 0.7, 1.0])),
        glow * rng.uniform(1.0, 3.0) * lamp,
        rng,
    )
    light = replace(light, lamps=sample_lamps((0.85, 0.8, 0.1, 0.1), rng, rng.uniform(1.0, 6.0)))
    return _weather(kind, light, clouds=rng.uniform(0, 1), wet=rng.uniform(0.3, 1) * (rng.random() < 0.25))


def _infrared(kind: str, camera_azimuth: float, rng: np.random.Generator) -> Weather:
    """Sample a flash beside the camera in a dark place; the picture will be grey."""
    height = np.radians(rng.uniform(5, 35))
    light = _light(
        (camera_azimuth + rng.normal(0, 0.15), height),
        rng.uniform(0.4, 1.4) * np.ones(3),
        rng.uniform(0.01, 0.06) * np.ones(3),
        rng.uniform(0.01, 0.08) * np.ones(3),
        rng,
    )
    return _weather(
        kind, replace(light, lamps=sample_lamps((0.5, 0.7, 0.05, 0.05), rng, rng.uniform(0.5, 4))), clouds=0.5
    )


def _rain(kind: str, camera_azimuth: float, rng: np.random.Generator) -> Weather:
    weather = _overcast(kind, camera_azimuth, rng)
    dim = rng.uniform(0.4, 0.9)
    light = weather.light
    light = replace(
        light,
        sun_colour=0.3 * light.sun_colour,
        zenith=dim * light.zenith,
        horizon=dim * light.horizon,
        ground=0.6 * dim * light.ground,
        lamps=sample_lamps((0.6, 0.5, 0.08, 0.08), rng, rng.uniform(0.6, 2.0)),
    )
    return replace(
        weather,
        light=light,
        air=0.5 * (light.horizon + light.zenith)[:, 0],
        fog=rng.uniform(0.0, 0.012),
        wet=rng.uniform(0.5, 1.0),
        rain=rng.uniform(0.2, 1.0),
    )


def _fog(kind: str, camera_azimuth: float, rng: np.random.Generator) -> Weather:
    weather = _overcast(kind, camera_azimuth, rng)
    return replace(weather, fog=float(np.exp(rng.uniform(*np.log((0.008, 0.05))))), wet=rng.uniform(0, 0.4))


KINDS: dict[str, tuple[float, Callable[[str, float, np.random.Generator], Weather]]] = {
    "clear": (0.36, _clear),
    "overcast": (0.28, _overcast),
    "dusk": (0.09, _dusk),
    "night": (0.12, _night),
    "rain": (0.07, _rain),
    "fog": (0.05, _fog),
    "infrared": (0.03, _infrared),
}
