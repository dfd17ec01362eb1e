"""Sample designs of the variety `wide`: all bodies, colours from a continuous range, and many details."""

from dataclasses import replace

import numpy as np

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.details import sample_details
from data_cache.synthetic.design.individuals import sample_individual
from data_cache.synthetic.design.styles import (
    GlassStyle,
    sample_lamp_style,
    sample_plate_style,
    sample_roof_style,
    sample_wheel_style,
)
from data_cache.synthetic.design.traits import WIDE_PLATES, Design, Individual
from data_cache.synthetic.design.wide_bodies import CARGO_SHARES, WIDE_BODIES, WIDE_SHARES
from data_cache.synthetic.geometry.atlas import Colour

# upper limit of the hue in degrees, name; greys are named by their brightness
HUES = ((15, "red"), (45, "brown"), (70, "yellow"), (165, "green"), (265, "blue"), (330, "red"), (361, "red"))


def sample_wide_design(rng: np.random.Generator) -> Design:
    """Sample the traits shared by a fleet of the variety `wide`."""
    name = str(rng.choice(list(WIDE_SHARES), p=np.array(list(WIDE_SHARES.values())) / sum(WIDE_SHARES.values())))
    body = _sample_body(name, rng)
    paint = _sample_paint(body, rng)
    grey = int(rng.integers(20, 80))
    cabin = (grey + 8, grey + 3, grey) if rng.random() < 0.65 else (grey + 90, grey + 76, grey + 56)
    roof = sample_roof_style("minibus" if body.form in ("van", "bus") else "pickup" if body.cargo else name, rng)
    return Design(
        body=body,
        colour=_colour_name(paint),
        paint=paint,
        grille=0,
        logo=int(rng.integers(5)),
        lamps=sample_lamp_style(rng),
        wheels=sample_wheel_style(rng),
        roof=replace(roof, equipment="none") if body.form in ("truck", "bus") else roof,
        plates=sample_plate_style(rng),
        glass=_sample_glass(body, rng),
        low_bumper=rng.random() < (0.5 if body.form in ("van", "truck") else 0.2),
        cladding=body.form == "car" and rng.random() < (0.5 if name in ("suv", "crossover", "off-roader") else 0.12),
        chrome=rng.random() < 0.3,
        moulding=body.form in ("car", "van") and rng.random() < 0.25,
        black_mirrors=rng.random() < 0.4,
        cabin=cabin,
        plate_height=float(rng.integers(2)),
        details=sample_details(body, paint, rng),
    )


def sample_wide_individual(design: Design, rng: np.random.Generator) -> Individual:
    """Sample the traits of one vehicle: no carrier or top window on trucks and buses, plates of more countries."""
    individual = sample_individual(design, rng)
    plate = str(rng.choice(list(WIDE_PLATES))) if rng.random() < 0.5 else individual.plate
    form = design.body.form
    if form == "car":
        return replace(individual, plate=plate)
    carrier = individual.carrier if form == "van" else "none"
    return replace(individual, plate=plate, carrier=carrier, top_window="none")


def _sample_body(name: str, rng: np.random.Generator) -> BodyModel:
    """Vary proportions, ride height, wheels and load space of a body."""
    body = WIDE_BODIES[name]
    if body.cargo is not None:
        shares = CARGO_SHARES[name]
        kind = str(rng.choice(list(shares), p=list(shares.values())))
        body = replace(body, cargo=replace(body.cargo, kind=kind))
    if body.form in ("truck", "bus"):
        length = rng.uniform(0.92, 1.06)
        return body.scaled(length, *rng.uniform([0.96, 0.93], [1.02, 1.06])).fitted(
            *rng.uniform([0.0, 0.95, 0.0, 0.05], [0.06, 1.03, 0.1, 0.18])
        )
    low, high = ([0.90, 0.95, 0.93], [1.07, 1.05, 1.08])
    max_wheel = 1.05 if name in ("minibus", "van", "panel van", "small panel van") else 1.12
    return body.scaled(*rng.uniform(low, high)).fitted(
        *rng.uniform([0.0, 0.94, 0.0, 0.07], [0.07, max_wheel, 0.16, 0.27])
    )


def _sample_paint(body: BodyModel, rng: np.random.Generator) -> Colour:
    """Sample a colour: mostly near grey, more vivid on commercial vehicles."""
    vivid = rng.random() < (0.3 if body.form == "car" else 0.5)
    hue = float(rng.choice((rng.normal(2, 8), rng.normal(218, 14), rng.uniform(0, 360)), p=(0.3, 0.4, 0.3))) % 360
    saturation = rng.uniform(0.35, 0.92) if vivid else rng.beta(1.0, 9.0)
    value = rng.uniform(0.15, 0.85) if vivid else float(rng.choice((rng.uniform(0.82, 0.93), rng.uniform(0.08, 0.8))))
    channels = (hue / 60 + np.array([5, 3, 1])) % 6
    shares = value * (1 - saturation * np.clip(np.minimum(channels, 4 - channels), 0, 1))
    red, green, blue = (int(np.clip(255 * share, 8, 245)) for share in shares)
    return red, green, blue


def _colour_name(paint: Colour) -> str:
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


def _sample_glass(body: BodyModel, rng: np.random.Generator) -> GlassStyle:
    """Sample tints from clear to black."""
    side, rear = (int(level) for level in rng.choice((rng.integers(5, 30), rng.integers(30, 150)), 2, p=(0.65, 0.35)))
    return GlassStyle(
        (side, side + 4, side + 5), (rear, rear + 4, rear + 4), body.form == "car" and rng.random() < 0.45
    )
