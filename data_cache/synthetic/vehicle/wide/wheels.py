"""The faces of the wheels of the variety `wide`; u and v are shares of the wheel's radius."""

import numpy as np

from data_cache.synthetic.design.wide.details import RimStyle
from data_cache.synthetic.geometry.atlas import Colour, Material, Point, Skin, ellipse
from data_cache.synthetic.vehicle.canvas import Canvas, darker, details_of
from data_cache.synthetic.vehicle.wide.dirt import paint_dust

HOLE: Colour = (16, 16, 17)


def paint_rim(canvas: Canvas) -> None:
    """Paint tyre, rim and dust on the skin of the wheels."""
    skin, style = canvas.skin("wheel"), details_of(canvas).rim
    skin.fill(style.tyre, Material.MATTE)
    reach = style.share
    edge = 0.90 * reach
    _disc(skin, reach, style.tone, Material.METAL)
    if style.kind in ("steel", "cap", "disc", "truck"):
        _paint_plate(skin, style, edge)
    else:
        _disc(skin, edge, style.barrel, Material.MATTE)
        _disc(skin, 0.62 * edge, darker(style.barrel, 1.6), Material.METAL)  # the brake disc
        _disc(skin, 0.34 * edge, style.barrel, Material.MATTE)
        _paint_spokes(skin, style, edge)
    if style.kind != "truck":
        _disc(skin, style.hub, style.tone, Material.METAL)
        _disc(skin, 0.55 * style.hub, darker(style.tone, 0.6), Material.METAL)
    paint_dust(canvas)


def _disc(skin: Skin, radius: float, colour: Colour, material: Material, centre: Point = (0.0, 0.0)) -> None:
    skin.polygon(ellipse(centre, (radius, radius), 32 if radius > 0.2 else 12), colour, material)


def _paint_spokes(skin: Skin, style: RimStyle, edge: float) -> None:
    count = style.count if style.kind != "turbine" else 2 * style.count
    half_width = min(style.half_width, 2.0 * edge / count) * (0.6 if style.kind == "turbine" else 1.0)
    for angle in np.arange(count) * 2 * np.pi / count:
        leans = (-0.16, 0.16) if style.kind == "split" else (0.0,)
        for lean in leans:
            turned = angle + lean * 5 / count
            across = np.array([-np.sin(angle), np.cos(angle)]) * half_width * (0.6 if len(leans) > 1 else 1.0)
            tip = np.array([np.cos(turned), np.sin(turned)]) * edge * 1.04
            shift = across * (style.twist if style.kind == "turbine" else 0.0)
            corners = [-across * 1.1, across * 1.1, tip + across * 0.8 + shift, tip - across * 0.8 + shift]
            skin.polygon([(float(u), float(v)) for u, v in corners], style.tone, Material.METAL)


def _paint_plate(skin: Skin, style: RimStyle, edge: float) -> None:
    """Paint a steel rim, a plastic cap, a nearly closed disc or a truck's rim, each with holes."""
    material = Material.MATTE if style.kind in ("steel", "truck") else Material.METAL
    _disc(skin, edge, darker(style.tone, 0.8), material)
    ring, hole = {"steel": (0.70, 0.065), "cap": (0.74, 0.095), "disc": (0.66, 0.04), "truck": (0.74, 0.075)}[
        style.kind
    ]
    for angle in (np.arange(style.count) + 0.5) * 2 * np.pi / style.count:
        spot = (ring * edge * float(np.cos(angle)), ring * edge * float(np.sin(angle)))
        _disc(skin, hole, HOLE, Material.MATTE, spot)
    if style.kind == "cap":
        for angle in np.arange(style.count) * 2 * np.pi / style.count:
            ends = [(r * edge * float(np.cos(angle)), r * edge * float(np.sin(angle))) for r in (0.3, 0.95)]
            skin.line(ends, style.tone, 0.05, Material.METAL)
    if style.kind == "truck":  # a deep hub with a ring of nuts
        _disc(skin, 0.46 * edge, darker(style.tone, 0.55), material)
        for angle in np.arange(10) * 2 * np.pi / 10:
            _disc(skin, 0.03, style.tone, material, (0.38 * edge * np.cos(angle), 0.38 * edge * np.sin(angle)))
        _disc(skin, 0.26 * edge, darker(style.tone, 0.9), material)
        _disc(skin, 0.17 * edge, darker(style.tone, 0.4), material)
