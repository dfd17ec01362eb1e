"""Sample fleets and vehicles from a seed, so that any two vehicles of a fleet differ in several traits."""

import numpy as np

from data_cache.synthetic.design.bodies import BODIES, BodyModel
from data_cache.synthetic.design.styles import (
    HATCHED,
    RIMS,
    sample_glass_style,
    sample_lamp_style,
    sample_plate_style,
    sample_roof_style,
    sample_wheel_style,
)
from data_cache.synthetic.design.traits import (
    PLATES,
    CabinItem,
    Damage,
    Design,
    Individual,
    Sticker,
    Variety,
    Vehicle,
)
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
PAPERS: tuple[Colour, ...] = ((236, 222, 90), (70, 160, 90), (84, 140, 205), (238, 238, 230), (214, 80, 60))
VIVID: tuple[Colour, ...] = (
    (206, 40, 40), (232, 190, 40), (40, 120, 200), (50, 160, 80),
    (236, 236, 236), (226, 120, 40), (150, 70, 170), (230, 140, 170),
)  # fmt: skip
PLATE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
CARRIERS = ("none", "rails", "bars", "basket", "box")
TOP_WINDOWS = ("none", "sunroof", "panorama")
LOGOS = 5
GRILLES = 7
MIN_DIFFERENCES = 4  # traits in which any two vehicles of a fleet differ


def sample_vehicles(vehicles: int, fleet_size: int, seed: int, variety: Variety = "fleets") -> tuple[Vehicle, ...]:
    """Return the vehicles in order, fleet after fleet; the last fleet may be smaller."""
    sampled: list[Vehicle] = []
    for number in range(1, vehicles + 1):
        fleet = (number - 1) // fleet_size + 1
        mates = sampled[(fleet - 1) * fleet_size :]
        design = mates[0].design if mates else sample_design(np.random.default_rng((seed, fleet, 1)))
        rng = np.random.default_rng((seed, number, 2))
        individual = sample_individual(design, rng)
        while any(len(individual.differences(mate.individual)) < MIN_DIFFERENCES for mate in mates):
            individual = sample_individual(design, rng)
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


def sample_individual(design: Design, rng: np.random.Generator) -> Individual:
    """Sample the traits of one vehicle."""
    body = design.body.name
    carriers = (0.78, 0.06, 0.08, 0.02, 0.06) if body in ("sedan", "pickup") else (0.60, 0.18, 0.09, 0.07, 0.06)
    top_windows = (0.85, 0.15, 0.0) if body in ("pickup", "minibus", "van") else (0.5, 0.33, 0.17)
    ornaments = int(rng.choice(4, p=(0.3, 0.35, 0.25, 0.1)))
    return Individual(
        annual_signs=_annual_signs(rng),
        entry_license=_windshield_sticker(rng, 0.45, (0.12, 0.28), (0.13, 0.10)),
        newer_sign=_windshield_sticker(rng, 0.35, (0.62, 0.78), (0.17, 0.15)),
        hanging=CabinItem(0.0, int(rng.integers(3)), _vivid(rng)) if rng.random() < 0.5 else None,
        ornaments=tuple(
            CabinItem(rng.uniform(-0.75, 0.7), int(rng.integers(4)), _vivid(rng)) for _ in range(ornaments)
        ),
        tissue_box=CabinItem(rng.uniform(-0.6, 0.15), 0, _vivid(rng)) if rng.random() < 0.4 else None,
        safe_belt=rng.random() < 0.65,
        carrier=str(rng.choice(CARRIERS, p=carriers)),
        top_window=str(rng.choice(TOP_WINDOWS, p=top_windows)),
        rim=design.wheels.rim if rng.random() < 0.65 else int(rng.integers(RIMS)),
        plate=str(rng.choice(list(PLATES), p=(0.28, 0.14, 0.10, 0.30, 0.18))),
        plate_text="".join(str(letter) for letter in rng.choice(list(PLATE_LETTERS), 6)),
        rear_stickers=_body_stickers(rng, (0.35, 0.35, 0.3), (0.05, 0.2)),
        side_stickers=_body_stickers(rng, (0.7, 0.3), (0.12, 0.45)),
        damages=tuple(_damage(rng) for _ in range(int(rng.choice(4, p=(0.25, 0.35, 0.25, 0.15))))),
        smoked_covers=rng.random() < 0.2,
    )


def _vivid(rng: np.random.Generator) -> Colour:
    return VIVID[int(rng.integers(len(VIVID)))]


def _annual_signs(rng: np.random.Generator) -> tuple[Sticker, ...]:
    """Sample up to five inspection stickers, in rows of three in an upper corner, mostly the right one."""
    side = -1 if rng.random() < 0.85 else 1
    start, up = rng.uniform(0.60, 0.82), rng.uniform(0.76, 0.88)
    signs = []
    for index in range(int(rng.choice(6, p=(0.08, 0.2, 0.24, 0.22, 0.16, 0.1)))):
        row, column = divmod(index, 3)
        size = rng.uniform(0.075, 0.10)
        across = side * (start - 0.155 * column)
        paper = PAPERS[int(rng.integers(len(PAPERS)))]
        signs.append(Sticker(across, up - 0.19 * row, size, size * 0.95, paper, rng.normal(0, 0.12)))
    return tuple(signs)


def _windshield_sticker(
    rng: np.random.Generator, share: float, up: tuple[float, float], size: tuple[float, float]
) -> Sticker | None:
    """Sample a sticker of about `size` at a height within `up`, or None; `share` of the vehicles have one."""
    if rng.random() >= share:
        return None
    across = float(rng.choice((-1, 1)) * rng.uniform(0.3, 0.75))
    scale = rng.uniform(0.85, 1.25)
    return Sticker(across, rng.uniform(*up), size[0] * scale, size[1] * scale, _vivid(rng), rng.normal(0, 0.1))


def _body_stickers(
    rng: np.random.Generator, counts: tuple[float, ...], width: tuple[float, float]
) -> tuple[Sticker, ...]:
    """Sample stickers with a width within `width`; `counts` are the probabilities of 0, 1, ... stickers."""
    count = int(rng.choice(len(counts), p=counts))
    return tuple(
        Sticker(
            across=rng.random(),
            up=rng.random(),
            width=rng.uniform(*width),
            height=rng.uniform(0.06, 0.16),
            colour=_vivid(rng),
            lean=rng.normal(0, 0.15),
        )
        for _ in range(count)
    )


def _damage(rng: np.random.Generator) -> Damage:
    return Damage(
        skin=str(rng.choice(("left", "right", "front", "rear"), p=(0.3, 0.3, 0.2, 0.2))),
        along=rng.uniform(0.1, 0.9),
        up=rng.uniform(0.1, 0.9),
        length=rng.uniform(0.12, 0.5),
        lean=rng.normal(0, 0.3),
        dent=rng.random() < 0.5,
    )
