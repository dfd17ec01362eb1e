"""Sample the details of vehicles of the variety `wide`."""

import numpy as np

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.wide.bodies import is_upright
from data_cache.synthetic.design.wide.colours import bright, grey, second_colour
from data_cache.synthetic.design.wide.details import (
    ADVERT_SHAPES,
    HANDLES,
    HEAD_OPTICS,
    LOGO_SHAPES,
    TAIL_FILLS,
    Advert,
    BusStyle,
    CargoStyle,
    Details,
    FrontStyle,
    RearStyle,
    RimStyle,
    SideStyle,
    WideLamps,
)
from data_cache.synthetic.design.wide.lamp_shapes import BUS_TAILS, CAR_HEADS, CAR_TAILS, HEAVY_HEADS, UPRIGHT_TAILS
from data_cache.synthetic.geometry.atlas import Colour

HEAD_HOUSINGS: tuple[Colour, ...] = ((150, 154, 158), (112, 116, 120), (64, 67, 71), (34, 36, 39), (196, 199, 202))
TARPAULINS: tuple[Colour, ...] = (
    (70, 82, 74), (60, 78, 112), (96, 98, 100), (44, 46, 50), (120, 60, 50), (150, 150, 146),
)  # fmt: skip
LOADS: tuple[Colour, ...] = ((150, 128, 92), (92, 84, 76), (176, 168, 150), (84, 92, 60), (128, 92, 62))
LETTERS = "ABCDEFGHIKLMNOPRSTUVXZ"


def sample_details(body: BodyModel, paint: Colour, rng: np.random.Generator) -> Details:
    """Sample the details of a fleet with this body and paint."""
    heavy = body.form in ("truck", "bus")
    logo = LOGO_SHAPES[int(rng.integers(len(LOGO_SHAPES)))]
    return Details(
        lamps=_lamps(body, rng),
        front=_front(body, rng),
        rear=_rear(body, rng),
        rim=_rim(body, rng),
        side=_side(body, rng),
        logo=logo,
        logo_radius=rng.uniform(0.045, 0.085) * (1.7 if heavy else 1.0),
        logo_tone=grey(rng, 150, 230) if rng.random() < 0.75 else grey(rng, 15, 60),
        roof=second_colour(rng) if body.form == "car" and rng.random() < 0.16 else None,
        taxi=bright(rng) if body.form == "car" and body.bed is None and rng.random() < 0.07 else None,
        luggage=_choice(rng, {"none": 0.5, "bags": 0.17, "ladder": 0.17, "boards": 0.16}),
        sun_strip=second_colour(rng) if rng.random() < (0.3 if heavy else 0.12) else None,
        dirt=float(rng.beta(1.2, 2.5)),
        dirt_tone=(int(rng.integers(105, 150)), int(rng.integers(95, 130)), int(rng.integers(75, 110))),
        dirt_seed=_seed(rng),
        cargo=_cargo(paint, rng),
        bus=_bus(rng),
    )


def _choice(rng: np.random.Generator, shares: dict[str, float]) -> str:
    """Return one of the names, with probabilities proportional to `shares`."""
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**32))


def _cargo(paint: Colour, rng: np.random.Generator) -> CargoStyle:
    return CargoStyle(
        paint=grey(rng, 165, 235) if rng.random() < 0.45 else paint if rng.random() < 0.4 else bright(rng),
        tarpaulin=TARPAULINS[int(rng.integers(len(TARPAULINS)))],
        arch=0.05 if rng.random() < 0.55 else 0.27,
        load=LOADS[int(rng.integers(len(LOADS)))] if rng.random() < 0.5 else None,
        posts=rng.uniform(0.25, 0.65),
        rods=2 if rng.random() < 0.5 else 4,
        high_gate=rng.random() < 0.5,
        codes=rng.random() < 0.25,
        tape=rng.random() < 0.5,
        painted_frame=rng.random() < 0.3,
        white_flaps=rng.random() < 0.15,
        plate_across=float(rng.choice((0.0, 0.0, -0.25, 0.25))),
        lamp_height=rng.uniform(0.12, 0.17),
        cab_roof=_choice(rng, {"plain": 0.34, "deflector": 0.33, "lamps": 0.33}),
        seed=_seed(rng),
    )


