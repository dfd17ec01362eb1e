"""The surroundings of the vehicle: road, lines, pavement, walls, sky, other vehicles, and the vehicle's shadow."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Booleans, Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.mesh import Mesh, box
from data_cache.synthetic.geometry.rasterise import signed_area
from data_cache.synthetic.scene.light import Light

NOISE_TILE = 128
FARTHEST_M = 300.0
WALLS = ("hedge", "building", "barrier", "rail")
SHADED = 0.2  # share of the pictures
RAILING = 0.75  # height of the railing on top of a barrier


@dataclass(frozen=True)
class Surroundings:
    """The surroundings in one picture; positions in metres from the middle of the vehicle, x ahead, y left."""

    road: Floats  # (3,) linear colour
    roughness: float  # contrast of the road's texture
    wear: float  # how much darker the wheel tracks are
    shaded_from: float  # y beyond which the ground is in the shade, on the far side from the vehicle
    line_at: float  # y of a lane line
    dashed: bool
    zebra_at: float | None  # x at which a zebra crossing begins
    kerb_at: float  # y at which the pavement begins, negative on the right
    pavement: Floats
    wall_at: float  # y, further out than the kerb
    wall: Floats
    wall_kind: str  # hedge, building, barrier (low concrete with a railing on top) or rail
    wall_height: float
    noise: Floats  # (NOISE_TILE, NOISE_TILE) float32, mean 0, standard deviation 1
    others: tuple[tuple[Floats, Floats, Floats], ...]  # centre, size and colour of other vehicles


def sample_surroundings(rng: np.random.Generator) -> Surroundings:
    """Sample the surroundings of a picture."""
    side = float(rng.choice((-1, 1)))
    kerb = rng.uniform(1.6, 6.0)
    kind = str(rng.choice(WALLS, p=(0.27, 0.30, 0.28, 0.15)))
    wall = np.array([0.04, 0.085, 0.03]) if kind == "hedge" else rng.uniform(0.08, 0.50) * rng.uniform(0.85, 1.1, 3)
    beyond = rng.uniform(0.1, 1.5) if kind in ("barrier", "rail") else rng.uniform(1.5, 9.0)
    return Surroundings(
        road=rng.uniform(0.08, 0.36) * rng.uniform(0.95, 1.05, 3),
        roughness=rng.uniform(0.015, 0.13),
        wear=rng.uniform(0.0, 0.14),
        shaded_from=side * (rng.uniform(1.2, 4.0) if rng.random() < SHADED else FARTHEST_M),
        line_at=float(rng.choice((-1, 1)) * rng.uniform(1.3, 2.3)),
        dashed=rng.random() < 0.5,
        zebra_at=rng.uniform(-6, 3) if rng.random() < 0.12 else None,
        kerb_at=side * kerb,
        pavement=rng.uniform(0.15, 0.42) * rng.uniform(0.9, 1.1, 3),
        wall_at=side * (kerb + beyond),
        wall=wall,
        wall_kind=kind,
        wall_height=rng.uniform(0.55, 1.0) if kind in ("barrier", "rail") else FARTHEST_M,
        noise=_sample_noise(rng),
        others=tuple(_sample_other(rng) for _ in range(int(rng.choice(3, p=(0.55, 0.3, 0.15))))),
    )


def _sample_noise(rng: np.random.Generator) -> Floats:
    """Sample a tile of noise with detail at several scales."""
    total = np.zeros((NOISE_TILE, NOISE_TILE), np.float32)
    for cells, weight in ((8, 1.0), (24, 0.8), (64, 0.6), (128, 0.5)):
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        total += weight * cv2.resize(coarse, (NOISE_TILE, NOISE_TILE), interpolation=cv2.INTER_LINEAR)
    return np.asarray((total - total.mean()) / total.std())


def _sample_other(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    size = np.array([rng.uniform(3.8, 5.2), rng.uniform(1.7, 1.95), rng.uniform(1.0, 1.6)])
    centre = np.array([rng.uniform(-9, 9), float(rng.choice((-1, 1))) * rng.uniform(2.7, 4.2), size[2] / 2 + 0.2])
    return centre, size, rng.uniform(0.03, 0.6) * rng.uniform(0.7, 1.0, 3)


def paint_background(camera: Camera, site: Surroundings, light: Light, shape: tuple[int, int]) -> Floats:
    """Return the linear picture (3, H, W) of ground, wall and sky, without any vehicles."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + np.float32(0.5)
    rays = camera.rays(columns, rows)
    eye = camera.position.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(rays[2] < -1e-4, -eye[2] / rays[2], np.float32(FARTHEST_M))
        to_wall = (np.float32(site.wall_at) - eye[1]) / rays[1]
    reach = np.minimum(reach, np.float32(FARTHEST_M))
    brightness = light.sun_colour * max(float(light.sun[2, 0]), 0.0) + 0.5 * light.horizon + 0.5 * light.zenith
    picture = _ground(eye[0] + reach * rays[0], eye[1] + reach * rays[1], site) * brightness[..., None]
    is_sky = reach >= FARTHEST_M
    if is_sky.any():
        steep = np.clip(rays[2][is_sky] / np.linalg.norm(rays[:, is_sky], axis=0), 0, 1)
        picture[:, is_sky] = light.horizon + (light.zenith - light.horizon) * np.sqrt(steep)
    is_wall = (to_wall > 0) & (to_wall < reach)
    if is_wall.any():
        to_wall = np.where(is_wall, to_wall, np.float32(0))
        along, high = (eye[axis] + to_wall * rays[axis] for axis in (0, 2))
        is_wall &= _is_solid(along, high, site)
        brightness = 0.6 * light.horizon + 0.35 * light.sun_colour
        picture = np.where(is_wall, _wall(along, high, site) * brightness[..., None], picture)
    return np.asarray(picture, dtype=np.float32)


