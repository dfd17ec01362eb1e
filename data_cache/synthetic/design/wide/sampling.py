"""Sample designs of the variety `wide`: all bodies, colours from a continuous range, and many details."""

from dataclasses import replace

import numpy as np

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.individuals import sample_individual
from data_cache.synthetic.design.styles import (
    GlassStyle,
    sample_lamp_style,
    sample_plate_style,
    sample_roof_style,
    sample_wheel_style,
)
from data_cache.synthetic.design.traits import WIDE_PLATES, Design, Individual
from data_cache.synthetic.design.wide.bodies import CARGO_KINDS, CARGO_SHARES, WIDE_BODIES, WIDE_SHARES
from data_cache.synthetic.design.wide.colours import colour_name, sample_paint
from data_cache.synthetic.design.wide.detail_sampling import sample_details


def sample_wide_design(rng: np.random.Generator) -> Design:
    """Sample the traits shared by a fleet of the variety `wide`."""
    name = str(rng.choice(list(WIDE_SHARES), p=np.array(list(WIDE_SHARES.values())) / sum(WIDE_SHARES.values())))
    body = _sample_body(name, rng)
    paint = sample_paint(rng, 0.3 if body.form == "car" else 0.5)
    grey = int(rng.integers(20, 80))
    cabin = (grey + 8, grey + 3, grey) if rng.random() < 0.65 else (grey + 90, grey + 76, grey + 56)
    roof = sample_roof_style("minibus" if body.form in ("van", "bus") else "pickup" if body.cargo else name, rng)
    return Design(
        body=body,
        colour=colour_name(paint),
        paint=paint,
        grille=0,  # not used; Details has its own front and lamps
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


def _sample_glass(body: BodyModel, rng: np.random.Generator) -> GlassStyle:
    """Sample tints from clear to black."""
    side, rear = (int(level) for level in rng.choice((rng.integers(5, 30), rng.integers(30, 105)), 2, p=(0.65, 0.35)))
    return GlassStyle(
        (side, side + 4, side + 5), (rear, rear + 4, rear + 4), body.form == "car" and rng.random() < 0.45
    )
