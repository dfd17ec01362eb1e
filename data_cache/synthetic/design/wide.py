"""Sample designs of the variety `wide`: all bodies, colours from a continuous range, and many details."""

from dataclasses import replace

import numpy as np

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.details import from_hue, sample_details
from data_cache.synthetic.design.individuals import sample_individual
from data_cache.synthetic.design.styles import (
    GlassStyle,
    sample_lamp_style,
    sample_plate_style,
    sample_roof_style,
    sample_wheel_style,
)
from data_cache.synthetic.design.traits import WIDE_PLATES, Design, Individual
from data_cache.synthetic.design.wide_bodies import CARGO_KINDS, CARGO_SHARES, WIDE_BODIES, WIDE_SHARES
from data_cache.synthetic.geometry.atlas import Colour

# upper limit of the hue in degrees, name; greys are named by their brightness
HUES = ((15, "red"), (45, "brown"), (70, "yellow"), (165, "green"), (265, "blue"), (330, "red"), (361, "red"))

VIVID_HUES = ((1, 6), (218, 12), (30, 12), (150, 25))  # mean and standard deviation in degrees


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
        roof=replace(
            roof,
            equipment="none" if body.form in ("truck", "bus") else roof.equipment,
            spoiler=roof.spoiler and body.form == "car",
        ),
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
    individual = replace(individual, damages=individual.damages[: int(rng.integers(3))])
    if form == "car":
        carrier = "none" if design.body.name == "coupe" or rng.random() < 0.3 else individual.carrier
        return replace(individual, plate=plate, carrier=carrier)
    carrier = individual.carrier if form == "van" else "none"
    return replace(individual, plate=plate, carrier=carrier, top_window="none")


def _sample_body(name: str, rng: np.random.Generator) -> BodyModel:
    """Vary proportions, ride height, wheels and load space of a body."""
    body = WIDE_BODIES[name]
    if body.cargo is not None:
        shares = CARGO_SHARES[name]
        kind = str(rng.choice(list(shares), p=list(shares.values())))
        floor, top = body.cargo.floor, body.cargo.top
        top = floor + CARGO_KINDS[kind] * (top - floor)
        body = replace(body, cargo=replace(body.cargo, kind=kind, top=top))
    if body.form in ("truck", "bus"):
        length = rng.uniform(0.92, 1.06)
        return body.scaled(length, *rng.uniform([0.96, 0.93], [1.02, 1.06])).fitted(
            *rng.uniform([0.0, 0.95, 0.0, 0.05], [0.06, 1.03, 0.1, 0.18])
        )
    low, high = ([0.90, 0.95, 0.93], [1.07, 1.05, 1.08])
    max_wheel = 1.05 if name in ("minibus", "van", "panel van", "small panel van") else 1.12
    body = body.scaled(*rng.uniform(low, high))
    body = body.fitted(*rng.uniform([0.0, 0.94, 0.0, 0.07], [0.07, max_wheel, 0.16, 0.27]))
    return _raked(body, rng.uniform(-0.14, 0.10), rng.uniform(-0.04, 0.05))


def _raked(body: BodyModel, shift: float, lift: float) -> BodyModel:
    """Return the body with the foot of its windshield `shift` metres further back, and its belt `lift` higher."""
    foot, head = body.windshield
    moved = foot + shift if foot > 0.6 else foot
    top = tuple((moved if abs(s - foot) < 1e-6 else s, z) for s, z in body.top)
    belt = tuple((s, z + lift * (s > 0.4)) for s, z in body.belt)
    first = body.windows[0] + moved - foot
    pillars = tuple(s for s in body.pillars if s > first)
    return replace(
        body, top=top, belt=belt, windshield=(moved, head), windows=(first, body.windows[1]), pillars=pillars
    )


def _sample_paint(body: BodyModel, rng: np.random.Generator) -> Colour:
    """Sample a colour: mostly near grey, more vivid on commercial vehicles."""
    vivid = rng.random() < (0.3 if body.form == "car" else 0.5)
    if not vivid:  # greys, slightly warm or bluish, and white more often than any other
        hue = float(rng.choice((rng.normal(35, 12), rng.normal(212, 14)))) % 360
        value = float(rng.choice((rng.uniform(0.82, 0.93), rng.uniform(0.08, 0.8)), p=(0.36, 0.64)))
        return from_hue(hue, rng.beta(1.0, 12.0), value)
    if rng.random() < 0.12:  # any hue, also pastel
        return from_hue(rng.uniform(0, 360), rng.uniform(0.2, 0.9), rng.uniform(0.3, 0.85))
    mean, spread = VIVID_HUES[int(rng.choice(len(VIVID_HUES), p=(0.36, 0.40, 0.14, 0.10)))]
    return from_hue(rng.normal(mean, spread) % 360, rng.uniform(0.55, 0.95), rng.uniform(0.15, 0.75))


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
    side, rear = (int(level) for level in rng.choice((rng.integers(5, 30), rng.integers(30, 105)), 2, p=(0.65, 0.35)))
    return GlassStyle(
        (side, side + 4, side + 5), (rear, rear + 4, rear + 4), body.form == "car" and rng.random() < 0.45
    )