def _noise_at(noise: Floats, x: Floats, y: Floats) -> Floats:
    """Return the noise at positions in tile pixels; the tile repeats."""
    wrapped = cv2.remap(
        noise, np.mod(x, NOISE_TILE), np.mod(y, NOISE_TILE), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    return np.asarray(wrapped).reshape(x.shape)


def _ground(x: Floats, y: Floats, site: Surroundings) -> Floats:
    """Return the albedo (3, H, W) of the ground at (x, y)."""
    shade = 1 + site.roughness * (_noise_at(site.noise, x * 9, y * 14) + 0.5 * _noise_at(site.noise, x * 61, y * 61))
    shade *= 1 - np.float32(site.wear) * np.cos((y - site.line_at) * np.float32(2 * np.pi / 1.7))
    shade *= np.where(np.sign(site.shaded_from) * y > abs(site.shaded_from), np.float32(0.45), np.float32(1))
    colour = site.road.astype(np.float32)[:, None, None] * shade
    on_line = np.abs(y - site.line_at) < 0.075
    if site.dashed:
        on_line &= (x % 6.0) < 3.0
    if site.zebra_at is not None:
        on_line |= (x > site.zebra_at) & (x < site.zebra_at + 3.0) & ((y % 0.9) < 0.45)
    colour[:, on_line] = (0.68 * shade)[on_line]
    beyond = np.sign(site.kerb_at) * y - abs(site.kerb_at)
    if (beyond > -0.12).any():
        joints: Booleans = ((x % 0.6) < 0.05) | ((y % 0.6) < 0.05)
        paved = site.pavement.astype(np.float32)[:, None, None] * (shade * (1 - 0.25 * joints))
        colour = np.where(beyond > 0, paved, colour)
        colour[:, (beyond > 0) & (beyond < 0.18)] = site.pavement[:, None] * 1.4
        colour[:, (beyond < 0) & (beyond > -0.12)] = site.road[:, None] * 0.5
    return np.asarray(np.clip(colour, 0.01, 0.9), dtype=np.float32)


def _is_solid(along: Floats, high: Floats, site: Surroundings) -> Booleans:
    """Return (H, W) bool: whether the wall is opaque there; rails and railings have gaps."""
    level = high - site.wall_height
    if site.wall_kind == "barrier":
        railing = (level < RAILING) & (((along % 1.9) < 0.12) | ((level % 0.36) > 0.28))
        return np.asarray((level < 0) | railing)
    if site.wall_kind == "rail":
        return np.asarray((level < 0) & ((level > -0.32) | ((along % 2.0) < 0.14)))
    return np.ones(high.shape, np.bool_)


def _wall(along: Floats, high: Floats, site: Surroundings) -> Floats:
    """Return the albedo (3, H, W) of the wall at (along, high)."""
    if site.wall_kind in ("barrier", "rail"):
        shade = 1 + (0.12 if site.wall_kind == "barrier" else 0.04) * _noise_at(site.noise, along * 7, high * 23)
        shade *= np.where((high > site.wall_height) | (high % 0.5 > 0.44), 0.6, 1.0)
        return np.asarray(np.clip((0.1 + site.wall[:, None, None]) * shade, 0.01, 0.9))
    if site.wall_kind == "hedge":
        shade = (
            1 + 0.5 * _noise_at(site.noise, along * 11, high * 13) + 0.35 * _noise_at(site.noise, along * 37, high * 37)
        )
        return np.asarray(np.clip(site.wall[:, None, None] * shade, 0.004, 0.5))
    windows: Booleans = ((along % 2.8) > 1.1) & ((high % 3.1) > 1.0) & ((high % 3.1) < 2.5)
    shade = np.where(windows, 0.3, 1.0) * (1 + 0.07 * _noise_at(site.noise, along * 9, high * 9))
    return np.asarray(np.clip(site.wall[:, None, None] * shade, 0.01, 0.9))


def paint_others(picture: Floats, camera: Camera, site: Surroundings, light: Light) -> None:
    """Paint the other vehicles onto `picture` (H, W, 3) as blocks with dark windows, far ones first."""
    for centre, size, colour in sorted(
        site.others, key=lambda other: -float(np.linalg.norm(other[0] - camera.position))
    ):
        cabin = centre + np.array([-0.15 * size[0], 0.0, 0.62 * size[2]])
        for middle, extent, paint in (
            (centre * [1, 1, 0] + [0, 0, 0.02], size * [1.02, 1.05, 0.0] + [0, 0, 0.02], np.full(3, 0.015)),
            (centre, size * [1, 1, 0.55], colour),
            (cabin, size * [0.55, 0.86, 0.42], np.full(3, 0.03)),
            (cabin + np.array([0, 0, 0.21 * size[2]]), size * [0.5, 0.8, 0.04], colour),
        ):
            _paint_block(picture, camera, middle, extent, paint, light)


def _paint_block(picture: Floats, camera: Camera, centre: Floats, size: Floats, paint: Floats, light: Light) -> None:
    x, y, z = centre
    solid = box((float(x), float(y), float(z)), (float(size[0]), float(size[1]), float(size[2])))
    screen, depth = camera.project(solid.corners)
    if depth.min() < 1.0:
        return
    for face in np.flatnonzero(signed_area(screen) > 0):
        normal = solid.normals[face, 0]
        shade = (
            0.35 + 0.25 * normal[2] + 0.5 * max(float(normal @ light.sun[:, 0]), 0.0) * float(light.sun_colour[0, 0])
        )
        value = paint * light.horizon[:, 0] * shade * 1.6
        cv2.fillPoly(picture, [np.round(screen[face] * 16).astype(np.int32)], tuple(map(float, value)), cv2.LINE_8, 4)


def cast_shadow(mesh: Mesh, camera: Camera, light: Light, shape: tuple[int, int]) -> Floats:
    """Return (H, W): the share of sun and sky light on the ground that the vehicle does not block."""
    points = mesh.corners[::4, 0]
    sun = float(light.sun_colour.mean())
    remaining = np.ones(shape, np.float32)
    upward = np.array([0.0, 0.0, 1.0])
    for direction, dark, blur in (
        (light.sun[:, 0], 0.9 * sun / (sun + 0.6 * float(light.horizon.mean())), 1.0),
        (upward, 0.85, 2.4),
    ):
        fallen = points - direction * (points[:, 2:3] / direction[2])
        outline = cv2.convexHull(fallen[:, :2].astype(np.float32))[:, 0]
        screen, _ = camera.project(np.concatenate([outline, np.zeros((len(outline), 1))], axis=1))
        mask = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, [np.round(screen * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(mask, (0, 0), blur * shape[1] / 200 + 0.3)
        remaining *= 1 - np.float32(dark / 255) * soft
    return remaining
