"""Flat pictures of things that stand about: people, motorcycles, other cars, poles, signs, trees, cones."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.design.individuals import PLATE_LETTERS
from data_cache.synthetic.geometry.arrays import Bytes
from data_cache.synthetic.scene.wide.place.textures import Colour, leaves, random_colour

BLACK: Colour = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Sprite:
    """A picture standing upright on the ground, seen from any side alike."""

    colour: Bytes  # (H, W, 3) display values
    opacity: Bytes  # (H, W)
    height: float  # metres

    @property
    def aspect(self) -> float:
        """Width as a multiple of the height."""
        return self.colour.shape[1] / self.colour.shape[0]

    @property
    def width(self) -> float:
        """Width in metres."""
        return self.height * self.aspect


class Board:
    """A sprite under construction; positions are shares of its width (0 … 1) and of its height (0 top … 1 foot)."""

    def __init__(self, wide: int, tall: int) -> None:
        self.colour, self.opacity = np.zeros((tall, wide, 3), np.uint8), np.zeros((tall, wide), np.uint8)
        self.size = np.array([wide, tall])

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon."""
        corners = [np.round(np.array(points) * self.size * 16).astype(np.int32)]
        cv2.fillPoly(self.colour, corners, colour, cv2.LINE_8, 4)
        cv2.fillPoly(self.opacity, corners, 255, cv2.LINE_8, 4)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x: float, y: float, across: float, down: float, colour: Colour = BLACK) -> None:
        """Fill an ellipse; the radii are shares of the width."""
        centre = tuple(round(float(value)) for value in np.array([x, y]) * self.size)
        axes = (max(1, round(across * self.size[0])), max(1, round(down * self.size[0])))
        cv2.ellipse(self.colour, centre, axes, 0, 0, 360, colour, cv2.FILLED)
        cv2.ellipse(self.opacity, centre, axes, 0, 0, 360, 255, cv2.FILLED)

    def limb(self, points: list[tuple[float, float]], thick: float, colour: Colour) -> None:
        """Draw a thick line; the thickness is a share of the width."""
        corners = [np.round(np.array(points) * self.size).astype(np.int32)]
        width = max(1, round(thick * self.size[0]))
        cv2.polylines(self.colour, corners, False, colour, width)
        cv2.polylines(self.opacity, corners, False, 255, width)

    def finished(self, height: float) -> Sprite:
        """Return the sprite, `height` metres high."""
        return Sprite(self.colour, self.opacity, height)


def _colour(rng: np.random.Generator, low: float = 15, high: float = 235, spread: float = 0.5) -> Colour:
    return random_colour(rng, low, high, spread)


