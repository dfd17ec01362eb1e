"""Colours from continuous ranges: paint, greys, and the vivid colours of lorries and lettering."""

import numpy as np

from data_cache.synthetic.geometry.atlas import Colour

# upper limit of the hue in degrees, name; greys are named by their brightness
HUES = ((15, "red"), (45, "brown"), (70, "yellow"), (165, "green"), (265, "blue"), (330, "red"), (361, "red"))
VIVID_HUES = ((1, 6), (218, 12), (30, 12), (150, 25))  # mean and standard deviation in degrees
# mean and standard deviation of a hue in degrees, and the largest brightness
BRIGHT_HUES = ((2, 7, 0.75), (215, 14, 0.75), (205, 20, 0.6), (28, 8, 0.85), (48, 5, 0.88), (130, 22, 0.55))


def from_hue(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour from its hue in degrees, saturation and value in 0 … 1."""
    channels = (hue / 60 + np.array([5, 3, 1])) % 6
    shares = value * (1 - saturation * np.clip(np.minimum(channels, 4 - channels), 0, 1))
    red, green, blue = (int(np.clip(255 * share, 8, 245)) for share in shares)
    return red, green, blue


def grey(rng: np.random.Generator, low: int, high: int) -> Colour:
    """Return a slightly bluish grey."""
    level = int(rng.integers(low, high))
    return level, level + 1, level + 3


def bright(rng: np.random.Generator) -> Colour:
    """Return a colour of lorries, lettering and stripes: red, orange, yellow, green or blue."""
    centre, spread, brightest = BRIGHT_HUES[int(rng.integers(len(BRIGHT_HUES)))]
    hue, saturation = (centre + rng.normal(0, spread)) % 360, rng.uniform(0.45, 0.9)
    return from_hue(hue, saturation, rng.uniform(0.25, brightest))


def second_colour(rng: np.random.Generator) -> Colour:
    """Return a colour for roofs and lower bodies: mostly black, else light grey or vivid."""
    return grey(rng, 14, 40) if rng.random() < 0.7 else grey(rng, 170, 240) if rng.random() < 0.5 else bright(rng)


def sample_paint(rng: np.random.Generator, vivid_share: float) -> Colour:
    """Sample the paint of a body: near grey, but for `vivid_share` of the vehicles."""
    vivid = rng.random() < vivid_share
    if not vivid:  # greys, slightly warm or bluish, and white more often than any other
        hue = float(rng.choice((rng.normal(35, 12), rng.normal(212, 14)))) % 360
        value = float(rng.choice((rng.uniform(0.82, 0.93), rng.uniform(0.08, 0.8)), p=(0.36, 0.64)))
        return from_hue(hue, rng.beta(1.0, 12.0), value)
    if rng.random() < 0.12:  # any hue, also pastel
        return from_hue(rng.uniform(0, 360), rng.uniform(0.2, 0.9), rng.uniform(0.3, 0.85))
    mean, spread = VIVID_HUES[int(rng.choice(len(VIVID_HUES), p=(0.36, 0.40, 0.14, 0.10)))]
    return from_hue(rng.normal(mean, spread) % 360, rng.uniform(0.55, 0.95), rng.uniform(0.15, 0.75))


def colour_name(paint: Colour) -> str:
    """Return the nearest name of a colour."""
    low, high = min(paint), max(paint)
    if high - low < 0.22 * high or high < 45:
        return ("black", "grey", "silver", "white")[int(np.digitize(high, (60, 130, 200)))]
    red, green, blue = paint
    if high == red:
        hue = 60 * ((green - blue) / (high - low)) % 360
    elif high == green:
        hue = 60 * ((blue - red) / (high - low) + 2)
    else:
        hue = 60 * ((red - green) / (high - low) + 4)
    return next(name for limit, name in HUES if hue < limit)
