"""Shading of a vehicle: diffuse light, reflections, lit lamps, and the cabin seen through glass."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats, Integers
from data_cache.synthetic.geometry.atlas import Material
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.gbuffer import GBuffer, fill_gbuffer
from data_cache.synthetic.scene.light import Light
from data_cache.synthetic.vehicle.model import Model

# by material: share of light reflected head-on and at grazing angles (Schlick's approximation in between)
HEAD_ON = np.array([0.07, 0.015, 0.45, 0.06, 0.05, 0.07, 0.05, 0.01, 0.06, 0.06, 0.06, 0.06], dtype=np.float32)
GRAZING = np.array([0.65, 0.08, 0.5, 0.5, 0.8, 0.8, 0.8, 0.02, 0.5, 0.5, 0.5, 0.5], dtype=np.float32)
TRANSMITTED = np.array([0, 0, 0, 0, 0.82, 0.13, 0, 0, 0, 0, 0, 0], dtype=np.float32)  # share of the cabin's light
# (3, 4): light emitted by lamps that are on, from Material.TAIL on
EMITTED = np.array([[2.0, 0.10, 0.08], [2.4, 2.4, 2.2], [2.4, 1.0, 0.12], [2.4, 1.0, 0.12]], dtype=np.float32).T


class Environment(Protocol):
    """What a vehicle mirrors, and what shades it."""

    def arriving(self, direction: Floats) -> Floats:
        """Return the light (3, N) that arrives from unit directions (3, N)."""

    def exposure(self, points: Floats, normals: Floats) -> tuple[Floats, Floats]:
        """Return the shares (N,) of sun and of sky that reach points (3, N) of the vehicle with these normals."""


@dataclass(frozen=True)
class Appearance:
    """The shaded vehicle, at the resolution of the supersampled picture."""

    colour: Floats  # (H, W, 3) linear, 0 outside the vehicle
    cover: Bytes  # (H, W) 1 on the vehicle
    surface: Bytes  # (H, W) part number of the outermost surface
    through: Bytes  # (H, W) part number of what is visible through the windshield
    behind: Floats  # (H, W, 3) the part of `colour` that comes from behind the glass, as opposed to reflections


def shade_vehicle(
    model: Model, camera: Camera, light: Light, shape: tuple[int, int], environment: Environment | None = None
) -> Appearance:
    """Render the vehicle: the exterior first, then the cabin at the pixels that are glass.

    Without an environment, the vehicle mirrors the sky and the skyline of `light` and nothing shades it.
    """
    outside = fill_gbuffer(model.outside, model.atlas, camera, shape)
    colour, diffuse = _shade_outside(outside, camera, shape[1], light, environment)
    behind = np.where(outside.material == Material.PAPER, diffuse, np.float32(0))
    cover, surface, through = (np.zeros(shape[0] * shape[1], np.uint8) for _ in range(3))
    cover[outside.pixel] = 1
    surface[outside.pixel] = outside.part
    papers = outside.pixel[outside.material == Material.PAPER]
    through[papers] = surface[papers]
    windshield = outside.part[outside.material == Material.GLASS_FRONT]
    surface[papers] = windshield[0] if len(windshield) else 0
    panes = np.flatnonzero(TRANSMITTED[outside.material] > 0)
    if len(panes):
        inside, pane = _look_inside(panes, outside, model, camera, shape)
        transmitted = _shade_inside(inside, light) * TRANSMITTED[outside.material[pane]]
        colour[:, pane] += transmitted
        behind[:, pane] += transmitted
        is_front = outside.material[pane] == Material.GLASS_FRONT
        through[inside.pixel[is_front]] = inside.part[is_front]
    pictures = np.zeros((2, shape[0] * shape[1], 3), np.float32)
    pictures[0, outside.pixel], pictures[1, outside.pixel] = colour.T, behind.T
    picture, within = pictures.reshape(2, *shape, 3)
    return Appearance(picture, cover.reshape(shape), surface.reshape(shape), through.reshape(shape), within)


def _shade_outside(
    outside: GBuffer, camera: Camera, width: int, light: Light, environment: Environment | None
) -> tuple[Floats, Floats]:
    """Return the light (3, N) that the exterior sends to the eye, and the part of it that is diffuse."""
    normal, toward_eye = outside.normal, _toward_eye(outside.pixel, camera, width)
    ambient, sun = _ambient(normal, light), light.sun_colour
    if environment is not None:
        sun_share, sky_share = environment.exposure(_positions(outside, camera, width), normal)
        ambient, sun = ambient * sky_share, sun * sun_share
    diffuse = outside.colour * (ambient + sun * np.clip(_dot(normal, light.sun), 0, None))
    cosine = np.clip(_dot(normal, toward_eye), 0, 1)
    base, edge = HEAD_ON[outside.material], GRAZING[outside.material]
    share = (base + (edge - base) * (1 - cosine) ** 5) * np.float32(light.reflection)
    share[outside.material == Material.GLASS_SIDE] *= np.float32(light.glass_reflection)
    is_front = (outside.material == Material.GLASS_FRONT) | (outside.material == Material.PAPER)
    share[is_front] *= np.float32(light.windshield_reflection)
    share = np.minimum(share, 1)
    mirror = (2 * cosine) * normal - toward_eye
    glint = np.clip(_dot(mirror, light.sun), 0, 1)
    for _ in range(6):  # to the power of 64
        glint = glint * glint
    sky = _sky_colour(mirror, light) if environment is None else environment.arriving(mirror)
    sent = diffuse + share * (sky + sun * (6 * glint) - diffuse)
    for lamp, brightness in enumerate(light.lamps):
        if brightness > 0:
            lens = outside.material == Material.TAIL + lamp
            sent[:, lens] += EMITTED[:, lamp, None] * np.float32(brightness)
    return sent, diffuse * (1 - share)


def _positions(outside: GBuffer, camera: Camera, width: int) -> Floats:
    """Return the positions (3, N) of the visible surface in metres."""
    row, column = np.divmod(outside.pixel, width)
    rays = camera.rays((column + 0.5).astype(np.float32), (row + 0.5).astype(np.float32))
    return np.asarray(camera.position.astype(np.float32)[:, None] + rays * outside.depth)


def _shade_inside(inside: GBuffer, light: Light) -> Floats:
    """Return the light (3, N) of surfaces in the cabin: weak, diffuse, without reflections."""
    colour = np.where(inside.material == Material.SHIRT, light.shirt, inside.colour)
    sunshine = light.sun_colour * (0.5 * np.clip(_dot(inside.normal, light.sun), 0, None))
    return colour * (_ambient(inside.normal, light) + sunshine) * np.float32(light.cabin)


def _sky_colour(direction: Floats, light: Light) -> Floats:
    """Return the light (3, N) arriving from unit directions (3, N): sky, skyline and road."""
    height = direction[2]
    sky = light.horizon + (light.zenith - light.horizon) * np.sqrt(np.clip(height, 0, 1))
    ground = light.ground * np.clip(0.65 - 0.5 * height, 0.4, 1.0)
    first, second, third = light.skyline[:, 0]
    edge = 0.10 + 0.09 * np.sin(5 * direction[0] + first) * np.sin(6 * direction[1] + second)
    edge += 0.05 * np.sin(17 * (direction[0] + direction[1]) + third)
    return np.asarray(ground + (sky - ground) * np.clip((height - edge) / 0.10, 0, 1))


def _ambient(normal: Floats, light: Light) -> Floats:
    """Return the light (3, N) of sky and ground on surfaces with these normals (3, N)."""
    sky, ground = 0.55 * light.horizon + 0.45 * light.zenith, 0.7 * light.ground
    return np.asarray(ground + (sky - ground) * (0.5 + 0.5 * normal[2]))


def _look_inside(
    panes: Integers, outside: GBuffer, model: Model, camera: Camera, shape: tuple[int, int]
) -> tuple[GBuffer, Integers]:
    """Return what is visible in the cabin through `panes` (indices into `outside`), and the pane of each pixel."""
    inside = fill_gbuffer(model.inside, model.atlas, camera, shape, within=outside.pixel[panes])
    pane = np.searchsorted(outside.pixel, inside.pixel)
    # tinted side windows hide the items in the cabin
    dimmed = (inside.part > 0) & (outside.material[pane] != Material.GLASS_FRONT)
    return replace(inside, colour=np.where(dimmed, 0.3 * inside.colour, inside.colour)), pane


def _toward_eye(pixel: Integers, camera: Camera, width: int) -> Floats:
    """Return unit vectors (3, N) from the surface at these pixels (N,) to the camera."""
    row, column = np.divmod(pixel, width)
    rays = -camera.rays((column + 0.5).astype(np.float32), (row + 0.5).astype(np.float32))
    return np.asarray(rays / np.sqrt(_dot(rays, rays)))


def _dot(first: Floats, second: Floats) -> Floats:
    return np.asarray(first[0] * second[0] + first[1] * second[1] + first[2] * second[2])
