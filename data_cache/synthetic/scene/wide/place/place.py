"""Samples a place with its ground, walls and standing things, and paints it behind the vehicle."""

from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.scene.wide.noise import noise_at
from data_cache.synthetic.scene.wide.place.ground import Ground, sample_ground
from data_cache.synthetic.scene.wide.place.sprites import BEFORE, BEHIND, Sprite, sample_sprite
from data_cache.synthetic.scene.wide.place.standing import darken_foot, paint_sprite
from data_cache.synthetic.scene.wide.place.walls import Wall, sample_wall
from data_cache.synthetic.scene.wide.shadow import Environment
from data_cache.synthetic.scene.wide.weather import Weather

FARTHEST_M = 400.0
ALIGNED, ACROSS = 0.72, 0.12  # shares of the pictures whose vehicle stands along or across the road
WALLED = 0.8  # share of the sides of the road with a wall
BEAM_REACH, BEAM_WIDTH = (2.0, 14.0), 0.35  # metres lit by head lamps, and radians to either side
CAR_DISTANCE = 1.2  # least distance of other cars behind the vehicle, as a multiple of its own from the camera
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


def sample_place(camera: Camera, outline: Floats, rng: np.random.Generator) -> Place:
    """Sample a place around a vehicle with these points (N, 2) on the ground below it."""
    extent = float(np.abs(outline).max())
    turn = _sample_turn(rng)
    half = extent if abs(np.cos(turn)) < 0.9 else 0.25 * extent  # of the vehicle across the road
    kerb = half + rng.uniform(0.6, 4.5)
    walls = []
    if rng.random() < WALLED:
        walls.append(sample_wall(kerb + rng.uniform(0.1, 6.0), rng))
    if rng.random() < WALLED:
        walls.append(sample_wall(-(half + rng.uniform(3.0, 12.0)), rng))
    ground = sample_ground(kerb, rng)
    eye = camera.position[:2]
    along = (outline - eye) @ (-eye / np.linalg.norm(eye))  # metres from the camera
    things, occluders = _sample_things(eye, float(along.max()), rng), _sample_occluders(eye, float(along.min()), rng)
    return Place(turn, ground, tuple(walls), things, occluders)


def _sample_turn(rng: np.random.Generator) -> float:
    """Sample the direction of the road: mostly that of the vehicle, with the kerb on either side."""
    kind = rng.random()
    turn = 0.0 if kind < ALIGNED else np.pi / 2 if kind < ALIGNED + ACROSS else rng.uniform(0, 2 * np.pi)
    return float(turn + rng.normal(0, 0.04) + np.pi * (rng.random() < 0.5))


def _position(eye: Floats, distance: float, sideways: float) -> Floats:
    """Return (x, y) at a distance from the camera towards the vehicle, and sideways of that line, in metres."""
    toward = -eye / np.linalg.norm(eye)
    return np.asarray(eye + distance * toward + sideways * np.array([-toward[1], toward[0]]))


def _sample_things(eye: Floats, end: float, rng: np.random.Generator) -> tuple[tuple[Sprite, Floats], ...]:
    """Sample things behind the vehicle, which ends `end` metres from the camera, far ones first.

    Cars stand so far away that their parts are small.
    """
    away = float(np.linalg.norm(eye))
    things = []
    for _ in range(int(rng.choice(6, p=(0.1, 0.2, 0.25, 0.2, 0.15, 0.1)))):
        name, sprite = sample_sprite(BEHIND, rng)
        nearest = end + 1 + (CAR_DISTANCE * away if name == "car" else 0)
        distance = nearest + float(rng.exponential(0.8)) * (away + 5)
        sideways = rng.uniform(-0.45, 0.45) * distance * min(1.0, 6 / away)
        things.append((sprite, _position(eye, distance, sideways)))
    return tuple(sorted(things, key=lambda thing: -float(np.linalg.norm(thing[1] - eye))))


def _sample_occluders(eye: Floats, gap: float, rng: np.random.Generator) -> tuple[tuple[Sprite, Floats], ...]:
    """Sample at most two things in the `gap` (metres) before the vehicle, rather at its sides than its middle."""
    if rng.random() >= OCCLUDED:
        return ()
    occluders = []
    for _ in range(1 + int(rng.random() < 0.25)):
        _, sprite = sample_sprite(BEFORE, rng)
        sideways = rng.choice((-1, 1)) * rng.uniform(0.3, 2.6)
        occluders.append((sprite, _position(eye, gap * rng.uniform(0.55, 0.95), sideways)))
    return tuple(occluders)


@dataclass(frozen=True)
class _Rays:
    """The rays (3, H, W) through the pixels, one metre long along the camera's axis, and their length (H, W)."""

    eye: Floats  # (3,) float32
    direction: Floats
    length: Floats

    def below(self, row: int) -> "_Rays":
        """Return the rays from `row` on."""
        return _Rays(self.eye, self.direction[:, row:], self.length[row:])


