"""Sample the traits by which the vehicles of a fleet differ."""

import numpy as np

from data_cache.synthetic.design.styles import RIMS
from data_cache.synthetic.design.traits import PLATES, CabinItem, Damage, Design, Individual, Sticker
from data_cache.synthetic.geometry.atlas import Colour

PAPERS: tuple[Colour, ...] = ((236, 222, 90), (70, 160, 90), (84, 140, 205), (238, 238, 230), (214, 80, 60))
VIVID: tuple[Colour, ...] = (
    (206, 40, 40), (232, 190, 40), (40, 120, 200), (50, 160, 80),
    (236, 236, 236), (226, 120, 40), (150, 70, 170), (230, 140, 170),
)  # fmt: skip
PLATE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
CARRIERS = ("none", "rails", "bars", "basket", "box")
TOP_WINDOWS = ("none", "sunroof", "panorama")


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