def _scaled(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue


def paint_person(rng: np.random.Generator) -> Sprite:
    """Paint a walking or standing person."""
    board = Board(60, 150)
    skin = _scaled((205, 160, 128), rng.uniform(0.4, 1.15))
    trousers, shirt = _colour(rng, 15, 130, 0.3), _colour(rng)
    stride = rng.uniform(0.02, 0.16)
    for side in (-1, 1):
        board.limb([(0.5, 0.5), (0.5 + side * stride, 0.75), (0.5 + side * stride * 1.5, 0.97)], 0.17, trousers)
        board.ellipse(0.5 + side * stride * 1.5 + 0.04, 0.975, 0.09, 0.05, (30, 30, 32))
        board.limb([(0.5 + 0.2 * side, 0.23), (0.5 + 0.27 * side, 0.38), (0.5 + 0.2 * side, 0.5)], 0.11, shirt)
        board.ellipse(0.5 + 0.2 * side, 0.51, 0.06, 0.06, skin)
    board.polygon([(0.28, 0.2), (0.42, 0.16), (0.58, 0.16), (0.72, 0.2), (0.66, 0.54), (0.34, 0.54)], shirt)
    board.ellipse(0.5, 0.085, 0.13, 0.17, skin)
    board.ellipse(0.5, 0.06, 0.14, 0.12, _colour(rng, 15, 90, 0.3))
    return board.finished(rng.uniform(1.5, 1.9))


def paint_rider(rng: np.random.Generator) -> Sprite:
    """Paint a motorcycle with a rider, from behind or from the side."""
    return _paint_rider_from_behind(rng) if rng.random() < 0.55 else _paint_rider_from_side(rng)


def _paint_rider_from_behind(rng: np.random.Generator) -> Sprite:
    board = Board(70, 150)
    shirt, body, skin = _colour(rng), _colour(rng, 20, 200, 0.5), _scaled((200, 155, 125), rng.uniform(0.4, 1.1))
    board.rectangle(0.43, 0.7, 0.57, 1.0, (26, 26, 28))
    board.polygon([(0.3, 0.52), (0.7, 0.52), (0.62, 0.8), (0.38, 0.8)], body)
    board.rectangle(0.41, 0.62, 0.59, 0.66, (170, 24, 24))
    board.rectangle(0.4, 0.7, 0.6, 0.78, (225, 225, 220))
    for side in (-1, 1):
        board.limb(
            [(0.5 + 0.16 * side, 0.5), (0.5 + 0.27 * side, 0.66), (0.5 + 0.22 * side, 0.84)], 0.13, _scaled(body, 0.4)
        )
        board.limb([(0.5 + 0.2 * side, 0.22), (0.5 + 0.36 * side, 0.38), (0.5 + 0.34 * side, 0.46)], 0.11, shirt)
        board.limb([(0.5 + 0.3 * side, 0.46), (0.5 + 0.42 * side, 0.36)], 0.04, (30, 30, 30))
        board.ellipse(0.5 + 0.43 * side, 0.35, 0.06, 0.045, (36, 36, 40))
    board.polygon([(0.3, 0.2), (0.7, 0.2), (0.68, 0.54), (0.32, 0.54)], shirt)
    board.ellipse(0.5, 0.14, 0.1, 0.1, skin)
    board.ellipse(0.5, 0.09, 0.17, 0.16, _colour(rng, 20, 240, 0.6))
    return board.finished(rng.uniform(1.5, 1.75))


def _paint_rider_from_side(rng: np.random.Generator) -> Sprite:
    board = Board(170, 150)
    shirt, body = _colour(rng), _colour(rng, 20, 200, 0.5)
    for x in (0.2, 0.8):
        board.ellipse(x, 0.84, 0.14, 0.14, (24, 24, 26))
        board.ellipse(x, 0.84, 0.085, 0.085, (120, 120, 122))
    board.polygon([(0.14, 0.62), (0.5, 0.6), (0.66, 0.52), (0.72, 0.6), (0.58, 0.84), (0.36, 0.84)], body)
    board.limb([(0.68, 0.46), (0.8, 0.84)], 0.03, (60, 60, 64))
    board.limb([(0.42, 0.56), (0.6, 0.64), (0.54, 0.86)], 0.08, _colour(rng, 15, 110, 0.3))
    board.polygon([(0.34, 0.24), (0.5, 0.2), (0.52, 0.58), (0.34, 0.58)], shirt)
    board.limb([(0.46, 0.27), (0.58, 0.42), (0.69, 0.46)], 0.05, shirt)
    board.ellipse(0.45, 0.12, 0.07, 0.09, _colour(rng, 20, 240, 0.6))
    sprite = board.finished(rng.uniform(1.5, 1.75))
    return _flipped(sprite) if rng.random() < 0.5 else sprite


def _flipped(sprite: Sprite) -> Sprite:
    colour, opacity = (np.ascontiguousarray(layer[:, ::-1]) for layer in (sprite.colour, sprite.opacity))
    return Sprite(colour, opacity, sprite.height)


def paint_car(rng: np.random.Generator) -> Sprite:
    """Paint another car, van or bus: from the side, or one of its ends."""
    return _paint_car_side(rng) if rng.random() < 0.5 else _paint_car_end(rng)


def _paint_car_side(rng: np.random.Generator) -> Sprite:
    boxy = rng.random() < 0.35
    height = rng.uniform(1.8, 2.6) if boxy else rng.uniform(1.4, 1.7)
    board = Board(round(4.6 / height * 110), 110)
    paint = _colour(rng, 20, 235, 0.25)
    bonnet = rng.uniform(0.42, 0.5)
    roof = [(0.06, 0.02), (0.82, 0.02), (0.93, bonnet)] if boxy else [(0.2, 0.04), (0.56, 0.02), (0.72, bonnet - 0.06)]
    tail = [(0.02, 0.4)] if boxy else [(0.04, bonnet - 0.04)]
    board.polygon([(0.01, 0.82), *tail, *roof, (0.98, bonnet + 0.06), (0.99, 0.82)], paint)
    board.polygon([(0.01, 0.7), (0.99, 0.7), (0.99, 0.85), (0.01, 0.85)], _scaled(paint, 0.6))
    glass = [(0.24, 0.09), (0.54, 0.08), (0.66, bonnet - 0.05), (0.14, bonnet - 0.05)]
    board.polygon([(x * 1.15, y) for x, y in glass] if boxy else glass, _colour(rng, 15, 60, 0.1))
    board.limb([(0.42, 0.06), (0.42, 0.8)], 0.008, _scaled(paint, 0.5))
    radius = rng.uniform(0.065, 0.08)
    for x in (0.19, 0.79):
        board.ellipse(x, 1 - radius * board.size[0] / board.size[1], radius, radius, (22, 22, 24))
        board.ellipse(
            x, 1 - radius * board.size[0] / board.size[1], 0.6 * radius, 0.6 * radius, _colour(rng, 60, 180, 0.02)
        )
    board.rectangle(0.95, bonnet + 0.08, 0.985, bonnet + 0.17, (220, 220, 210))
    board.rectangle(0.01, bonnet, 0.045, bonnet + 0.14, (150, 20, 20))
    sprite = board.finished(height)
    return _flipped(sprite) if rng.random() < 0.5 else sprite


def _paint_car_end(rng: np.random.Generator) -> Sprite:
    rear, height = rng.random() < 0.5, rng.uniform(1.4, 2.0)
    board = Board(round(1.8 / height * 120), 120)
    paint = _colour(rng, 20, 235, 0.25)
    for x in (0.06, 0.78):
        board.rectangle(x, 0.75, x + 0.16, 1.0, (24, 24, 26))
    left = [(0.02, 0.86), (0.02, 0.45), (0.14, 0.38), (0.22, 0.04)]
    board.polygon([*left, *((1 - x, y) for x, y in reversed(left))], paint)
    board.polygon([(0.17, 0.38), (0.25, 0.08), (0.75, 0.08), (0.83, 0.38)], _colour(rng, 20, 90, 0.1))
    board.rectangle(0.05, 0.74, 0.95, 0.88, _scaled(paint, 0.45))
    lamp: Colour = (165, 22, 22) if rear else (226, 226, 218)
    for x in (0.05, 0.75):
        board.rectangle(x, 0.48, x + 0.2, 0.6, lamp)
    board.rectangle(0.38, 0.66, 0.62, 0.73, (228, 226, 216))
    return board.finished(height)


def paint_pole(rng: np.random.Generator) -> Sprite:
    """Paint a lamp post, a bollard or the pole of a sign."""
    tall = rng.uniform(0.9, 7.0)
    board = Board(max(4, round(rng.uniform(0.08, 0.28) / tall * 200)), 200)
    grey = _colour(rng, 30, 200, 0.08)
    for step in range(board.size[0]):
        share = (step + 0.5) / board.size[0]
        board.rectangle(step / board.size[0], 0, (step + 1) / board.size[0], 1, _scaled(grey, 1.1 - 0.7 * share))
    if rng.random() < 0.3:
        for top in np.arange(0, 1, 0.2):
            board.rectangle(0, float(top), 1, float(top) + 0.1, (205, 60, 40))
    return board.finished(tall)


def paint_sign(rng: np.random.Generator) -> Sprite:
    """Paint a road sign or a board with text like that of a plate, on a post."""
    board = Board(90, 240)
    board.rectangle(0.46, 0.1, 0.54, 1.0, (120, 122, 124))
    kind = int(rng.integers(3))
    if kind == 0:
        board.ellipse(0.5, 0.17, 0.42, 0.42, (200, 30, 34))
        board.ellipse(0.5, 0.17, 0.32, 0.32, (238, 238, 232))
    elif kind == 1:
        board.polygon([(0.5, 0.02), (0.98, 0.32), (0.02, 0.32)], (200, 40, 34))
        board.polygon([(0.5, 0.09), (0.82, 0.29), (0.18, 0.29)], (240, 220, 90))
    else:
        board.rectangle(0.02, 0.05, 0.98, 0.3, _colour(rng, 30, 235, 0.6))
    text = "".join(str(letter) for letter in rng.choice(list(PLATE_LETTERS), int(rng.integers(2, 6))))
    ink = (20, 20, 24) if rng.random() < 0.6 else (240, 240, 240)
    cv2.putText(board.colour, text, (10, 52), cv2.FONT_HERSHEY_SIMPLEX, 3.2 / (len(text) + 1.5), ink, 2, cv2.LINE_AA)
    return board.finished(rng.uniform(2.0, 3.0))


def paint_tree(rng: np.random.Generator) -> Sprite:
    """Paint a trunk and a crown of leaves with gaps."""
    board = Board(150, 210)
    board.limb([(0.5, 1.0), (0.5 + rng.normal(0, 0.03), 0.4)], rng.uniform(0.05, 0.1), BLACK)
    trunk = board.opacity > 0
    for _ in range(40):
        board.ellipse(
            0.5 + rng.normal(0, 0.2), 0.28 + rng.normal(0, 0.12), rng.uniform(0.03, 0.11), rng.uniform(0.03, 0.11)
        )
    board.colour[:] = leaves(board.opacity.shape, rng)
    board.colour[trunk] = _colour(rng, 40, 90, 0.15)
    return board.finished(rng.uniform(2.5, 8.0))


def paint_bush(rng: np.random.Generator) -> Sprite:
    """Paint a low bush."""
    board = Board(120, 70)
    for _ in range(26):
        board.ellipse(rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.95), rng.uniform(0.05, 0.16), rng.uniform(0.05, 0.16))
    board.colour[:] = leaves(board.opacity.shape, rng)
    return board.finished(rng.uniform(0.5, 1.4))


