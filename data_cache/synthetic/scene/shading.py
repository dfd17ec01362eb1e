"""Light on surfaces: the sky, the sun, paint that mirrors them, and glass that lets the cabin through."""

from dataclasses import dataclass, fields, replace

import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats, Integers
from data_cache.synthetic.geometry.atlas import Material
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.trace import Hits, trace
from data_cache.synthetic.vehicle.model import Model

# share of light mirrored head-on and at a glance, by material (Schlick's approximation between)
MIRRORED = np.array([0.07, 0.015, 0.45, 0.06, 0.05, 0.07, 0.05, 0.01, 0.06, 0.06, 0.06, 0.06], dtype=np.float32)
GLANCING = np.array([0.65, 0.08, 0.5, 0.5, 0.8, 0.8, 0.8, 0.02, 0.5, 0.5, 0.5, 0.5], dtype=np.float32)
PASSED = np.array([0, 0, 0, 0, 0.82, 0.13, 0, 0, 0, 0, 0, 0], dtype=np.float32)  # share of the cabin's light
# (3, 4): what lit lamps send out, from Material.TAIL on
EMITTED = np.array([[2.0, 0.10, 0.08], [2.4, 2.4, 2.2], [2.4, 1.0, 0.12], [2.4, 1.0, 0.12]], dtype=np.float32).T
SHARPNESS = 64  # exponent of the sun's glint


@dataclass(frozen=True)
class Light:
    """The light of one picture; colours are linear, (3, 1) float32 each."""

    sun: Floats  # unit vector towards the sun
    sun_colour: Floats
    zenith: Floats
    horizon: Floats
    ground: Floats  # light that the road throws back
    shirt: Floats  # the driver's clothes today
    skyline: Floats  # phases of the silhouette of trees and houses that paint and glass mirror
    cabin: float  # light inside, of that outside
    glare: float  # strength of reflections
    panes: float  # of those in tinted glass, in addition
    lamps: tuple[float, float, float, float]  # how brightly brake, head and left and right signal lamps are lit

    def __post_init__(self) -> None:
        for field in fields(self)[:7]:
            column = np.asarray(getattr(self, field.name), dtype=np.float32).reshape(3, 1)
            object.__setattr__(self, field.name, column)


@dataclass(frozen=True)
class Appearance:
    """A vehicle as it sends light to the camera: rows and columns are those of the (enlarged) picture."""

    colour: Floats  # (H, W, 3) linear, 0 where uncovered
    cover: Bytes  # (H, W) 1 where the vehicle is
    surface: Bytes  # (H, W) part number of the outermost surface
    through: Bytes  # (H, W) part number of what is seen behind the windshield


def sky_colour(direction: Floats, light: Light) -> Floats:
    """Return what a mirror sees along unit directions (3, N): sky over a skyline over the road."""
    height = direction[2]
    sky = light.horizon + (light.zenith - light.horizon) * np.sqrt(np.clip(height, 0, 1))
    ground = light.ground * np.clip(0.65 - 0.5 * height, 0.4, 1.0)
    first, second, third = light.skyline[:, 0]
    edge = 0.10 + 0.09 * np.sin(5 * direction[0] + first) * np.sin(6 * direction[1] + second)
    edge += 0.05 * np.sin(17 * (direction[0] + direction[1]) + third)
    return np.asarray(ground + (sky - ground) * np.clip((height - edge) / 0.10, 0, 1))


def ambient(normal: Floats, light: Light) -> Floats:
    """Return the light (3, N) of sky and ground on surfaces with these normals (3, N)."""
    sky, ground = 0.55 * light.horizon + 0.45 * light.zenith, 0.7 * light.ground
    return np.asarray(ground + (sky - ground) * (0.5 + 0.5 * normal[2]))


