"""Render one picture of the variety "wide": any viewpoint, place, weather and camera."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from data_cache.synthetic.geometry.arrays import Booleans, Bytes, Floats
from data_cache.synthetic.geometry.camera import Camera
from data_cache.synthetic.geometry.viewpoint import sample_crop
from data_cache.synthetic.scene.boxes import numbered_boxes, silhouette_areas, whole_parts
from data_cache.synthetic.scene.camera_effects import encode_jpeg
from data_cache.synthetic.scene.render import SUPERSAMPLING, Picture, downsample
from data_cache.synthetic.scene.shading import shade_vehicle
from data_cache.synthetic.scene.wide import air, lens, sensor
from data_cache.synthetic.scene.wide.contrast import distinct_boxes, is_resolved
from data_cache.synthetic.scene.wide.noise import noise_patch
from data_cache.synthetic.scene.wide.overlays import paint_near, write_label
from data_cache.synthetic.scene.wide.place.panorama import paint_panorama
from data_cache.synthetic.scene.wide.place.place import Place, paint_backdrop, sample_place
from data_cache.synthetic.scene.wide.place.standing import paint_sprite
from data_cache.synthetic.scene.wide.shadow import surround
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

    def cover(self, window: tuple[slice, slice], light: Floats, opacity: Floats) -> None:
        """Put something in front that sends `light` (h, w, 3) and has this opacity (h, w) in a window."""
        self.light[window] += opacity[..., None] * (light - self.light[window])
        self.behind[window] *= (1 - opacity)[..., None]
        rows, columns = (slice(part.start * SUPERSAMPLING, part.stop * SUPERSAMPLING) for part in window)
        hidden = np.repeat(np.repeat(opacity > 0.5, SUPERSAMPLING, axis=0), SUPERSAMPLING, axis=1)
        for layer in (self.surface, self.through):
            layer[rows, columns][hidden] = 0


def render_wide(model: Model, image_size: int, rng: np.random.Generator) -> Picture:
    """Render `model` from a random viewpoint, at a size of about `image_size` pixels (see `sample_crop`)."""
    corners = model.outside.corners[:, 0]
    crop = sample_crop(corners, image_size, rng)
    camera, shape = crop.camera, (crop.height, crop.width)
    weather = sample_weather(float(np.arctan2(camera.position[1], camera.position[0])), rng)
    place = sample_place(camera, corners[:, :2], rng)
    scene = _compose(model, camera, place, weather, shape, rng)
    _put_in_front(scene, camera, place, weather, rng)
    air.add_glow(scene.light, weather, rng)
    glass = lens.sample_lens(shape, rng)
    light, behind = lens.cast(scene.light, glass), lens.cast(scene.behind, glass)
    chip = sensor.sample_sensor(weather, shape, rng)
    develop = partial(sensor.develop, sensor=chip)
    picture = sensor.record(develop(light), chip, rng)
    write_label(picture, rng)
    for quality in chip.earlier_qualities:
        picture = sensor.compressed(picture, quality)

    surface, through = (lens.cast_layer(layer, glass, SUPERSAMPLING) for layer in (scene.surface, scene.through))
    layers = (*whole_parts(surface, model.parts), through)
    areas = silhouette_areas(model.parts, (model.outside, model.inside), camera.magnified(SUPERSAMPLING))
    spot_px = max(chip.reduction, 2 * glass.defocus)
    found = numbered_boxes(layers, model.parts, areas, SUPERSAMPLING)
    resolved = [(number, box) for number, box in found if is_resolved(box, spot_px)]
    shrunk = [layer[::SUPERSAMPLING, ::SUPERSAMPLING] for layer in layers]
    boxes = distinct_boxes(resolved, shrunk, light, behind, develop, chip.noise)
    return Picture(encode_jpeg(picture, chip.quality), crop.width, crop.height, tuple(boxes), layers)


def _compose(
    model: Model, camera: Camera, place: Place, weather: Weather, shape: tuple[int, int], rng: np.random.Generator
) -> Scene:
    """Return the scene of vehicle and place, seen through the air."""
    environment = surround(model.outside, paint_panorama(weather, rng), weather.light)
    full = (shape[0] * SUPERSAMPLING, shape[1] * SUPERSAMPLING)
    vehicle = shade_vehicle(model, camera.magnified(SUPERSAMPLING), weather.light, full, environment)
    if rng.random() < TEXTURED:
        background = _random_texture(weather, shape, rng)
    else:
        backdrop = paint_backdrop(camera, place, weather, environment, shape)
        clear = air.clear_share(backdrop.distance, weather)[..., None]
        background = clear * backdrop.light + (1 - clear) * weather.air
    own, behind, cover = (
        downsample(layer, shape[1], shape[0])
        for layer in (vehicle.colour, vehicle.behind, vehicle.cover.astype(np.float32))
    )
    clear = air.clear_share(float(np.linalg.norm(camera.position)), weather)
    share = cover[..., None]
    light = clear * own + share * (1 - clear) * weather.air + (1 - share) * background
    return Scene(light.astype(np.float32), clear * behind, vehicle.surface, vehicle.through, cover > 0.5)


def _put_in_front(scene: Scene, camera: Camera, place: Place, weather: Weather, rng: np.random.Generator) -> None:
    """Paint what hides the vehicle: things on the road, fences and leaves near the camera, rain."""
    shape = (scene.light.shape[0], scene.light.shape[1])
    for sprite, position in place.occluders:
        painted = paint_sprite(sprite, position, camera, weather.light, shape)
        if painted is not None and scene.hidden_share(painted.window, painted.opacity) < MOST_HIDDEN:
            scene.cover(painted.window, painted.light, painted.opacity)
    brightness = (weather.light.horizon + 0.4 * weather.light.sun_colour)[:, 0]
    near = paint_near(shape, brightness, rng)
    if near is not None:
        scene.cover((slice(0, shape[0]), slice(0, shape[1])), *near)
    air.add_rain(scene.light, weather, rng)


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