def paint_backdrop(
    camera: Camera, place: Place, weather: Weather, environment: Environment, shape: tuple[int, int]
) -> Backdrop:
    """Paint ground, walls and panorama, then the things that stand behind the vehicle."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32) + np.float32(0.5)
    direction = camera.rays(columns, rows)
    rays = _Rays(camera.position.astype(np.float32), direction, np.sqrt(np.einsum("chw,chw->hw", direction, direction)))
    picture = np.ascontiguousarray(environment.arriving(direction / rays.length).transpose(1, 2, 0))
    is_ground = direction[2] < -rays.eye[2] / FARTHEST_M
    reach = np.where(is_ground, -rays.eye[2] / np.where(is_ground, direction[2], 1), np.float32(FARTHEST_M))
    if is_ground.any():
        first = int(np.argmax(is_ground.any(axis=1)))
        light = _ground_light(rays.below(first), reach[first:], camera.focal_px, place, weather, environment)
        np.copyto(picture[first:], light, where=is_ground[first:, :, None])
    for wall in place.walls:
        _paint_wall(picture, reach, wall, place, rays, weather)
    for sprite, position in place.things:
        darken_foot(picture, sprite, position, camera)
        thing = paint_sprite(sprite, position, camera, weather.light, shape)
        if thing is not None:
            opacity = thing.opacity * (reach[thing.window] > thing.depth - 0.3)
            picture[thing.window] += opacity[..., None] * (thing.light - picture[thing.window])
            np.copyto(reach[thing.window], np.float32(thing.depth), where=opacity > 0.5)
    return Backdrop(picture, reach * rays.length)


def _ground_light(
    rays: _Rays, reach: Floats, focal_px: float, place: Place, weather: Weather, environment: Environment
) -> Floats:
    """Return the light (H, W, 3) of the ground, with the vehicle's shadow, its head lamps' beams and wet patches."""
    light, direction = weather.light, rays.direction
    x, y = rays.eye[0] + reach * direction[0], rays.eye[1] + reach * direction[1]
    u, v = place.turned(x, y)
    steep = np.maximum(-direction[2] / rays.length, 0.02)
    albedo = place.ground.albedo(u, v, reach * rays.length / (np.float32(focal_px) * np.sqrt(steep)))
    sun, sky = (share[..., None] for share in environment.on_ground(x, y))
    arriving = sun * float(light.sun[2, 0]) * light.sun_colour[:, 0]
    arriving = arriving + sky * 0.5 * (light.horizon + light.zenith)[:, 0]
    if light.lamps[1] > 0 and weather.is_dark:
        arriving = arriving + 0.35 * light.lamps[1] * _beam(x, y)[..., None]
    sent = albedo * arriving
    if weather.wet:
        pools = np.clip(0.4 + 0.5 * noise_at(1.2, u * 23, v * 29), 0, 1) * weather.wet
        upwards = np.stack([direction[0], direction[1], -direction[2]]) / rays.length
        mirrored = environment.arriving(upwards).transpose(1, 2, 0)
        share = (pools * (0.03 + 0.8 * (1 - steep) ** 5))[..., None]  # Schlick's approximation for water
        sent = sent * (1 - 0.4 * pools[..., None]) * (1 - share) + share * sky * mirrored
    return np.asarray(sent, dtype=np.float32)


def _beam(x: Floats, y: Floats) -> Floats:
    """Return (H, W): the light of the head lamps on the road at (x, y), about 1 where it is brightest."""
    ahead = np.maximum(x - 1.8, 0.01)
    spread = np.exp(-((y / (0.6 + BEAM_WIDTH * ahead)) ** 2))
    return np.asarray(spread * np.clip(ahead / BEAM_REACH[0], 0, 1) * np.exp(-ahead / BEAM_REACH[1]))


def _paint_wall(picture: Floats, reach: Floats, wall: Wall, place: Place, rays: _Rays, weather: Weather) -> None:
    """Paint a wall where it is nearer than what is painted, unless it stands between the camera and the vehicle."""
    eye, direction = rays.eye, rays.direction
    eye_u, eye_v = place.turned(eye[0], eye[1])
    if abs(eye_v - wall.v) < 0.5 or (eye_v > wall.v) == (wall.v > 0):
        return
    along, across = place.turned(direction[0], direction[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        to_wall = (np.float32(wall.v) - eye_v) / across
        seen = (to_wall > 0) & (to_wall < reach)
        seen &= np.abs(eye[2] + to_wall * direction[2] - 0.5 * wall.height) < 0.5 * wall.height + 0.1
    if not seen.any():
        return
    first, last = (int(value) for value in np.flatnonzero(seen.any(axis=1))[[0, -1]])
    window = np.s_[first : last + 1]
    seen, to_wall = seen[window], np.where(seen[window], to_wall[window], 0)
    u, z = eye_u + to_wall * along[window], eye[2] + to_wall * direction[2][window]
    albedo, solid = wall.albedo(u, z)
    seen &= solid
    light = weather.light
    toward_v = place.turned(light.sun[0, 0], light.sun[1, 0])[1]
    facing = max(float(-np.sign(wall.v) * toward_v), 0.0)
    arriving = facing * light.sun_colour[:, 0] + (0.3 * light.zenith + 0.4 * light.horizon + 0.3 * light.ground)[:, 0]
    np.copyto(picture[window], (albedo * arriving).astype(np.float32), where=seen[..., None])
    np.copyto(reach[window], to_wall.astype(np.float32), where=seen)