def _bus(rng: np.random.Generator) -> BusStyle:
    return BusStyle(
        hanging_mirrors=rng.random() < 0.5,
        display=f"{int(rng.integers(1, 130))} {_word(rng, 3, 9)}",
        display_ink=(236, 150, 40) if rng.random() < 0.5 else (226, 228, 230),
        unit_at=rng.uniform(0.28, 0.6),
        unit_height=rng.uniform(0.17, 0.26),
        painted_unit=rng.random() < 0.5,
    )


def _word(rng: np.random.Generator, low: int, high: int) -> str:
    return "".join(LETTERS[int(index)] for index in rng.integers(0, len(LETTERS), int(rng.integers(low, high))))


def _lamps(body: BodyModel, rng: np.random.Generator) -> WideLamps:
    heavy = body.form in ("truck", "bus") and body.name != "tractor"
    heads = list(HEAVY_HEADS if heavy else CAR_HEADS)
    tails = list(BUS_TAILS if body.form == "bus" else UPRIGHT_TAILS if is_upright(body) else CAR_TAILS)
    if body.form == "van":
        tails = ["vertical", "tall", "vertical", "tall", "bumper", "block"]
    head = heads[int(rng.integers(len(heads)))]
    level = rng.uniform(0.45, 1.0)
    return WideLamps(
        head=head,
        housing=HEAD_HOUSINGS[int(rng.integers(len(HEAD_HOUSINGS)))],
        optics=HEAD_OPTICS[int(rng.integers(len(HEAD_OPTICS)))],
        daylight=rng.random() < (0.1 if heavy else 0.4),
        tail=tails[int(rng.integers(len(tails)))],
        red=(int(120 + 110 * level), int(12 + 40 * level * rng.random()), int(16 + 36 * level * rng.random())),
        fill=TAIL_FILLS[int(rng.integers(len(TAIL_FILLS)))],
        smoked=rng.random() < 0.2,
        bar=_choice(rng, {"none": 0.62, "dark": 0.12, "red": 0.18, "chrome": 0.08}) if body.form == "car" else "none",
        fog=_choice(rng, {"none": 0.4, "round": 0.24, "slit": 0.14, "upright": 0.12, "block": 0.10}),
        wrap=(rng.uniform(0.10, 0.46), rng.uniform(0.06, 0.40)) if not heavy else (rng.uniform(0.0, 0.15), 0.06),
    )


def _front(body: BodyModel, rng: np.random.Generator) -> FrontStyle:
    foot, head = rng.uniform(0.48, 0.66), rng.uniform(0.88, 0.95)
    if rng.random() < 0.25:  # down into the bumper, behind the plate
        foot = rng.uniform(0.10, 0.24)
    if body.form in ("truck", "bus"):
        foot, head = rng.uniform(0.46, 0.62), rng.uniform(0.72, 0.92)
    dark = rng.random() < 0.6
    return FrontStyle(
        grille=_choice(
            rng, {"bars": 0.24, "mesh": 0.18, "slats": 0.16, "closed": 0.14, "frame": 0.12, "honeycomb": 0.16}
        ),
        foot=foot,
        head=head,
        wide=rng.uniform(0.26, 0.50),
        taper=rng.uniform(0.6, 1.0),
        count=int(rng.integers(2, 9)),
        tone=grey(rng, 40, 90) if dark else grey(rng, 130, 210),
        surround=None if rng.random() < 0.35 else grey(rng, 180, 225) if rng.random() < 0.55 else grey(rng, 16, 36),
        side_intakes=body.form == "car" and rng.random() < 0.45,
        intake=rng.uniform(0.35, 0.85),
        guard=grey(rng, 150, 200) if rng.random() < 0.15 else None,
        bull_bar=(
            (grey(rng, 150, 215) if rng.random() < 0.5 else grey(rng, 18, 40))
            if body.name in ("suv", "pickup", "off-roader", "tractor") and rng.random() < 0.3
            else None
        ),
        lettering=_word(rng, 4, 8) if rng.random() < (0.5 if body.form in ("truck", "bus") else 0.12) else "",
    )


