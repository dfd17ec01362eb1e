"""Sample fleets and vehicles from a seed, so that any two vehicles of a fleet differ in several traits."""

import numpy as np

from data_cache.synthetic.design.bodies import BODIES, BodyModel
from data_cache.synthetic.design.individuals import sample_individual
from data_cache.synthetic.design.styles import (
    HATCHED,
    sample_glass_style,
    sample_lamp_style,
    sample_plate_style,
    sample_roof_style,
    sample_wheel_style,
)
from data_cache.synthetic.design.traits import Design, Variety, Vehicle
from data_cache.synthetic.design.wide.sampling import sample_wide_design, sample_wide_individual
from data_cache.synthetic.geometry.atlas import Colour

COLOURS: dict[str, Colour] = {
    "white": (226, 228, 228),
    "silver": (166, 170, 173),
    "grey": (98, 101, 105),
    "black": (34, 35, 38),
    "red": (160, 26, 30),
    "blue": (38, 66, 140),
    "brown": (94, 68, 48),
    "gold": (176, 152, 108),
    "green": (40, 92, 70),
    "yellow": (220, 168, 30),
}
COLOUR_SHARES = (0.26, 0.16, 0.12, 0.17, 0.08, 0.07, 0.05, 0.04, 0.02, 0.03)
BODY_SHARES = {"sedan": 0.30, "hatchback": 0.14, "suv": 0.20, "van": 0.16, "pickup": 0.08, "minibus": 0.12}
LOGOS = 5
GRILLES = 7
MIN_DIFFERENCES = 4  # traits in which any two vehicles of a fleet differ


def sample_vehicles(vehicles: int, fleet_size: int, seed: int, variety: Variety = "fleets") -> tuple[Vehicle, ...]:
    """Return the vehicles in order, fleet after fleet; the last fleet may be smaller."""
    if variety == "wide":
        sample, sample_mate = sample_wide_design, sample_wide_individual
    else:
        sample, sample_mate = sample_design, sample_individual
    sampled: list[Vehicle] = []
    for number in range(1, vehicles + 1):
        fleet = (number - 1) // fleet_size + 1
        mates = sampled[(fleet - 1) * fleet_size :]
        design = mates[0].design if mates else sample(np.random.default_rng((seed, fleet, 1)))
        rng = np.random.default_rng((seed, number, 2))
        individual = sample_mate(design, rng)
        while any(len(individual.differences(mate.individual)) < MIN_DIFFERENCES for mate in mates):
            individual = sample_mate(design, rng)
        sampled.append(Vehicle(number, fleet, design, individual))
    return tuple(sampled)


def sample_design(rng: np.random.Generator) -> Design:
    """Sample the traits shared by a fleet."""
    name = str(rng.choice(list(BODY_SHARES), p=list(BODY_SHARES.values())))
    colour = str(rng.choice(list(COLOURS), p=COLOUR_SHARES))
    shade = rng.uniform(0.88, 1.1)
    red, green, blue = (int(np.clip(channel * shade + rng.normal(0, 5), 8, 245)) for channel in COLOURS[colour])
    grey = int(rng.integers(26, 70))
    cabin = (grey + 8, grey + 3, grey) if rng.random() < 0.6 else (150, 134, 112)
    return Design(
        body=_sample_body(name, rng),
        colour=colour,
        paint=(red, green, blue),
        grille=int(rng.integers(GRILLES)),
        logo=int(rng.integers(LOGOS)),
        lamps=sample_lamp_style(rng),
        wheels=sample_wheel_style(rng),
        roof=sample_roof_style(name, rng),
        plates=sample_plate_style(rng),
        glass=sample_glass_style(rng),
        low_bumper=rng.random() < 0.45,
        cladding=rng.random() < (0.5 if name in ("suv", "pickup", "hatchback") else 0.15),
        chrome=rng.random() < 0.4,
        moulding=rng.random() < 0.4,
        black_mirrors=rng.random() < 0.3,
        cabin=cabin,
        plate_height=float(rng.integers(2)),
    )


def _sample_body(name: str, rng: np.random.Generator) -> BodyModel:
    """Vary the proportions of a body, its ride height and its wheels."""
    max_wheel = 1.06 if name in ("minibus", "van") else 1.12
    scaled = BODIES[name].scaled(*rng.uniform([0.90 if name in HATCHED else 0.95, 0.96, 0.95], [1.05, 1.05, 1.06]))
    return scaled.fitted(*rng.uniform([0.0, 0.96, 0.0, 0.09], [0.08, max_wheel, 0.18, 0.26]))
