"""Wheels: round tyres with the rim painted on the outer face."""

from dataclasses import replace

import numpy as np

from data_cache.synthetic.design.bodies import BodyModel
from data_cache.synthetic.design.styles import WheelStyle
from data_cache.synthetic.geometry.atlas import Colour, Material, Skin, ellipse
from data_cache.synthetic.geometry.mesh import Mesh, Solid, tube
from data_cache.synthetic.vehicle.canvas import Canvas, darker
from data_cache.synthetic.vehicle.wide.wheels import paint_rim

DARK: Colour = (22, 22, 24)
TYRE_WIDTH = 0.22
# (y, radius) from the inner hub over the tread to the outer hub, in shares of half the width and of the radius
WHEEL_PROFILE = ((-1, 0), (-1, 0.9), (-0.8, 1), (0.8, 1), (1, 0.93), (1, 0.74), (0.72, 0.70), (0.8, 0.02))
# number, half-width and twist of the spokes, by rim; COVER, STEEL and DISC have no spokes
SPOKES = (
    (5, 0.15, 0.0), (10, 0.065, 0.0), (6, 0.12, 0.0), (0, 0.0, 0.0), (7, 0.11, 1.5), (5, 0.19, 0.0),
    (3, 0.26, 0.0), (0, 0.0, 0.0), (12, 0.045, 0.8), (5, 0.10, 2.2), (0, 0.0, 0.0),
)  # fmt: skip
COVER, STEEL, DISC = 3, 7, 10


def paint_wheel(skin: Skin, rim: int, style: WheelStyle) -> None:
    """Paint the outer face of a wheel: tyre and rim; u and v are shares of the wheel's radius."""
    skin.fill(style.tyre, Material.MATTE)
    reach, tone = style.rim_share, style.tone
    edge = 0.88 * reach
    skin.polygon(ellipse((0, 0), (reach, reach), 32), tone, Material.METAL)
    skin.polygon(ellipse((0, 0), (edge, edge), 32), DARK, Material.MATTE)
    _paint_spokes(skin, rim, edge, tone)
    if rim in (COVER, STEEL, DISC):
        _paint_plate(skin, rim, edge, tone)
    skin.polygon(ellipse((0, 0), (0.17, 0.17)), tone, Material.METAL)
    skin.polygon(ellipse((0, 0), (0.09, 0.09)), darker(tone, 0.5), Material.METAL)


def _paint_spokes(skin: Skin, rim: int, edge: float, tone: Colour) -> None:
    count, half_width, twist = SPOKES[rim]
    for angle in np.arange(count) * 2 * np.pi / max(count, 1):
        across = np.array([-np.sin(angle), np.cos(angle)]) * half_width
        tip = np.array([np.cos(angle), np.sin(angle)]) * edge * 1.04
        corners = [-across * 0.8, across * 0.8, tip + across * (1 + twist), tip - across * (1 - twist)]
        skin.polygon([(float(u), float(v)) for u, v in corners], tone, Material.METAL)


def _paint_plate(skin: Skin, rim: int, edge: float, tone: Colour) -> None:
    """Paint a plastic cover, a dull steel rim or a nearly closed disc, each with holes."""
    ground = {COVER: darker(tone, 0.82), STEEL: (104, 104, 106), DISC: tone}[rim]
    count, hole = {COVER: (9, 0.09), STEEL: (8, 0.06), DISC: (5, 0.045)}[rim]
    material = Material.MATTE if rim == STEEL else Material.METAL
    skin.polygon(ellipse((0, 0), (edge, edge), 32), ground, material)
    for angle in np.arange(count) * 2 * np.pi / count:
        spot = (0.72 * edge * float(np.cos(angle)), 0.72 * edge * float(np.sin(angle)))
        skin.polygon(ellipse(spot, (hole, hole)), DARK, Material.MATTE)


def _tyre_width(body: BodyModel, axle: float) -> float:
    """Return the width of a wheel; trucks and buses have broad ones, and twins behind the first axle."""
    if body.form not in ("truck", "bus"):
        return TYRE_WIDTH
    return (0.62 if axle > body.axles[0] else 0.64) * body.wheel_radius * (1.9 if axle > body.axles[0] else 1.0)


def build_wheels(canvas: Canvas) -> list[Mesh]:
    """Return the meshes of the wheels, each a part of its own."""
    body, style = canvas.body, canvas.design.wheels
    skin = canvas.skin("wheel")
    if canvas.design.details is None:
        paint_wheel(skin, canvas.individual.rim, style)
    else:
        style = replace(style, tyre=canvas.design.details.rim.tyre)
        paint_rim(canvas)
    radius = body.wheel_radius
    meshes = []
    for axle in (*body.axles, *body.more_axles):
        half = _tyre_width(body, axle) / 2
        solid = tube(np.array(WHEEL_PROFILE) * (half, radius))
        mirrored = Solid((solid.corners * [1, -1, 1])[:, ::-1], (solid.normals * [1, -1, 1])[:, ::-1])
        inset = float(body.half_width_at(axle)) - half - 0.015
        for wheel, y, outward in ((solid, inset, 1), (mirrored, -inset, -1)):
            part = canvas.add_part("wheel")
            placed = wheel.moved((body.ahead(axle), y, radius))
            mesh = canvas.flat(placed, style.tyre, Material.MATTE, part)
            face = outward * wheel.normals[:, :, 1].mean(axis=1) > 0.6
            texture = mesh.texture.copy()
            texture[face] = skin.texture(
                -outward * wheel.corners[face, :, 0] / radius, wheel.corners[face, :, 2] / radius
            )
            normals = placed.normals.copy()
            normals[face] = (0.0, outward, 0.0)
            meshes.append(Mesh(mesh.corners, normals, texture, mesh.part))
    return meshes
