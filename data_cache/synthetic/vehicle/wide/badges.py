"""Maker's badges of the variety `wide`."""

import numpy as np

from data_cache.synthetic.geometry.atlas import Colour, Material, Point, ellipse, shrunk
from data_cache.synthetic.vehicle.canvas import BLACK, Canvas, details_of
from data_cache.synthetic.vehicle.plates import LOGO_GROUNDS, LOGO_STROKES

OUTLINES: dict[str, tuple[Point, ...]] = {  # in radii
    "round": tuple(ellipse((0, 0), (1, 1))),
    "oval": tuple(ellipse((0, 0), (1.5, 0.85))),
    "wide": ((-2.2, -0.25), (2.2, -0.25), (1.9, 0.3), (-1.9, 0.3)),
    "shield": ((-0.8, 1), (0.8, 1), (0.8, -0.1), (0, -1.1), (-0.8, -0.1)),
    "diamond": ((0, 1.2), (0.85, 0), (0, -1.2), (-0.85, 0)),
    "star": tuple(
        (float(np.sin(angle) * radius), float(np.cos(angle) * radius))
        for angle, radius in zip(np.arange(6) * np.pi / 3, (1.15, 0.4) * 3, strict=True)
    ),
}


def paint_badge(canvas: Canvas, end: str, s: float, centre: Point) -> None:
    """Paint the maker's badge about `centre` (u, z) on the front or rear skin, where it is at `s`."""
    details, skin = details_of(canvas), canvas.skin(end)
    radius, tone = details.logo_radius, details.logo_tone
    outline = [(centre[0] + radius * u, centre[1] + radius * v) for u, v in OUTLINES[details.logo]]
    canvas.paint_part("logo", end, s, outline, tone, Material.METAL)
    if details.logo in ("wide", "star"):
        return
    style = canvas.design.logo
    ground: Colour = LOGO_GROUNDS[style] if max(tone) > 100 else BLACK
    skin.polygon(shrunk(outline, 0.78, 0.78), ground, Material.METAL)
    for stroke in LOGO_STROKES[style]:
        points = [(centre[0] + 0.85 * radius * u, centre[1] + 0.85 * radius * v) for u, v in stroke]
        skin.line(points, tone, 0.014)