def _rear(body: BodyModel, rng: np.random.Generator) -> RearStyle:
    letterings = [
        (_word(rng, 2, 8), float(side * rng.uniform(0.3, 0.58)), rng.uniform(0.58, 0.92), rng.uniform(0.025, 0.055))
        for side in (1, -1)
        if rng.random() < 0.65
    ]
    level = rng.uniform(0.10, 0.28) if rng.random() < 0.45 else rng.uniform(0.52, 0.66)
    return RearStyle(
        exhausts=int(rng.choice((0, 1, 2, 4), p=(0.45, 0.25, 0.22, 0.08))) if body.form == "car" else 0,
        reflectors=_choice(rng, {"none": 0.25, "corner": 0.35, "strip": 0.25, "upright": 0.15}),
        diffuser=rng.random() < 0.5,
        brake_lamp=rng.random() < 0.5,
        windows=body.form != "van" or body.name == "minibus" or rng.random() < 0.5,
        window_rim=rng.uniform(0.06, 0.14),
        window_power=int(rng.choice((6, 8, 10, 12))),
        wiper=int(rng.choice((-1, 0, 1), p=(0.3, 0.3, 0.4))),
        guard=grey(rng, 140, 200) if body.form == "car" and rng.random() < 0.2 else None,
        trim=grey(rng, 180, 225) if rng.random() < 0.3 else grey(rng, 16, 40) if rng.random() < 0.2 else None,
        letterings=tuple(letterings),
        wide_lettering=_word(rng, 4, 8) if rng.random() < 0.15 else "",
        plate_level=level,
    )


def _rim(body: BodyModel, rng: np.random.Generator) -> RimStyle:
    heavy = body.form in ("truck", "bus")
    kind = (
        "truck"
        if heavy
        else _choice(rng, {"spokes": 0.34, "split": 0.2, "turbine": 0.16, "steel": 0.1, "cap": 0.12, "disc": 0.08})
    )
    tone = grey(rng, 150, 226) if rng.random() < 0.62 else grey(rng, 22, 110)
    if heavy:
        tone = grey(rng, 70, 210) if rng.random() < 0.93 else bright(rng)
    if kind == "steel":
        tone = grey(rng, 20, 60) if rng.random() < 0.5 else grey(rng, 90, 140)
    tyre = int(rng.integers(18, 62))
    return RimStyle(
        kind=kind,
        count=int(rng.choice((5, 6, 7, 8, 9, 10, 12))),
        half_width=rng.uniform(0.04, 0.17),
        twist=float(rng.choice((0.0, 0.0, rng.uniform(-0.5, 2.2)))),
        tone=tone,
        barrel=grey(rng, 14, 70),
        tyre=(tyre, tyre, tyre + 1),
        share=rng.uniform(0.56, 0.66) if heavy else rng.uniform(0.58, 0.84),
        hub=rng.uniform(0.08, 0.2),
        dirt=float(rng.beta(1.2, 2.2)),
    )


def _advert(rng: np.random.Generator) -> Advert:
    return Advert(_word(rng, 4, 10), grey(rng, 220, 245), bright(rng), str(rng.choice(ADVERT_SHAPES)))


def _side(body: BodyModel, rng: np.random.Generator) -> SideStyle:
    commercial = body.form != "car"
    black = (
        rng.random() < 0.75
        if body.form == "truck" or (body.form == "bus" and rng.random() < 0.9)
        else rng.random() < 0.3
    )
    return SideStyle(
        mirror="black" if black else _choice(rng, {"painted": 0.7, "chrome": 0.12, "two-tone": 0.18}),
        mirror_scale=rng.uniform(0.85, 1.2),
        handles=HANDLES[int(rng.integers(len(HANDLES)))],
        stripe=(bright(rng), rng.uniform(0.3, 0.85), rng.uniform(0.03, 0.3))
        if rng.random() < (0.4 if commercial else 0.06)
        else None,
        lower=second_colour(rng) if rng.random() < (0.2 if commercial else 0.04) else None,
        advert=_advert(rng) if commercial and rng.random() < 0.5 else None,
        dark_pillars=rng.random() < 0.7,
    )