def paint_cone(rng: np.random.Generator) -> Sprite:
    """Paint a traffic cone."""
    board = Board(60, 80)
    board.polygon([(0.44, 0.02), (0.56, 0.02), (0.82, 0.92), (0.18, 0.92)], (226, 88, 30))
    board.polygon([(0.37, 0.35), (0.63, 0.35), (0.71, 0.6), (0.29, 0.6)], (236, 236, 232))
    board.rectangle(0.02, 0.9, 0.98, 1.0, (60, 40, 34))
    return board.finished(rng.uniform(0.5, 0.9))


PAINTERS: dict[str, tuple[tuple[float, float], Callable[[np.random.Generator], Sprite]]] = {
    # shares behind the vehicle and before it, painter
    "car": ((0.26, 0.12), paint_car),
    "person": ((0.16, 0.20), paint_person),
    "rider": ((0.14, 0.24), paint_rider),
    "pole": ((0.12, 0.20), paint_pole),
    "sign": ((0.10, 0.06), paint_sign),
    "tree": ((0.12, 0.02), paint_tree),
    "bush": ((0.05, 0.08), paint_bush),
    "cone": ((0.05, 0.08), paint_cone),
}
BEHIND, BEFORE = 0, 1


def sample_sprite(place: int, rng: np.random.Generator) -> tuple[str, Sprite]:
    """Sample a thing that stands BEHIND or BEFORE the vehicle; return its name and picture."""
    shares = [both[place] for both, _ in PAINTERS.values()]
    name = str(rng.choice(list(PAINTERS), p=shares))
    return name, PAINTERS[name][1](rng)
