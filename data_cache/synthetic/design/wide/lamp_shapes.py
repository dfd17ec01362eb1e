"""Lamp shapes of the variety `wide`, in the unit square (0 inner … 1 outer, 0 low … 1 high)."""

from dataclasses import dataclass

from data_cache.synthetic.geometry.atlas import Point, ellipse

Outline = tuple[Point, ...]
BLOCK: Outline = ((0, 0), (1, 0), (1, 1), (0, 1))
ROUND: Outline = tuple(ellipse((0.5, 0.5), (0.5, 0.5)))
PILL: Outline = tuple(ellipse((0.5, 0.5), (0.5, 0.5), power=0.5))
ALMOND: Outline = tuple(ellipse((0.5, 0.5), (0.5, 0.5), power=0.75))


@dataclass(frozen=True)
class WideLampShape:
    """An outline, the position of its square and the luminous areas within it.

    The square runs from `inner` to `outer`, shares of the vehicle's half-width, and from `low` to `high`, shares of the
    height of nose or tail. If `lights` is empty, the luminous area is the shrunk outline.
    """

    inner: float
    low: float
    high: float
    outline: Outline
    lights: tuple[Outline, ...] = ()
    outer: float = 0.99


def _disc(across: float, up: float, radius: float, tall: float) -> Outline:
    return tuple(ellipse((across, up), (radius, tall)))


