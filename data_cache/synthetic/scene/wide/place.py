"""The place around the vehicle: ground, walls, distant panorama and things that stand about, as linear light."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.gbuffer import TO_LINEAR
from data_cache.synthetic.scene.light import Light
from data_cache.synthetic.scene.wide.ground import Ground, sample_ground
from data_cache.synthetic.scene.wide.noise import noise_at
from data_cache.synthetic.scene.wide.panorama import Panorama
from data_cache.synthetic.scene.wide.shadow import DimmedGround, SunMap
from data_cache.synthetic.scene.wide.sprites import BEFORE, BEHIND, Sprite, sample_sprite
from data_cache.synthetic.scene.wide.walls import Wall, sample_wall
from data_cache.synthetic.scene.wide.weather import Weather

FARTHEST_M = 400.0
ALIGNED, ACROSS = 0.72, 0.12  # shares of the pictures whose vehicle stands along or across the road
WALLED = 0.8  # share of the sides of the road with a wall
BEAM_REACH, BEAM_WIDTH = (2.0, 14.0), 0.35  # metres lit by head lamps, and radians to either side
CAR_DISTANCE = 2.2  # least distance of other cars from the camera, as a multiple of the vehicle's
OCCLUDED = 0.26  # share of the pictures with something before the vehicle


@dataclass(frozen=True)
class Place:
    """A place; its axes u (along the road) and v (to the left) are those of the vehicle turned by `turn` radians."""

    turn: float
    ground: Ground
    walls: tuple[Wall, ...]
    things: tuple[tuple[Sprite, Floats], ...]  # behind the vehicle, far ones first, with their (x, y)
    occluders: tuple[tuple[Sprite, Floats], ...]  # before the vehicle

    def turned(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return (u, v) of positions or directions (x, y) in the vehicle's axes."""
        cosine, sine = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        return cosine * x + sine * y, cosine * y - sine * x


@dataclass(frozen=True)
class Backdrop:
    """The place without the vehicle: light (H, W, 3), and the distance (H, W) in metres of what is seen."""

    light: Floats
    distance: Floats


def sample_place(camera: Camera, extent: float, rng: np.random.Generator) -> Place:
    """Sample a place for a vehicle that reaches `extent` metres from the origin."""
    kind = rng.random()
    turn = rng.normal(0, 0.04) + (
        0.0 if kind < ALIGNED else np.pi / 2 if kind < ALIGNED + ACROSS else rng.uniform(0, 6)
    )
    if rng.random() < 0.5:
        turn += np.pi  # the kerb is on the vehicle's other side
    half = extent if abs(np.cos(turn)) < 0.9 else 0.25 * extent  # of the vehicle across the road
    kerb = half + rng.uniform(0.6, 4.5)
    walls = []
    if rng.random() < WALLED:
        walls.append(sample_wall(kerb + rng.uniform(0.1, 6.0), rng))
    if rng.random() < WALLED:
        walls.append(sample_wall(-(half + rng.uniform(3.0, 12.0)), rng))
    ground = sample_ground(kerb, rng)
    return Place(turn, ground, tuple(walls), _sample_things(camera, extent, rng), _sample_occluders(camera, rng))


def _sample_things(camera: Camera, extent: float, rng: np.random.Generator) -> tuple[tuple[Sprite, Floats], ...]:
    """Sample things well behind the vehicle, far ones first; cars stand so far that their parts are small."""
    away = float(np.linalg.norm(camera.position[:2]))
    toward = -camera.position[:2] / away
    things = []
    for _ in range(int(rng.choice(6, p=(0.1, 0.2, 0.25, 0.2, 0.15, 0.1)))):
        name, sprite = sample_sprite(BEHIND, rng)
        nearest = away * (CAR_DISTANCE if name == "car" else 1.0) + 0.8 * extent + 1.0
        distance = nearest + float(rng.exponential(0.8)) * (away + 5)
        sideways = rng.uniform(-0.45, 0.45) * distance * min(1.0, 6 / away)
        position = camera.position[:2] + distance * toward + sideways * np.array([-toward[1], toward[0]])
        things.append((sprite, position))
    return tuple(sorted(things, key=lambda thing: -float(np.linalg.norm(thing[1] - camera.position[:2]))))


def _sample_occluders(camera: Camera, rng: np.random.Generator) -> tuple[tuple[Sprite, Floats], ...]:
    """Sample at most two things between camera and vehicle, rather at its sides than before its middle."""
    if rng.random() >= OCCLUDED:
        return ()
    away = float(np.linalg.norm(camera.position[:2]))
    toward = -camera.position[:2] / away
    occluders = []
    for _ in range(1 + int(rng.random() < 0.25)):
        _, sprite = sample_sprite(BEFORE, rng)
        sideways = rng.choice((-1, 1)) * rng.uniform(0.3, 2.6)
        distance = away * rng.uniform(0.45, 0.75)
        position = camera.position[:2] + distance * toward + sideways * np.array([-toward[1], toward[0]])
        occluders.append((sprite, position))
    return tuple(occluders)


