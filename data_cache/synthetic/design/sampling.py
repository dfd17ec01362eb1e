"""Drawing fleets and vehicles from a seed: palettes, shares, and how much two vehicles of a fleet must differ."""

import numpy as np

from data_cache.synthetic.design.bodies import BODIES, BodyModel
from data_cache.synthetic.design.fleet import PLATES, Design, Individual, Mark, Sticker, Thing, Vehicle
from data_cache.synthetic.design.styles import (
    HATCHED,
    RIMS,
    draw_glass_style,
    draw_lamp_style,
    draw_plate_style,
    draw_roof_style,
    draw_wheel_style,
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
SMALLEST_DIFFERENCE = 4  # traits that any two vehicles of a fleet differ in


def draw_vehicles(vehicles: int, fleet_size: int, seed: int) -> tuple[Vehicle, ...]:
    """Return the vehicles in order, fleet after fleet; the last fleet may be smaller."""
    found: list[Vehicle] = []
    for number in range(1, vehicles + 1):
        fleet = (number - 1) // fleet_size + 1
        mates = [vehicle for vehicle in found if vehicle.fleet == fleet]
        if mates:
            design = mates[0].design
        else:
            design = draw_design(np.random.default_rng(np.random.SeedSequence((seed, fleet, 1))))
        rng = np.random.default_rng(np.random.SeedSequence((seed, number, 2)))
        individual = _unlike([mate.individual for mate in mates], design, rng)
        found.append(Vehicle(number, fleet, design, individual))
    return tuple(found)


def _unlike(mates: list[Individual], design: Design, rng: np.random.Generator) -> Individual:
    """Draw until the vehicle differs enough from each of its mates."""
    while True:
        drawn = draw_individual(design, rng)
        if all(len(drawn.differences(mate)) >= SMALLEST_DIFFERENCE for mate in mates):
            return drawn


def draw_design(rng: np.random.Generator) -> Design:
    """Draw what a fleet shares."""
    name = str(rng.choice(list(BODY_SHARES), p=list(BODY_SHARES.values())))
    colour = str(rng.choice(list(COLOURS), p=COLOUR_SHARES))
    shade = rng.uniform(0.88, 1.1)
    paint = tuple(int(np.clip(channel * shade + rng.normal(0, 5), 8, 245)) for channel in COLOURS[colour])
    grey = int(rng.integers(26, 70))
    cabin = (grey + 8, grey + 3, grey) if rng.random() < 0.6 else (150, 134, 112)
    return Design(
        body=_body(name, rng),
        colour=colour,
        paint=(paint[0], paint[1], paint[2]),
        grille=int(rng.integers(GRILLES)),
        logo=int(rng.integers(LOGOS)),
        lamps=draw_lamp_style(rng),
        wheels=draw_wheel_style(rng),
        roof=draw_roof_style(name, rng),
        plates=draw_plate_style(rng),
        glass=draw_glass_style(rng),
        low_bumper=bool(rng.random() < 0.45),
        cladding=bool(rng.random() < (0.5 if name in ("suv", "pickup", "hatchback") else 0.15)),
        chrome=bool(rng.random() < 0.4),
        moulding=bool(rng.random() < 0.4),
        black_mirrors=bool(rng.random() < 0.3),
        cabin=cabin,
        plate_height=float(rng.integers(2)),
    )


def _body(name: str, rng: np.random.Generator) -> BodyModel:
    """Draw how a maker stretches a body, and how it stands on its wheels."""
    most_wheel = 1.06 if name in ("minibus", "van") else 1.12
    scaled = BODIES[name].scaled(*rng.uniform([0.90 if name in HATCHED else 0.95, 0.96, 0.95], [1.05, 1.05, 1.06]))
    return scaled.fitted(*rng.uniform([0.0, 0.96, 0.0, 0.09], [0.08, most_wheel, 0.18, 0.26]))


def draw_individual(design: Design, rng: np.random.Generator) -> Individual:
    """Draw what one vehicle has of its own."""
    ornaments = int(rng.choice(4, p=(0.3, 0.35, 0.25, 0.1)))
    return Individual(
        annual_signs=_annual_signs(rng),
        entry_license=_paper(rng, 0.45, (0.12, 0.28), (0.13, 0.10)),
        newer_sign=_paper(rng, 0.35, (0.62, 0.78), (0.17, 0.15)),
        hanging=Thing(0.0, int(rng.integers(3)), _vivid(rng)) if rng.random() < 0.5 else None,
        ornaments=tuple(Thing(rng.uniform(-0.75, 0.7), int(rng.integers(4)), _vivid(rng)) for _ in range(ornaments)),
        tissue_box=Thing(rng.uniform(-0.6, 0.15), 0, _vivid(rng)) if rng.random() < 0.4 else None,
        safe_belt=bool(rng.random() < 0.65),
        carrier=_carrier(design.body.name, rng),
        top_window=_top_window(design.body.name, rng),
        rim=design.wheels.rim if rng.random() < 0.65 else int(rng.integers(RIMS)),
        plate=str(rng.choice(list(PLATES), p=(0.28, 0.14, 0.10, 0.30, 0.18))),
        plate_text="".join(str(letter) for letter in rng.choice(list(PLATE_LETTERS), 6)),
        rear_stickers=_stickers(rng, (0.35, 0.35, 0.3), (0.05, 0.2)),
        side_stickers=_stickers(rng, (0.7, 0.3), (0.12, 0.45)),
        marks=tuple(_mark(rng) for _ in range(int(rng.choice(4, p=(0.25, 0.35, 0.25, 0.15))))),
        smoked_covers=bool(rng.random() < 0.2),
    )


def _vivid(rng: np.random.Generator) -> Colour:
    return VIVID[int(rng.integers(len(VIVID)))]


def _annual_signs(rng: np.random.Generator) -> tuple[Sticker, ...]:
    """Yearly stickers side by side in an upper corner, mostly the right one."""
    side = -1 if rng.random() < 0.85 else 1
    start, up = rng.uniform(0.60, 0.82), rng.uniform(0.76, 0.88)
    signs = []
    for place in range(int(rng.choice(6, p=(0.08, 0.2, 0.24, 0.22, 0.16, 0.1)))):
        row, column = divmod(place, 3)
        size = rng.uniform(0.075, 0.10)
        across = side * (start - 0.155 * column)
        paper = PAPERS[int(rng.integers(len(PAPERS)))]
        signs.append(Sticker(across, up - 0.19 * row, size, size * 0.95, paper, float(rng.normal(0, 0.12))))
    return tuple(signs)


def _paper(
    rng: np.random.Generator, share: float, up: tuple[float, float], size: tuple[float, float]
) -> Sticker | None:
    if rng.random() >= share:
        return None
    across = float(rng.choice((-1, 1)) * rng.uniform(0.3, 0.75))
    scale = rng.uniform(0.85, 1.25)
    return Sticker(across, rng.uniform(*up), size[0] * scale, size[1] * scale, _vivid(rng), float(rng.normal(0, 0.1)))


def _stickers(rng: np.random.Generator, shares: tuple[float, ...], size: tuple[float, float]) -> tuple[Sticker, ...]:
    count = int(rng.choice(len(shares), p=shares))
    return tuple(
        Sticker(
            rng.random(), rng.random(), rng.uniform(*size), rng.uniform(0.06, 0.16), _vivid(rng), rng.normal(0, 0.15)
        )
        for _ in range(count)
    )


def _carrier(body: str, rng: np.random.Generator) -> str:
    shares = (0.78, 0.06, 0.08, 0.02, 0.06) if body in ("sedan", "pickup") else (0.60, 0.18, 0.09, 0.07, 0.06)
    return str(rng.choice(CARRIERS, p=shares))


def _top_window(body: str, rng: np.random.Generator) -> str:
    shares = (0.85, 0.15, 0.0) if body in ("pickup", "minibus", "van") else (0.5, 0.33, 0.17)
    return str(rng.choice(TOP_WINDOWS, p=shares))


def _mark(rng: np.random.Generator) -> Mark:
    skin = str(rng.choice(("left", "right", "front", "rear"), p=(0.3, 0.3, 0.2, 0.2)))
    return Mark(
        skin,
        rng.uniform(0.1, 0.9),
        rng.uniform(0.1, 0.9),
        rng.uniform(0.12, 0.5),
        rng.normal(0, 0.3),
        bool(rng.random() < 0.5),
    )