CAR_HEADS: dict[str, WideLampShape] = {
    "slim": WideLampShape(0.42, 0.80, 0.95, ((0, 0.3), (0.2, 0), (1, 0.3), (1, 1), (0.1, 0.8))),
    "blade": WideLampShape(0.36, 0.84, 0.97, ((0, 0.35), (0.1, 0.05), (1, 0.3), (1, 1), (0.5, 0.9))),
    "angular": WideLampShape(0.46, 0.62, 0.95, ((0, 0.45), (0.35, 0.1), (1, 0), (1, 1), (0.5, 0.95), (0.1, 0.75))),
    "swept": WideLampShape(0.50, 0.58, 0.98, ((0, 0.12), (0.6, 0), (1, 0.4), (1, 1), (0.7, 0.9), (0.1, 0.5))),
    "block": WideLampShape(0.56, 0.62, 0.92, BLOCK),
    "hawk": WideLampShape(0.42, 0.72, 0.98, ((0, 0.12), (0.12, 0), (0.7, 0.2), (1, 0.5), (1, 1), (0.6, 0.75))),
    "round": WideLampShape(0.62, 0.56, 0.93, ROUND, outer=0.95),
    "twin round": WideLampShape(0.48, 0.62, 0.93, PILL, (_disc(0.28, 0.5, 0.2, 0.4), _disc(0.73, 0.5, 0.2, 0.4))),
    "vertical": WideLampShape(0.72, 0.38, 0.95, ((0.2, 0), (1, 0.05), (1, 1), (0, 1), (0, 0.4))),
    "almond": WideLampShape(0.46, 0.55, 0.97, ALMOND),
    "stepped": WideLampShape(0.46, 0.56, 0.93, ((0, 0.6), (0.3, 0.5), (0.45, 0), (1, 0.05), (1, 1), (0, 1)),
                             (((0.5, 0.12), (0.92, 0.14), (0.92, 0.5), (0.45, 0.5)), )),
    "projector": WideLampShape(0.44, 0.68, 0.95, ((0, 0.35), (0.3, 0.05), (1, 0.15), (1, 1), (0.1, 0.85)),
                               (_disc(0.38, 0.48, 0.13, 0.34), _disc(0.72, 0.55, 0.13, 0.34))),
    "trapezoid": WideLampShape(0.54, 0.58, 0.95, ((0.12, 0), (1, 0), (1, 1), (0, 0.95))),
}  # fmt: skip
HEAVY_HEADS: dict[str, WideLampShape] = {
    "bumper block": WideLampShape(0.60, 0.10, 0.40, BLOCK, outer=0.96),
    "bumper wedge": WideLampShape(0.52, 0.10, 0.42, ((0, 0.1), (1, 0.2), (1, 1), (0.1, 0.8))),
    "corner": WideLampShape(0.68, 0.10, 0.62, ((0.25, 0), (1, 0), (1, 1), (0.1, 0.75), (0, 0.3))),
    "bumper pair": WideLampShape(0.54, 0.12, 0.42, PILL, (_disc(0.27, 0.5, 0.19, 0.4), _disc(0.73, 0.5, 0.19, 0.4))),
    "cab block": WideLampShape(0.62, 0.44, 0.72, BLOCK, outer=0.97),
    "cab round": WideLampShape(0.66, 0.40, 0.74, ROUND, outer=0.96),
    "stack": WideLampShape(0.74, 0.06, 0.56, PILL, (_disc(0.5, 0.26, 0.36, 0.2), _disc(0.5, 0.74, 0.36, 0.2)), 0.97),
}
CAR_TAILS: dict[str, WideLampShape] = {
    "block": WideLampShape(0.54, 0.60, 0.94, ((0, 0.1), (0.1, 0), (1, 0), (1, 1), (0, 1))),
    "slim": WideLampShape(0.40, 0.72, 0.87, ((0, 0.2), (1, 0), (1, 1), (0, 0.8))),
    "blade": WideLampShape(0.34, 0.70, 0.88, ((0, 0.6), (0.7, 0), (1, 0.1), (1, 1), (0.2, 0.9))),
    "L": WideLampShape(0.46, 0.52, 0.92, ((0, 0.62), (0.5, 0.55), (0.58, 0), (1, 0), (1, 1), (0, 1))),
    "C": WideLampShape(0.52, 0.55, 0.93, ((0, 0), (1, 0), (1, 1), (0, 1)),
                       (((0.08, 0.1), (0.94, 0.1), (0.94, 0.9), (0.08, 0.9), (0.08, 0.68), (0.7, 0.68), (0.7, 0.32),
                         (0.08, 0.32)), )),
    "boomerang": WideLampShape(0.46, 0.54, 0.95, ((0.3, 0), (1, 0.1), (1, 1), (0, 0.85), (0.42, 0.5)),
                               (((0.45, 0.12), (0.94, 0.2), (0.94, 0.88), (0.2, 0.8), (0.55, 0.5)), )),
    "vertical": WideLampShape(0.78, 0.42, 1.0, ((0.2, 0), (1, 0), (1, 1), (0.3, 1), (0, 0.5))),
    "tall": WideLampShape(0.74, 0.46, 0.98, ((0, 0), (1, 0), (1, 1), (0.15, 1))),
    "round": WideLampShape(0.64, 0.58, 0.92, ROUND, outer=0.95),
    "twin round": WideLampShape(0.46, 0.62, 0.90, PILL, (_disc(0.27, 0.5, 0.19, 0.4), _disc(0.74, 0.5, 0.19, 0.4))),
    "drop": WideLampShape(0.58, 0.52, 0.95, tuple(ellipse((0.5, 0.5), (0.5, 0.5), power=0.6))),
    "wing": WideLampShape(0.50, 0.50, 0.95, ((0.1, 0.35), (1, 0), (1, 1), (0.6, 0.95), (0, 0.7))),
    "hexagon": WideLampShape(0.56, 0.60, 0.92, ((0, 0.5), (0.2, 0), (1, 0.1), (1, 0.9), (0.2, 1))),
    "bumper": WideLampShape(0.58, 0.22, 0.40, ((0, 0.3), (0.2, 0), (1, 0.1), (1, 1), (0.1, 0.9))),
}  # fmt: skip
UPRIGHT_TAILS = ("vertical", "tall", "round", "drop", "block", "L", "C", "bumper", "slim", "hexagon", "wing")
BUS_TAILS: dict[str, WideLampShape] = {
    "bus column": WideLampShape(0.80, 0.12, 0.88, ((0.1, 0), (1, 0), (1, 1), (0, 1))),
    "bus block": WideLampShape(0.76, 0.20, 0.58, BLOCK, outer=0.96),
    "bus discs": WideLampShape(0.80, 0.10, 0.90, PILL,
                               (_disc(0.5, 0.16, 0.4, 0.13), _disc(0.5, 0.5, 0.4, 0.13), _disc(0.5, 0.84, 0.4, 0.13)),
                               0.97),
    "bus blade": WideLampShape(0.72, 0.10, 0.92, ((0.55, 0), (1, 0), (1, 1), (0.7, 1), (0, 0.5))),
    "bus slim": WideLampShape(0.86, 0.10, 0.96, BLOCK),
}  # fmt: skip
HEAD_SHAPES = {**CAR_HEADS, **HEAVY_HEADS}
TAIL_SHAPES = {**CAR_TAILS, **BUS_TAILS}
