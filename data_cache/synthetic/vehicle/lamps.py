"""Head, tail and fog lamps: the shapes of their covers, and the lights within them."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.design.styles import HATCHED
from data_cache.synthetic.geometry.atlas import Colour, Material, Point, ellipse, mirrored, shrunk
from data_cache.synthetic.vehicle.canvas import Canvas

ROUND = tuple(ellipse((0.5, 0.5), (0.5, 0.5)))
AMBER: Colour = (226, 130, 40)
CLEAR: Colour = (226, 214, 206)


@dataclass(frozen=True)
class LampShape:
    """A lamp outline in the unit square (0 inner … 1 outer, 0 low … 1 high) and the position of that square.

    The square runs from `inner`, a share of the vehicle's half-width, to its edge, and from `low` to `high`, shares of
    the height of nose or tail. `light` is the luminous area; if it is empty, the shrunk outline.
    """

    inner: float
    low: float
    high: float
    outline: tuple[Point, ...]
    light: tuple[Point, ...] = ()


HEADS: tuple[LampShape, ...] = (
    LampShape(0.50, 0.58, 0.97, ((0, 0.30), (1, 0), (1, 1), (0.2, 0.9))),
    LampShape(0.50, 0.58, 0.97, tuple(ellipse((0.5, 0.5), (0.5, 0.5), power=0.75))),
    LampShape(0.50, 0.58, 0.97, ((0, 0.45), (1, 0.3), (1, 1), (0, 0.88))),
    LampShape(0.50, 0.58, 0.97, ((0.1, 0), (1, 0), (1, 1), (0, 1), (0, 0.5))),
    LampShape(0.42, 0.74, 0.95, ((0, 0.25), (0.3, 0), (1, 0.2), (1, 1), (0.15, 0.75))),
    LampShape(0.70, 0.44, 0.96, ((0, 0.55), (0.25, 0), (1, 0.05), (1, 1), (0.2, 1))),
    LampShape(0.66, 0.56, 0.94, ROUND),
    LampShape(0.46, 0.50, 0.92, ((0, 0.7), (0.35, 0.55), (0.45, 0), (1, 0), (1, 1), (0, 1)),
              ((0.5, 0.1), (0.92, 0.1), (0.92, 0.9), (0.5, 0.9))),
)  # fmt: skip
TAILS: tuple[LampShape, ...] = (
    LampShape(0.52, 0.58, 0.95, ((0, 0), (1, 0), (1, 1), (0, 1))),
    LampShape(0.52, 0.58, 0.95, ((0.12, 0), (1, 0), (1, 1), (0.17, 1), (0, 0.5))),
    LampShape(0.52, 0.58, 0.95, tuple(ellipse((0.5, 0.5), (0.5, 0.5), power=0.6))),
    LampShape(0.52, 0.58, 0.95, ((0.2, 0), (1, 0.1), (1, 1), (0, 1))),
    LampShape(0.40, 0.72, 0.94, ((0, 0.6), (0.3, 0.1), (1, 0), (1, 1), (0.1, 0.95))),
    LampShape(0.24, 0.74, 0.88, ((0, 0), (1, 0), (1, 1), (0, 1))),
    LampShape(0.46, 0.50, 0.95, ((0, 0.62), (0.5, 0.5), (0.55, 0), (1, 0), (1, 1), (0, 1)),
              ((0.1, 0.68), (0.92, 0.66), (0.92, 0.92), (0.08, 0.92))),
    LampShape(0.82, 0.36, 1.02, ((0.25, 0), (1, 0), (1, 1), (0.35, 1), (0, 0.4))),
    LampShape(0.48, 0.56, 0.92, ((0.3, 0), (1, 0.1), (1, 1), (0, 0.85), (0.42, 0.5)),
              ((0.5, 0.14), (0.92, 0.2), (0.92, 0.86), (0.28, 0.78), (0.55, 0.5))),
    LampShape(0.66, 0.60, 0.90, ROUND),
    LampShape(0.56, 0.22, 0.42, ((0, 0.3), (0.2, 0), (1, 0.1), (1, 1), (0.1, 0.9))),
)  # fmt: skip
COLUMN, STEEP = 7, ("van", "minibus")  # the tail lamp that extends beside the rear window of these bodies


def head_lamp(canvas: Canvas) -> tuple[list[Point], list[Point]]:
    """Return the outlines (y, z) of cover and light of the left head lamp, without its wrap around the corner."""
    shape = HEADS[canvas.design.lamps.head]
    return _outlines(shape, canvas, canvas.nose_height(shape.low), canvas.nose_height(shape.high), shape.inner)


def tail_lamp(canvas: Canvas) -> tuple[list[Point], list[Point]]:
    """Return the outlines (|y|, z) of cover and light of a tail lamp, without its wrap around the corner."""
    style = canvas.design.lamps.tail
    shape = TAILS[style]
    low, high, inner = canvas.tail_height(shape.low), canvas.tail_height(shape.high), shape.inner
    upright = canvas.body.name in HATCHED or canvas.body.bed is not None
    if upright and style <= 3:  # narrow and tall
        low, inner = canvas.tail_height(0.45), 0.76
        high += 0.12 if style in (1, 3) and canvas.body.bed is None else 0.0
    if style == COLUMN and canvas.body.name in STEEP:
        high += 0.55 * (canvas.body.height - high)
    return _outlines(shape, canvas, low, high, inner)


def _outlines(
    shape: LampShape, canvas: Canvas, low: float, high: float, inner: float
) -> tuple[list[Point], list[Point]]:
    half = canvas.body.width / 2
    start, wide = inner * half, (0.99 - inner) * half

    def metres(points: tuple[Point, ...]) -> list[Point]:
        return [(start + a * wide, low + b * (high - low)) for a, b in points]

    outline = metres(shape.outline)
    return outline, metres(shape.light) if shape.light else shrunk(outline, 0.74, 0.72)


def cover_colours(canvas: Canvas) -> tuple[Colour, Colour]:
    """Return the cover colours of head and tail lamps."""
    if canvas.individual.smoked_covers:
        return (58, 61, 64), (44, 8, 12)
    red, green, blue = canvas.design.lamps.red
    return (122, 125, 128), (max(60, red // 2), green + 6, blue + 6)


def paint_head_lamp(canvas: Canvas, side: int) -> tuple[int, int]:
    """Paint cover, light and reflectors of a head lamp; return the part numbers of cover and light."""
    outline, light = head_lamp(canvas)
    outer, inner = (outline, light) if side == 1 else (mirrored(outline), mirrored(light))
    cover = canvas.paint_part("light cover", "front", 0.05, outer, cover_colours(canvas)[0], Material.LENS)
    lamp = canvas.paint_part("car light", "front", 0.05, inner, (222, 226, 230), Material.LENS)
    skin = canvas.skin("front")
    middle = np.mean(inner, axis=0)
    tall, wide = (max(p[axis] for p in inner) - min(p[axis] for p in inner) for axis in (1, 0))
    reach = 0.35 * min(tall, 0.6 * wide)
    for offset in (-1.1, 1.1):
        spot = (float(middle[0] + offset * reach), float(middle[1]))
        skin.polygon(ellipse(spot, (reach, reach)), (120, 126, 134), Material.LENS)
        skin.polygon(ellipse(spot, (0.6 * reach, 0.6 * reach)), (250, 250, 246), Material.HEAD)
    return cover, lamp


def paint_fog_lamp(canvas: Canvas, side: int) -> None:
    """Paint a fog lamp on the front bumper."""
    spot = (side * 0.66 * canvas.body.width / 2, canvas.nose_height(0.17))
    ring, light = ellipse(spot, (0.085, 0.062)), ellipse(spot, (0.048, 0.044))
    canvas.paint_part("light cover", "front", 0.05, ring, (40, 41, 44), Material.MATTE)
    canvas.paint_part("car light", "front", 0.05, light, (214, 216, 214), Material.LENS)


def paint_tail_lamp(canvas: Canvas, side: int) -> tuple[int, int]:
    """Paint cover, light and sections of a tail lamp; return the part numbers of cover and light."""
    outline, light = tail_lamp(canvas)
    outer, inner = (outline, light) if side == 1 else (mirrored(outline), mirrored(light))
    s = canvas.body.length - 0.05
    cover = canvas.paint_part("light cover", "rear", s, outer, cover_colours(canvas)[1], Material.LENS)
    lamp = canvas.paint_part("car light", "rear", s, inner, canvas.design.lamps.red, Material.TAIL)
    signal = Material.SIGNAL_RIGHT if side == 1 else Material.SIGNAL_LEFT
    for section, colour, material in _sections(canvas.design.lamps.clear, inner, signal):
        canvas.skin("rear").polygon(section, colour, material)
    return cover, lamp


def _sections(clear: int, inner: list[Point], signal: Material) -> list[tuple[list[Point], Colour, Material]]:
    """Return outline, colour and material of the indicator and reversing sections within a tail lamp."""
    low, high = min(z for _, z in inner), max(z for _, z in inner)
    near, far = sorted((min(u for u, _ in inner), max(u for u, _ in inner)), key=abs)

    def pane(a0: float, a1: float, b0: float, b1: float) -> list[Point]:
        u0, u1 = near + a0 * (far - near), near + a1 * (far - near)
        v0, v1 = low + b0 * (high - low), low + b1 * (high - low)
        return [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]

    choices: tuple[list[tuple[list[Point], Colour, Material]], ...] = (
        [(pane(0.30, 0.92, 0.06, 0.27), AMBER, signal)],
        [(pane(0.30, 0.92, 0.06, 0.27), CLEAR, signal)],
        [(pane(0.25, 0.95, 0.40, 0.60), CLEAR, signal)],
        [(pane(0.55, 0.95, 0.15, 0.40), (120, 16, 20), signal)],
        [(pane(0.15, 0.50, 0.22, 0.72), CLEAR, Material.LENS), (pane(0.62, 0.95, 0.22, 0.5), AMBER, signal)],
    )
    return choices[clear]
