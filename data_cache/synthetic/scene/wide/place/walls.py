"""Upright surfaces along the road: shop fronts, houses, hedges, fences, barriers and rows of trees."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Booleans, Bytes, Floats
from data_cache.synthetic.geometry.gbuffer import TO_LINEAR
from data_cache.synthetic.scene.wide.noise import noise_patch
from data_cache.synthetic.scene.wide.place.textures import Colour, leaves, random_colour, scale_colours

TEXEL_M = 0.04
COLUMNS, ROWS = 768, 224  # 30.7 m, which repeats, by 9 m
WORDS = (
    "CAFE",
    "PHO 24",
    "AUTO",
    "BANK",
    "HOTEL",
    "MARKET",
    "51A-238",
    "PHARMACY",
    "GARAGE",
    "29C 4417",
    "OPEN",
    "SALE",
)
Painter = Callable[[Bytes, Bytes, np.random.Generator], None]


@dataclass(frozen=True)
class Wall:
    """A wall along u at `v`, in the place's axes; row 0 of its picture is its top, `height` metres above the road."""

    v: float
    start: float
    height: float
    colour: Bytes  # (ROWS, COLUMNS, 3) display values
    opacity: Bytes  # (ROWS, COLUMNS) 255 where it is solid

    def albedo(self, u: Floats, z: Floats) -> tuple[Floats, Booleans]:
        """Return the albedo (H, W, 3) at (u, z), and whether the wall is solid there."""
        rightwards = u if self.v > 0 else -u  # as seen from the road
        column = np.mod(rightwards - self.start, COLUMNS * TEXEL_M) / TEXEL_M
        row = (self.height - z) / TEXEL_M
        at = (column.astype(np.float32), row.astype(np.float32))
        colour = cv2.remap(self.colour, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        opacity = cv2.remap(self.opacity, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return TO_LINEAR[colour], (opacity > 127) & (row > 0) & (row < ROWS - 1)


def sample_wall(v: float, rng: np.random.Generator) -> Wall:
    """Sample a wall at `v`."""
    kind = str(rng.choice(list(WALLS), p=[share for share, *_ in WALLS.values()]))
    _, (low, high), painters = WALLS[kind]
    colour, opacity = np.zeros((ROWS, COLUMNS, 3), np.uint8), np.zeros((ROWS, COLUMNS), np.uint8)
    height = rng.uniform(low, high)
    for painter in painters:
        painter(colour[: round(height / TEXEL_M)], opacity[: round(height / TEXEL_M)], rng)
    return Wall(v, rng.uniform(0, COLUMNS * TEXEL_M), height, colour, opacity)


def _tint(rng: np.random.Generator, low: float, high: float, spread: float = 0.12) -> Colour:
    return random_colour(rng, low, high, spread)


def _fill(picture: Bytes, left: int, top: int, wide: int, tall: int, colour: Colour) -> None:
    cv2.rectangle(picture, (left, top), (left + wide, top + tall), colour, cv2.FILLED)


def _weather_stains(picture: Bytes, strength: float, rng: np.random.Generator) -> None:
    """Darken and lighten the wall in blotches."""
    factor = np.exp(strength * noise_patch(1.1, picture.shape[:2], rng.uniform(0.6, 2.0), rng))
    scale_colours(picture, factor)


def _paint_house_fronts(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw a row of houses, each with its own colour, floors, windows and ground floor."""
    tall = len(picture)
    left = 0
    while left < COLUMNS:
        wide = int(rng.integers(90, 260))
        top = int(rng.integers(0, max(1, tall // 3))) if rng.random() < 0.5 else 0
        wall = _tint(rng, 60, 220)
        _fill(picture, left, top, wide, tall, wall)
        opacity[top:, left : left + wide] = 255
        _draw_windows(picture, left, top, wide, tall, rng)
        (_draw_shop if rng.random() < 0.55 else _draw_door)(picture, left, wide, tall, rng)
        left += wide
    _weather_stains(picture, 0.08, rng)


def _draw_windows(picture: Bytes, left: int, top: int, wide: int, tall: int, rng: np.random.Generator) -> None:
    pitch, floor = int(rng.integers(26, 62)), int(rng.integers(60, 86))
    pane = (int(pitch * rng.uniform(0.4, 0.8)), int(floor * rng.uniform(0.4, 0.6)))
    frame = _tint(rng, 40, 240)
    for bottom in range(tall - 95, top + pane[1], -floor):
        for column in range(left + pitch // 4, left + wide - pane[0], pitch):
            _fill(picture, column, bottom - pane[1], *pane, _tint(rng, 25, 120, 0.2))
            cv2.rectangle(picture, (column, bottom - pane[1]), (column + pane[0], bottom), frame, 2)
            if rng.random() < 0.5:
                middle = column + pane[0] // 2
                cv2.line(picture, (middle, bottom - pane[1]), (middle, bottom), frame, 1)


def _draw_shop(picture: Bytes, left: int, wide: int, tall: int, rng: np.random.Generator) -> None:
    """Draw a shop window or a shutter below a sign with large letters."""
    _fill(picture, left + 6, tall - 66, wide - 12, 66, _tint(rng, 25, 130, 0.2))
    if rng.random() < 0.35:
        for row in range(tall - 66, tall, 5):
            cv2.line(picture, (left + 6, row), (left + wide - 6, row), _tint(rng, 90, 150, 0.02), 1)
    else:
        for _ in range(int(rng.integers(2, 12))):
            spot = (int(rng.integers(left + 8, left + wide - 24)), tall - int(rng.integers(12, 62)))
            _fill(picture, *spot, int(rng.integers(4, 24)), int(rng.integers(6, 36)), _tint(rng, 40, 230, 0.5))
    sign = _tint(rng, 30, 230, 0.7)
    _fill(picture, left + 2, tall - 92, wide - 4, 24, sign)
    word = WORDS[int(rng.integers(len(WORDS)))]
    ink = (245.0, 245.0, 240.0) if sum(sign) < 400 else (30.0, 30.0, 60.0)
    cv2.putText(picture, word, (left + 12, tall - 73), cv2.FONT_HERSHEY_SIMPLEX, 0.7, ink, 2, cv2.LINE_AA)


def _draw_door(picture: Bytes, left: int, wide: int, tall: int, rng: np.random.Generator) -> None:
    _fill(picture, left, tall - 14, wide, 14, _tint(rng, 60, 140))
    _fill(picture, left + int(rng.integers(5, wide - 30)), tall - 56, 25, 56, _tint(rng, 30, 160, 0.4))
    if rng.random() < 0.6:
        _fill(picture, left + wide // 2, tall - 54, wide // 4, 30, _tint(rng, 25, 120, 0.2))


def _paint_plain(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw a plain wall of concrete, bricks or sheet metal, sometimes with graffiti-like letters."""
    picture[:], opacity[:] = _tint(rng, 70, 210), 255
    style = rng.random()
    if style < 0.35:
        picture[:: int(rng.integers(4, 9))] = picture[0, 0] * 0.75
    elif style < 0.6:
        picture[:, :: int(rng.integers(4, 60))] = picture[0, 0] * 0.8
    for _ in range(int(rng.integers(0, 3))):
        spot = (int(rng.integers(COLUMNS - 100)), len(picture) - int(rng.integers(5, 40)))
        word = WORDS[int(rng.integers(len(WORDS)))]
        cv2.putText(picture, word, spot, cv2.FONT_HERSHEY_DUPLEX, rng.uniform(0.5, 1.4), _tint(rng, 20, 230, 0.7), 2)
    _weather_stains(picture, 0.15, rng)


def _paint_hedge(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw leaves with an uneven upper edge."""
    shape = picture.shape[:2]
    picture[:] = leaves(shape, rng)
    _weather_stains(picture, 0.25, rng)
    edge = 0.12 + 0.06 * noise_patch(1.2, (1, COLUMNS), 0.6, rng)[0]
    opacity[:] = 255 * (np.arange(shape[0])[:, None] > edge[None] * shape[0])


def _paint_trees(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw trunks with crowns that have gaps."""
    tall = len(picture)
    column = int(rng.integers(20, 120))
    picture[:] = leaves(picture.shape[:2], rng)
    while column < COLUMNS:
        for _ in range(26):
            spot = (column + round(rng.normal(0, 34)), round(tall * 0.3 + rng.normal(0, 0.15 * tall)))
            cv2.circle(opacity, spot, int(rng.integers(6, 26)), 255, cv2.FILLED)
        trunk = np.array([(column - 5, tall), (column - 3, tall // 4), (column + 3, tall // 4), (column + 5, tall)])
        cv2.fillPoly(picture, [trunk], _tint(rng, 50, 90))
        cv2.fillPoly(opacity, [trunk], 255)
        column += int(rng.integers(70, 260))
    _paint_low_strip(picture, opacity, rng)


def _paint_low_strip(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw shrubs or a low wall below the trees."""
    tall = int(rng.integers(6, 26))
    if rng.random() < 0.6:
        opacity[-tall:] = 255
        picture[-tall:] = np.clip(picture[-tall:] * rng.uniform(0.7, 1.3), 0, 255)


def _paint_fence(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw posts, rails and bars."""
    picture[:] = _tint(rng, 40, 220, 0.1)
    thick = int(rng.integers(2, 5))
    for row in np.linspace(0, len(picture) - 1 - thick, int(rng.integers(2, 5))).astype(int):
        opacity[row : row + thick] = 255
    for column in range(0, COLUMNS, int(rng.integers(48, 80))):
        opacity[:, column : column + 4] = 255
    if rng.random() < 0.6:
        for column in range(0, COLUMNS, int(rng.integers(4, 10))):
            opacity[2:, column : column + 2] = 255


def _paint_barrier(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw concrete blocks, plain or in two colours, below a railing."""
    tall = len(picture)
    block = round(tall * rng.uniform(0.45, 0.75))
    pitch = int(rng.integers(30, 80))
    picture[:] = _tint(rng, 90, 190, 0.05)
    opacity[tall - block :] = 255
    if rng.random() < 0.4:
        for column in range(0, COLUMNS, 2 * pitch):
            picture[tall - block : tall - block // 2, column : column + pitch] = (150, 54, 50)
            picture[tall - block : tall - block // 2, column + pitch : column + 2 * pitch] = (205, 202, 196)
    picture[tall - block :, ::pitch] //= 2
    for row in (0, (tall - block) // 2):
        opacity[row : row + 2] = 255
    for column in range(0, COLUMNS, 36):
        opacity[:, column : column + 3] = 255
    _weather_stains(picture, 0.14, rng)


def _paint_guard_rail(picture: Bytes, opacity: Bytes, rng: np.random.Generator) -> None:
    """Draw a steel guard rail on posts."""
    beam = max(4, round(0.32 / TEXEL_M))
    shade = 1 + 0.25 * np.sin(np.arange(beam) * 2 * np.pi / (beam / 2))
    picture[:] = _tint(rng, 60, 100, 0.04)
    picture[:beam] = np.clip(rng.uniform(110, 190) * shade, 0, 250)[:, None, None]
    opacity[:beam] = 255
    for column in range(0, COLUMNS, 50):
        opacity[beam:, column : column + 4] = 255


WALLS: dict[str, tuple[float, tuple[float, float], tuple[Painter, ...]]] = {
    # share, height in metres, painters
    "houses": (0.28, (5.0, 8.9), (_paint_house_fronts,)),
    "plain": (0.14, (1.6, 7.0), (_paint_plain,)),
    "hedge": (0.12, (0.8, 3.5), (_paint_hedge,)),
    "trees": (0.18, (5.0, 8.9), (_paint_trees,)),
    "fence": (0.09, (0.9, 2.2), (_paint_fence,)),
    "barrier": (0.12, (0.9, 1.7), (_paint_barrier,)),
    "guard rail": (0.07, (0.65, 0.85), (_paint_guard_rail,)),
}