def paint_backdrop(
    camera: Camera,
    place: Place,
    weather: Weather,
    panorama: Panorama,
    shadows: tuple[SunMap | None, DimmedGround],
    shape: tuple[int, int],
) -> Backdrop:
    """Paint ground, walls and panorama, then the things that stand behind the vehicle."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + np.float32(0.5)
    rays = camera.rays(columns, rows)
    eye = camera.position.astype(np.float32)
    length = np.sqrt(np.einsum("chw,chw->hw", rays, rays))
    picture = np.ascontiguousarray(panorama.arriving(rays / length).transpose(1, 2, 0))
    is_ground = rays[2] < -eye[2] / FARTHEST_M
    reach = np.where(is_ground, -eye[2] / np.where(is_ground, rays[2], 1), np.float32(FARTHEST_M))
    if is_ground.any():
        first = int(np.argmax(is_ground.any(axis=1)))
        below = np.s_[first:]
        light = _ground_light(camera, place, weather, panorama, shadows, rays[:, below], length[below], reach[below])
        np.copyto(picture[below], light, where=is_ground[below][..., None])
    for wall in place.walls:
        _paint_wall(picture, reach, wall, place, eye, rays, weather)
    for sprite, position in place.things:
        _darken_foot(picture, sprite, position, camera)
        paint_sprite(picture, reach, sprite, position, camera, weather)
    return Backdrop(picture, reach * length)


def _ground_light(
    camera: Camera,
    place: Place,
    weather: Weather,
    panorama: Panorama,
    shadows: tuple[SunMap | None, DimmedGround],
    rays: Floats,
    length: Floats,
    reach: Floats,
) -> Floats:
    """Return the light (H, W, 3) of the ground, with the vehicle's shadow, its head lamps' beams and wet patches."""
    eye, light = camera.position.astype(np.float32), weather.light
    x, y = eye[0] + reach * rays[0], eye[1] + reach * rays[1]
    u, v = place.turned(x, y)
    steep = np.maximum(-rays[2] / length, 0.02)
    albedo = place.ground.albedo(u, v, reach * length / (np.float32(camera.focal_px) * np.sqrt(steep)))
    sun_map, dimmed = shadows
    sun = 1.0 if sun_map is None else (1 - sun_map.falls_on(x, y))[..., None]
    sky = (1 - dimmed.falls_on(x, y))[..., None]
    arriving = sun * float(light.sun[2, 0]) * light.sun_colour[:, 0]
    arriving = arriving + sky * 0.5 * (light.horizon + light.zenith)[:, 0]
    if light.lamps[1] > 0 and weather.is_dark:
        arriving = arriving + 0.35 * light.lamps[1] * _beam(x, y)[..., None]
    sent = albedo * arriving
    if weather.wet:
        pools = np.clip(0.4 + 0.5 * noise_at(1.2, u * 23, v * 29), 0, 1) * weather.wet
        mirrored = panorama.arriving(np.stack([rays[0], rays[1], -rays[2]]) / length).transpose(1, 2, 0)
        share = (pools * (0.03 + 0.8 * (1 - steep) ** 5))[..., None]
        sent = sent * (1 - 0.4 * pools[..., None]) * (1 - share) + share * sky * mirrored
    return np.asarray(sent, dtype=np.float32)


def _beam(x: Floats, y: Floats) -> Floats:
    """Return (H, W): the light of the head lamps on the road at (x, y), about 1 where it is brightest."""
    ahead = np.maximum(x - 1.8, 0.01)
    spread = np.exp(-((y / (0.6 + BEAM_WIDTH * ahead)) ** 2))
    return np.asarray(spread * np.clip(ahead / BEAM_REACH[0], 0, 1) * np.exp(-ahead / BEAM_REACH[1]))


def _paint_wall(
    picture: Floats, reach: Floats, wall: Wall, place: Place, eye: Floats, rays: Floats, weather: Weather
) -> None:
    """Paint a wall where it is nearer than what is painted, unless it stands between the camera and the vehicle."""
    eye_u, eye_v = place.turned(eye[0], eye[1])
    if abs(eye_v - wall.v) < 0.5 or (eye_v > wall.v) == (wall.v > 0):
        return
    along, across = place.turned(rays[0], rays[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        to_wall = (np.float32(wall.v) - eye_v) / across
        seen = (to_wall > 0) & (to_wall < reach)
        seen &= np.abs(eye[2] + to_wall * rays[2] - 0.5 * wall.height) < 0.5 * wall.height + 0.1
    if not seen.any():
        return
    first, last = (int(value) for value in np.flatnonzero(seen.any(axis=1))[[0, -1]])
    window = np.s_[first : last + 1]
    seen, to_wall = seen[window], np.where(seen[window], to_wall[window], 0)
    u, z = eye_u + to_wall * along[window], eye[2] + to_wall * rays[2][window]
    albedo, solid = wall.albedo(u, z)
    seen &= solid
    light = weather.light
    toward_v = place.turned(light.sun[0, 0], light.sun[1, 0])[1]
    facing = max(float(-np.sign(wall.v) * toward_v), 0.0)
    arriving = facing * light.sun_colour[:, 0] + (0.3 * light.zenith + 0.4 * light.horizon + 0.3 * light.ground)[:, 0]
    np.copyto(picture[window], (albedo * arriving).astype(np.float32), where=seen[..., None])
    np.copyto(reach[window], to_wall.astype(np.float32), where=seen)


def paint_sprite(
    picture: Floats, reach: Floats | None, sprite: Sprite, position: Floats, camera: Camera, weather: Weather
) -> tuple[tuple[slice, slice], Floats] | None:
    """Paint a thing standing at (x, y), and its distance into `reach` (H, W) if it is given.

    Return the window and the opacity (h, w) that it covers, None if it is not in the picture.
    """
    foot, top = camera.project(np.array([[*position, 0.0], [*position, sprite.height]]))[0]
    depth = float(camera.project(np.array([*position, 0.0]))[1])
    tall = float(np.linalg.norm(top - foot))
    if depth < 0.7 or tall < 3:
        return None
    scale = tall / sprite.colour.shape[0]
    height, width = picture.shape[:2]
    axis = (top - foot) / tall  # upwards in the picture
    matrix = np.array([[-axis[1] * scale, -axis[0] * scale, 0], [axis[0] * scale, -axis[1] * scale, 0]])
    rows, columns = sprite.colour.shape[:2]
    matrix[:, 2] = foot - matrix[:, :2] @ [columns / 2, rows]
    corners = np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.clip(np.floor(corners.min(axis=0)), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, [width, height]).astype(int)
    if (high <= low).any():
        return None
    matrix[:, 2] -= low
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    source, cover = _shrunk(sprite, scale)
    matrix[:, 0] *= columns / source.shape[1]
    matrix[:, 1] *= rows / source.shape[0]
    opacity = cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32)[..., None] / 255
    colour = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    window = (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
    shaded = TO_LINEAR[colour] * _light_on_upright(weather.light, camera)
    if reach is not None:
        opacity *= (reach[window] > depth - 0.3)[..., None]
    picture[window] += opacity * (shaded - picture[window])
    if reach is not None:
        np.copyto(reach[window], np.float32(depth), where=opacity[..., 0] > 0.5)
    return window, opacity[..., 0]


def _darken_foot(picture: Floats, sprite: Sprite, position: Floats, camera: Camera) -> None:
    """Darken the ground around the foot of a thing, which would seem to float otherwise."""
    foot, depth = camera.project(np.array([*position, 0.0]))
    if depth < 0.7:
        return
    across = 0.6 * sprite.width * camera.focal_px / float(depth)
    down = across * max(0.12, float(camera.position[2] / depth))
    height, width = picture.shape[:2]
    low = np.clip(np.floor(foot - 2 * np.array([across, down])), 0, [width, height]).astype(int)
    high = np.clip(np.ceil(foot + 2 * np.array([across, down])), 0, [width, height]).astype(int)
    if (high <= low).any():
        return
    columns = (np.arange(low[0], high[0]) + 0.5 - foot[0]) / across
    rows = (np.arange(low[1], high[1]) + 0.5 - foot[1]) / down
    dark = 0.6 * np.exp(-2 * (columns[None] ** 2 + rows[:, None] ** 2))
    picture[low[1] : high[1], low[0] : high[0]] *= (1 - dark)[..., None].astype(np.float32)


def _shrunk(sprite: Sprite, scale: float) -> tuple[Bytes, Bytes]:
    """Return the sprite's picture and opacity, shrunk by area if it is drawn much smaller than painted."""
    if scale > 0.6:
        return sprite.colour, sprite.opacity
    size = tuple(max(1, round(length * scale * 1.3)) for length in sprite.colour.shape[1::-1])
    colour, opacity = (
        cv2.resize(layer, size, interpolation=cv2.INTER_AREA) for layer in (sprite.colour, sprite.opacity)
    )
    return np.asarray(colour, dtype=np.uint8), np.asarray(opacity, dtype=np.uint8)


def _light_on_upright(light: Light, camera: Camera) -> Floats:
    """Return the light (3,) on a surface that faces the camera."""
    facing = max(float(-camera.rotation[2] @ light.sun[:, 0]), 0.0)
    return np.asarray(
        (facing * light.sun_colour + 0.35 * light.zenith + 0.45 * light.horizon + 0.2 * light.ground)[:, 0]
    )
