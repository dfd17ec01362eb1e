"""The ground: a painted tile of road, car park, paving, gravel or grass, with markings, cracks, patches and stains."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.gbuffer import TO_LINEAR
from data_cache.synthetic.scene.wide.noise import noise_at, noise_patch
from data_cache.synthetic.scene.wide.place.textures import scale_colours

TEXEL_M = 0.03
LENGTH_M, WIDTH_M = 30.72, 15.36  # of the tile, which repeats along the road only
COLUMNS, ROWS = round(LENGTH_M / TEXEL_M), round(WIDTH_M / TEXEL_M)
WORN = (0.55, 1.0)  # range of how much of the paint of the markings is left
Painter = Callable[[Bytes, np.random.Generator], None]


@dataclass(frozen=True)
class Ground:
    """The ground in the place's axes: u along the road, v to its left; v = 0 is the middle of the vehicle's lane."""

    tiles: tuple[Bytes, Bytes, Bytes]  # (R, C, 3) display values at full, quarter and sixteenth resolution
    start: tuple[float, float]  # (u, v) of the tile's corner
    grain: float  # contrast of the finest texture
    phase: tuple[float, float]  # of the noise

    def albedo(self, u: Floats, v: Floats, footprint: Floats) -> Floats:
        """Return the albedo (H, W, 3) at (u, v), averaged over about `footprint` metres."""
        column = np.mod(u - self.start[0], LENGTH_M) / TEXEL_M
        row = np.clip((v - self.start[1]) / TEXEL_M, 0, ROWS - 1)
        level = footprint / TEXEL_M
        colour = self._read(0, column, row)
        for number, beyond in ((1, 2.5), (2, 10.0)):
            if (level > beyond).any():
                np.copyto(colour, self._read(number, column, row), where=(level > beyond)[..., None])
        fine = noise_at(0.5, u * 47 + self.phase[0], v * 47 + self.phase[1]) / (1 + (footprint / 0.02) ** 2)
        broad = noise_at(1.2, u * 11 + self.phase[1], v * 16 + self.phase[0])
        colour *= np.exp(np.float32(self.grain) * (fine + 0.5 * broad))[..., None]
        return np.asarray(np.clip(colour, 0.005, 0.9))

    def _read(self, number: int, column: Floats, row: Floats) -> Floats:
        scale = np.float32(4.0**-number)
        found = cv2.remap(
            self.tiles[number],
            (column * scale).astype(np.float32),
            (row * scale).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        return np.asarray(TO_LINEAR[found])


def sample_ground(kerb_at: float, rng: np.random.Generator) -> Ground:
    """Sample the ground; beyond `kerb_at` metres (v) lies pavement or a verge."""
    kind = str(rng.choice(list(GROUNDS), p=[share for share, *_ in GROUNDS.values()]))
    _, (dark, light), grain, painters = GROUNDS[kind]
    base = np.array(_TINTS[kind]) * rng.uniform(dark, light) * rng.uniform(0.96, 1.04, 3)
    tile = np.empty((ROWS, COLUMNS, 3), np.uint8)
    tile[:] = np.clip(base, 5, 250)
    for painter in painters:
        painter(tile, rng)
    start = (rng.uniform(0, LENGTH_M), -WIDTH_M / 2)
    _paint_beyond_kerb(tile, kerb_at - start[1], rng)
    quarter = cv2.resize(tile, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    sixteenth = cv2.resize(quarter, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    phase = (rng.uniform(0, 512), rng.uniform(0, 512))
    return Ground((tile, quarter, sixteenth), start, grain * rng.uniform(0.4, 1.4), phase)


def _noise(falloff: float, tile: Bytes, scale: float, rng: np.random.Generator) -> Floats:
    """Return noise (R, C) for a tile, sampled at half its resolution."""
    rows, columns = tile.shape[:2]
    coarse = noise_patch(falloff, (-(-rows // 2), -(-columns // 2)), scale / 2, rng)
    return np.asarray(cv2.resize(coarse, (columns, rows)))


def _spot(rng: np.random.Generator) -> Floats:
    return np.array([rng.uniform(0, COLUMNS), rng.uniform(0, ROWS)])


def _texels(metres: float) -> int:
    return max(1, round(metres / TEXEL_M))


def _shaded(tile: Bytes, row: int, column: int, factor: float) -> tuple[float, ...]:
    return tuple(float(np.clip(channel * factor, 3, 250)) for channel in tile[row % ROWS, column % COLUMNS])


def _paint_cracks(tile: Bytes, rng: np.random.Generator) -> None:
    """Draw cracks as random walks; some are sealed with tar, which is wider and darker."""
    for _ in range(int(rng.integers(0, 14))):
        turns = rng.normal(rng.uniform(0, 2 * np.pi), 0.6, int(rng.integers(5, 22)))
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(4, 14)
        points = np.round(_spot(rng) + np.cumsum(steps, axis=0)).astype(np.int32)
        sealed = rng.random() < 0.4
        column, row = points[0].tolist()
        shade = _shaded(tile, row, column, rng.uniform(0.45, 0.7) if sealed else rng.uniform(0.55, 0.85))
        cv2.polylines(tile, [points], False, shade, int(rng.integers(2, 4)) if sealed else 1, cv2.LINE_AA)


def _paint_patches(tile: Bytes, rng: np.random.Generator) -> None:
    """Draw repaired rectangles and dark stains of oil."""
    for _ in range(int(rng.integers(0, 5))):
        low = _spot(rng)
        high = low + rng.uniform(20, 130, 2)
        shade = _shaded(tile, int(low[1]), int(low[0]), rng.uniform(0.72, 1.2))
        cv2.rectangle(tile, _point(low), _point(high), shade, cv2.FILLED)
        cv2.rectangle(tile, _point(low), _point(high), tuple(0.7 * channel for channel in shade), 1)
    stains = np.zeros((ROWS // 4, COLUMNS // 4), np.float32)
    for _ in range(int(rng.integers(0, 16))):
        axes = (int(rng.integers(1, 9)), int(rng.integers(1, 6)))
        cv2.ellipse(stains, _point(_spot(rng) / 4), axes, 0, 0, 360, rng.uniform(0.1, 0.5), cv2.FILLED)
    stains = cv2.resize(cv2.blur(stains, (4, 4)), (COLUMNS, ROWS))
    scale_colours(tile, 1 - stains)


def _point(position: Floats) -> tuple[int, int]:
    return round(float(position[0])), round(float(position[1]))


def _paint_tracks(tile: Bytes, rng: np.random.Generator) -> None:
    """Darken or lighten the tracks of wheels along the road, and draw seams between its lanes."""
    across = np.arange(ROWS) * TEXEL_M - WIDTH_M / 2
    factor = 1 - rng.uniform(-0.08, 0.16) * np.cos(across * 2 * np.pi / rng.uniform(1.5, 1.9))
    scale_colours(tile, np.repeat(factor[:, None], COLUMNS, axis=1).astype(np.float32))
    for _ in range(int(rng.integers(0, 3))):
        row = int(rng.integers(ROWS))
        cv2.line(tile, (0, row), (COLUMNS, row), _shaded(tile, row, 0, rng.uniform(0.5, 0.85)), int(rng.integers(1, 4)))


def _paint_lanes(tile: Bytes, rng: np.random.Generator) -> None:
    """Draw lane lines, and sometimes arrows, letters, a zebra crossing or hatching."""
    colour = (232, 232, 228) if rng.random() < 0.8 else (228, 184, 60)
    worn = rng.uniform(*WORN)
    fresh = tile.copy()
    lane, middle = rng.uniform(2.9, 3.7), ROWS // 2 + _texels(rng.uniform(-0.5, 0.5))
    for side in (-1.5, -0.5, 0.5, 1.5):
        row, thick = middle + round(side * lane / TEXEL_M), _texels(rng.uniform(0.10, 0.18))
        style = rng.random()
        for start in range(0, COLUMNS, COLUMNS // 5 if style < 0.6 else COLUMNS):
            end = start + (COLUMNS // 11 if style < 0.6 else COLUMNS)
            cv2.rectangle(fresh, (start, row), (end, row + thick), colour, cv2.FILLED)
        if style > 0.85:
            cv2.rectangle(fresh, (0, row + 2 * thick), (COLUMNS, row + 3 * thick), colour, cv2.FILLED)
    if rng.random() < 0.4:
        _draw_arrow(fresh, (int(rng.integers(COLUMNS)), middle + round(int(rng.integers(-1, 2)) * lane / TEXEL_M)), rng)
    if rng.random() < 0.15:
        column = int(rng.integers(COLUMNS - 120))
        for row in range(0, ROWS, 30):
            cv2.rectangle(fresh, (column, row), (column + 110, row + 15), colour, cv2.FILLED)
    if rng.random() < 0.15:
        word = ("BUS", "SLOW", "TAXI", "30", "50", "STOP")[int(rng.integers(6))]
        cv2.putText(fresh, word, _point(_spot(rng)), cv2.FONT_HERSHEY_SIMPLEX, 2.2, colour, 7, cv2.LINE_AA)
    _wear(tile, fresh, worn, rng)


def _draw_arrow(tile: Bytes, at: tuple[int, int], rng: np.random.Generator) -> None:
    sign = int(rng.choice((-1, 1)))
    shape = np.array([(-70, -3), (20, -3), (20, -11), (62, 0), (20, 11), (20, 3), (-70, 3)]) * [sign, 1]
    cv2.fillPoly(tile, [(shape + at).astype(np.int32)], (230, 230, 226), cv2.LINE_AA)


def _wear(tile: Bytes, fresh: Bytes, worn: float, rng: np.random.Generator) -> None:
    """Blend the markings of `fresh` into the tile, more or less worn off."""
    kept = np.clip(worn + 0.25 * _noise(0.9, tile, 1.0, rng), 0, 1)
    changed = np.nonzero(fresh[..., 0] != tile[..., 0])  # all markings change red
    old = tile[changed].astype(np.float32)
    tile[changed] = old + (fresh[changed] - old) * kept[changed][:, None]


def _paint_bays(tile: Bytes, rng: np.random.Generator) -> None:
    """Draw the lines of parking bays beside the vehicle."""
    fresh = tile.copy()
    colour = (228, 228, 224) if rng.random() < 0.85 else (220, 180, 60)
    bay, thick = _texels(rng.uniform(2.4, 2.9)), _texels(0.1)
    across = rng.random() < 0.6
    for start in range(int(rng.integers(bay)), COLUMNS, bay if across else 2 * bay):
        cv2.rectangle(fresh, (start, ROWS // 2 - 80), (start + thick, ROWS // 2 + 90), colour, cv2.FILLED)
    cv2.rectangle(fresh, (0, ROWS // 2 + 88), (COLUMNS, ROWS // 2 + 88 + thick), colour, cv2.FILLED)
    _wear(tile, fresh, rng.uniform(*WORN), rng)


def _paint_slabs(tile: Bytes, rng: np.random.Generator) -> None:
    """Draw slabs or bricks with joints, each a little lighter or darker."""
    rows, columns = tile.shape[:2]
    pitch = (int(rng.integers(6, 34)), int(rng.integers(5, 30)))
    shade = rng.normal(1, 0.05, (-(-rows // pitch[1]), -(-columns // pitch[0]))).astype(np.float32)
    whole = cv2.resize(shade, None, fx=pitch[0], fy=pitch[1], interpolation=cv2.INTER_NEAREST)[:rows, :columns].copy()
    whole[:: pitch[1]] *= 0.72
    whole[:, :: pitch[0]] *= 0.72
    scale_colours(tile, whole)


def _paint_clumps(tile: Bytes, rng: np.random.Generator) -> None:
    """Vary brightness and tint in clumps, as of grass, leaves, gravel or snow."""
    clumps = np.exp(rng.uniform(0.1, 0.3) * _noise(0.7, tile, rng.uniform(0.8, 2.0), rng))
    tint = 1 + 0.035 * _noise(1.3, tile, 1.0, rng)
    scale_colours(tile, clumps * tint, clumps, clumps * (2 - tint))


def _paint_covers(tile: Bytes, rng: np.random.Generator) -> None:
    """Draw manhole covers and gratings."""
    for _ in range(int(rng.integers(0, 3))):
        spot = _point(_spot(rng))
        cv2.circle(tile, spot, _texels(0.32), _shaded(tile, spot[1], spot[0], 0.6), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(tile, spot, _texels(0.27), _shaded(tile, spot[1], spot[0], 1.15), 1, cv2.LINE_AA)


def _paint_beyond_kerb(tile: Bytes, kerb: float, rng: np.random.Generator) -> None:
    """Paint a kerb stone, and pavement, grass or the same ground beyond it, `kerb` metres from the tile's edge."""
    row = _texels(kerb)
    if row >= ROWS - 4 or rng.random() < 0.2:
        return
    beyond = tile[row:]
    kind = rng.random()
    colour = np.array([92, 112, 66]) if kind < 0.3 else rng.uniform(90, 190) * rng.uniform(0.92, 1.06, 3)
    beyond[:] = np.clip(colour * rng.uniform(0.7, 1.2), 10, 240)
    (_paint_clumps if kind < 0.3 else _paint_slabs)(beyond, rng)
    stone = float(rng.uniform(110, 215))
    tile[row : row + _texels(0.16)] = stone
    if rng.random() < 0.2:  # painted in two colours
        dark = (40, 40, 42) if rng.random() < 0.8 else (190, 40, 40)
        for start in range(0, COLUMNS, 66):
            tile[row : row + _texels(0.16), start : start + 33] = dark
    tile[row - _texels(0.08) : row] = tile[row - _texels(0.08) : row] // 2


