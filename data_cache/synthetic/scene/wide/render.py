"""Render one picture of the variety "wide": any viewpoint, place, weather and camera."""

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.camera import ROAD_CAMERAS
from data_cache.synthetic.geometry.viewpoint import sample_crop
from data_cache.synthetic.scene.boxes import unoccluded_areas, visible_boxes
from data_cache.synthetic.scene.camera_effects import apply_camera_effects, encode_jpeg, sample_camera_effects
from data_cache.synthetic.scene.light import sample_light
from data_cache.synthetic.scene.occluders import paint_occluders
from data_cache.synthetic.scene.render import SUPERSAMPLING, Picture
from data_cache.synthetic.scene.shading import shade_vehicle
from data_cache.synthetic.scene.surroundings import paint_background, paint_others, sample_surroundings
from data_cache.synthetic.vehicle.model import Model


def render_wide(model: Model, image_size: int, rng: np.random.Generator) -> Picture:
    """Render `model` from a random viewpoint, at a size of about `image_size` pixels (see `sample_crop`)."""
    crop = sample_crop(model.outside.corners[:, 0], image_size, rng)
    camera, width, height = crop.camera, crop.width, crop.height
    supersampled = camera.magnified(SUPERSAMPLING)
    light = sample_light(rng, 1.0)
    surroundings = sample_surroundings(rng)
    vehicle = shade_vehicle(model, supersampled, light, (height * SUPERSAMPLING, width * SUPERSAMPLING))
    background = paint_background(camera, surroundings, light, (height, width))
    background = np.ascontiguousarray(background.transpose(1, 2, 0), np.float32)
    paint_others(background, camera, surroundings, light)
    cover = _downsample(vehicle.cover.astype(np.float32), width, height)[..., None]
    scene = _downsample(vehicle.colour, width, height) + (1 - cover) * background
    occluder, opacity = paint_occluders(rng, (height, width), light)
    scene += opacity * (occluder - scene)
    effects = sample_camera_effects(ROAD_CAMERAS[int(rng.integers(len(ROAD_CAMERAS)))], width, rng)
    picture = apply_camera_effects(scene, effects, rng)
    visible = np.repeat(np.repeat(opacity[..., 0] < 0.5, SUPERSAMPLING, axis=0), SUPERSAMPLING, axis=1)
    layers = (vehicle.surface * visible, vehicle.through * visible)
    areas = unoccluded_areas(model.parts, (model.outside, model.inside), supersampled)
    boxes = visible_boxes(layers, model.parts, areas, SUPERSAMPLING)
    return Picture(encode_jpeg(picture, effects.quality), width, height, tuple(boxes), layers)


def _downsample(picture: Floats, width: int, height: int) -> Floats:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
