"""Render one picture of the variety "wide": any viewpoint, place, weather and camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Booleans, Bytes, Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.viewpoint import sample_crop
from data_cache.synthetic.scene.boxes import PartBox, numbered_boxes, unoccluded_areas
from data_cache.synthetic.scene.render import SUPERSAMPLING, Picture
from data_cache.synthetic.scene.shading import shade_vehicle
from data_cache.synthetic.scene.wide import air, lens, sensor
from data_cache.synthetic.scene.wide.contrast import distinct_boxes, is_resolved, shrink_layer
from data_cache.synthetic.scene.wide.noise import noise_patch
from data_cache.synthetic.scene.wide.overlays import paint_near, write_label
from data_cache.synthetic.scene.wide.panorama import paint_panorama
from data_cache.synthetic.scene.wide.place import Place, paint_backdrop, paint_sprite, sample_place
from data_cache.synthetic.scene.wide.shadow import Environment, has_sun, map_dimmed_ground, map_sun
from data_cache.synthetic.scene.wide.weather import Weather, sample_weather
from data_cache.synthetic.vehicle.model import Model

MOST_HIDDEN = 0.35  # share of the vehicle that one thing on the road may hide
TEXTURED = 0.1  # share of the pictures before a random texture instead of a place


@dataclass
class Scene:
    """The light of a picture in the making, and the supersampled numbers of the parts in it."""

    light: Floats  # (H, W, 3) linear
    behind: Floats  # (H, W, 3) the part of it that comes from behind glass
    surface: Bytes  # (SUPERSAMPLING · H, SUPERSAMPLING · W) part numbers of the outermost surface
    through: Bytes  # part numbers behind the windshield
    vehicle: Booleans  # (H, W) where the vehicle is

    def hidden_share(self, window: tuple[slice, slice], opacity: Floats) -> float:
        """Return the share of the vehicle that something of this opacity (h, w) in a window would hide."""
        return float(opacity[self.vehicle[window]].sum() / max(np.count_nonzero(self.vehicle), 1))

    def cover(self, window: tuple[slice, slice], opacity: Floats) -> None:
        """Let something of this opacity (h, w) hide the parts and the cabin in a window; `light` shows it already."""
        self.behind[window] *= (1 - opacity)[..., None]
        rows, columns = (slice(part.start * SUPERSAMPLING, part.stop * SUPERSAMPLING) for part in window)
        hidden = np.repeat(np.repeat(opacity > 0.5, SUPERSAMPLING, axis=0), SUPERSAMPLING, axis=1)
        for layer in (self.surface, self.through):
            layer[rows, columns][hidden] = 0


def render_wide(model: Model, image_size: int, rng: np.random.Generator) -> Picture:
    """Render `model` from a random viewpoint, at a size of about `image_size` pixels (see `sample_crop`)."""
    crop = sample_crop(model.outside.corners[:, 0], image_size, rng)
    camera, shape = crop.camera, (crop.height, crop.width)
    weather = sample_weather(float(np.arctan2(camera.position[1], camera.position[0])), rng)
    place = sample_place(camera, float(np.abs(model.outside.corners[..., :2]).max()), rng)
    scene = _compose(model, camera, place, weather, shape, rng)
    _put_in_front(scene, camera, place, weather, rng)
    glass = lens.sample_lens(shape, rng)
    scene = _through_lens(scene, glass, weather, rng)
    chip = sensor.sample_sensor(weather, shape, rng)
    develop = partial(sensor.develop, sensor=chip)
    value = develop(scene.light)
    picture = sensor.record(value, chip, rng)
    write_label(picture, rng)
    layers = (scene.surface, scene.through)
    areas = unoccluded_areas(model.parts, (model.outside, model.inside), camera.magnified(SUPERSAMPLING))
    candidates = _candidates(layers, model, areas, shape)
    resolved = [entry for entry in candidates if is_resolved(entry[0], max(chip.reduction, 2 * glass.defocus))]
    boxes = distinct_boxes(resolved, value, scene.light, scene.behind, develop, chip.noise)
    return Picture(sensor.compress(picture, chip), shape[1], shape[0], tuple(boxes), layers)


def _compose(
    model: Model, camera: Camera, place: Place, weather: Weather, shape: tuple[int, int], rng: np.random.Generator
) -> Scene:
    """Return the scene of vehicle and place, seen through the air."""
    panorama = paint_panorama(weather, rng)
    sun = map_sun(model.outside, weather.light.sun[:, 0]) if has_sun(weather.light) else None
    full = (shape[0] * SUPERSAMPLING, shape[1] * SUPERSAMPLING)
    environment = Environment(panorama, sun)
    vehicle = shade_vehicle(model, camera.magnified(SUPERSAMPLING), weather.light, full, environment)
    if rng.random() < TEXTURED:
        background = _random_texture(weather, shape, rng)
    else:
        shadows = (sun, map_dimmed_ground(model.outside))
        backdrop = paint_backdrop(camera, place, weather, panorama, shadows, shape)
        background = air.add_fog(backdrop.light, backdrop.distance, weather)
    cover = _downsample(vehicle.cover.astype(np.float32), shape)[..., None]
    own = _downsample(vehicle.colour, shape)
    if weather.fog > 0:
        away = np.full(shape, np.linalg.norm(camera.position), np.float32)
        own = cover * air.add_fog(own / np.maximum(cover, 1e-3), away, weather)
    light = own + (1 - cover) * background
    behind = _downsample(vehicle.behind, shape)
    return Scene(light, behind, vehicle.surface, vehicle.through, cover[..., 0] > 0.5)


def _put_in_front(scene: Scene, camera: Camera, place: Place, weather: Weather, rng: np.random.Generator) -> None:
    """Paint what hides the vehicle: things on the road, fences and leaves near the camera."""
    for sprite, position in place.occluders:
        light = scene.light.copy()
        painted = paint_sprite(light, None, sprite, position, camera, weather)
        if painted is not None and scene.hidden_share(*painted) < MOST_HIDDEN:
            scene.light[:] = light
            scene.cover(*painted)
    shape = scene.light.shape[:2]
    brightness = (weather.light.horizon + 0.4 * weather.light.sun_colour)[:, 0]
    near = paint_near((shape[0], shape[1]), brightness, rng)
    if near is not None:
        light, opacity = near
        scene.light += opacity * (light - scene.light)
        scene.cover((slice(0, shape[0]), slice(0, shape[1])), opacity[..., 0])
    air.add_rain(scene.light, weather, rng)


def _through_lens(scene: Scene, glass: lens.Lens, weather: Weather, rng: np.random.Generator) -> Scene:
    """Return the scene as the lens shows it to the sensor."""
    shape = scene.light.shape[:2]
    source = lens.distortion_map(glass, (shape[0], shape[1]), 1)
    fine = lens.distortion_map(glass, (shape[0], shape[1]), SUPERSAMPLING)
    light = lens.spread_colours(lens.distort(scene.light, source), glass)
    air.add_glow(light, weather, rng)
    light = lens.blur(light, glass)
    lens.shade_edges(light, glass)
    surface, through = (lens.distort_layer(layer, fine) for layer in (scene.surface, scene.through))
    behind = lens.blur(lens.distort(scene.behind, source), glass)
    return replace(scene, light=light, behind=behind, surface=surface, through=through)


def _candidates(
    layers: Sequence[Bytes], model: Model, areas: Floats, shape: tuple[int, int]
) -> list[tuple[PartBox, Bytes | None, int]]:
    """Return the boxes of both layers in order of part number, as `distinct_boxes` takes them."""
    through = shrink_layer(layers[1], shape[1], shape[0])
    found = [
        (number, box, layer)
        for samples, layer in ((layers[0], None), (layers[1], through))
        for number, box in numbered_boxes((samples,), model.parts, areas, SUPERSAMPLING)
    ]
    return [(box, layer, number) for number, box, layer in sorted(found, key=lambda entry: entry[0])]


def _random_texture(weather: Weather, shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return a picture (H, W, 3) of several layers of noise and edges in random colours."""
    picture = np.zeros((*shape, 3), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        noise = noise_patch(float(rng.choice((0.7, 1.2, 1.7))), shape, float(np.exp(rng.uniform(-0.7, 1.5))), rng)
        if rng.random() < 0.5:
            noise = np.sign(noise - rng.normal()) + 0.15 * noise
        picture += noise[..., None] * (rng.normal(0, 0.5) + rng.normal(0, 0.15, 3)).astype(np.float32)
    level = float((weather.light.horizon + 0.5 * weather.light.sun_colour).mean())
    return np.asarray(level * np.exp(rng.uniform(-2.2, -0.3) + rng.uniform(0.3, 1.2) * picture).clip(0.01, 1.5))


def _downsample(picture: Floats, shape: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA))