_TINTS: dict[str, tuple[float, float, float]] = {
    "road": (1.0, 1.0, 1.01),
    "car park": (1.0, 0.99, 0.97),
    "paving": (1.02, 1.0, 0.96),
    "gravel": (1.04, 1.0, 0.92),
    "grass": (0.86, 1.05, 0.55),
    "earth": (1.1, 0.96, 0.78),
    "snow": (0.98, 1.0, 1.04),
}
GROUNDS: dict[str, tuple[float, tuple[float, float], float, tuple[Painter, ...]]] = {
    # share, range of display value, grain, painters
    "road": (0.56, (78, 158), 0.07, (_paint_tracks, _paint_patches, _paint_cracks, _paint_covers, _paint_lanes)),
    "car park": (0.14, (80, 165), 0.07, (_paint_patches, _paint_cracks, _paint_bays)),
    "paving": (0.10, (110, 190), 0.05, (_paint_slabs, _paint_patches)),
    "gravel": (0.07, (105, 180), 0.20, (_paint_clumps,)),
    "grass": (0.05, (80, 130), 0.25, (_paint_clumps,)),
    "earth": (0.05, (95, 160), 0.15, (_paint_clumps, _paint_tracks)),
    "snow": (0.03, (190, 240), 0.04, (_paint_clumps, _paint_tracks)),
}