def lit_outside(hits: Hits, toward_eye: Floats, light: Light) -> Floats:
    """Return the light (3, N) that outer surfaces send to the eye; `toward_eye` (3, N) are unit vectors."""
    normal = hits.normal
    diffuse = hits.colour * (ambient(normal, light) + light.sun_colour * np.clip(_dot(normal, light.sun), 0, None))
    cosine = np.clip(_dot(normal, toward_eye), 0, 1)
    base, edge = MIRRORED[hits.material], GLANCING[hits.material]
    share = (base + (edge - base) * (1 - cosine) ** 5) * np.float32(light.glare)
    share[hits.material == Material.GLASS_SIDE] *= np.float32(light.panes)
    mirror = (2 * cosine) * normal - toward_eye
    glint = np.clip(_dot(mirror, light.sun), 0, 1)
    for _ in range(6):  # to the power of SHARPNESS, by squaring
        glint = glint * glint
    shine = sky_colour(mirror, light) + light.sun_colour * (6 * glint)
    sent = diffuse + np.minimum(share, 1) * (shine - diffuse)
    _light_lamps(sent, hits, light)
    return sent


def _light_lamps(sent: Floats, hits: Hits, light: Light) -> None:
    """Add to `sent` (3, N) what the lamps give that are lit in this picture."""
    for place, strength in enumerate(light.lamps):
        if strength > 0:
            lens = hits.material == Material.TAIL + place
            sent[:, lens] += EMITTED[:, place, None] * np.float32(strength)


def lit_inside(hits: Hits, light: Light) -> Floats:
    """Return the light (3, N) of surfaces in the cabin: weak, soft, without reflections."""
    colour = np.where(hits.material == Material.SHIRT, light.shirt, hits.colour)
    sunshine = light.sun_colour * (0.5 * np.clip(_dot(hits.normal, light.sun), 0, None))
    return colour * (ambient(hits.normal, light) + sunshine) * np.float32(light.cabin)


def _dot(first: Floats, second: Floats) -> Floats:
    return np.asarray(first[0] * second[0] + first[1] * second[1] + first[2] * second[2])


def photograph_vehicle(model: Model, camera: Camera, light: Light, shape: tuple[int, int]) -> Appearance:
    """Render the vehicle: opaque surfaces first, then the cabin through the pixels that are glass."""
    hits = trace(model.outside, model.atlas, camera, shape)
    colour = lit_outside(hits, _toward_eye(hits.pixel, camera, shape[1]), light)
    cover, surface, through = (np.zeros(shape[0] * shape[1], np.uint8) for _ in range(3))
    cover[hits.pixel] = 1
    surface[hits.pixel] = hits.part
    papers = hits.pixel[hits.material == Material.PAPER]
    through[papers] = surface[papers]
    surface[papers] = _shield_part(hits)
    panes = np.flatnonzero(PASSED[hits.material] > 0)
    if len(panes):
        behind, of_hit = _behind(panes, hits, model, camera, shape)
        colour[:, of_hit] += lit_inside(behind, light) * PASSED[hits.material[of_hit]]
        shield = hits.material[of_hit] == Material.GLASS_FRONT
        through[behind.pixel[shield]] = behind.part[shield]
    picture = np.zeros((shape[0] * shape[1], 3), np.float32)
    picture[hits.pixel] = colour.T
    return Appearance(picture.reshape(*shape, 3), *(layer.reshape(shape) for layer in (cover, surface, through)))


def _shield_part(hits: Hits) -> int:
    """Return the windshield's part number, 0 where it is not seen."""
    first = np.argmax(hits.material == Material.GLASS_FRONT)
    return int(hits.part[first]) if hits.material[first] == Material.GLASS_FRONT else 0


def _behind(panes: Integers, hits: Hits, model: Model, camera: Camera, shape: tuple[int, int]) -> tuple[Hits, Integers]:
    """Return what is seen in the cabin through the panes (indices of hits), and the hit that each is seen through."""
    behind = trace(model.inside, model.atlas, camera, shape, within=hits.pixel[panes])
    of_hit = np.searchsorted(hits.pixel, behind.pixel)
    # tinted side windows do not give the things in the cabin away
    veiled = (behind.part > 0) & (hits.material[of_hit] != Material.GLASS_FRONT)
    return replace(behind, colour=np.where(veiled, 0.3 * behind.colour, behind.colour)), of_hit


def _toward_eye(pixel: Integers, camera: Camera, width: int) -> Floats:
    row, column = np.divmod(pixel, width)
    rays = -camera.rays((column + 0.5).astype(np.float32), (row + 0.5).astype(np.float32))
    return np.asarray(rays / np.sqrt(_dot(rays, rays)))
