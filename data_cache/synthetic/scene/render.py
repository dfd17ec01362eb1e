"""Render one picture: sample the pose, the light and the surroundings, shade the vehicle and find its part boxes."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import SENSOR_WIDTH_PX, RoadCamera, look_at
from data_cache.synthetic.geometry.viewpoint import Crop, crop_at, edges_around
from data_cache.synthetic.scene.boxes import PartBox, unoccluded_areas, visible_boxes
from data_cache.synthetic.scene.camera_effects import apply_camera_effects, encode_jpeg, sample_camera_effects
from data_cache.synthetic.scene.light import sample_light
from data_cache.synthetic.scene.occluders import paint_occluders
from data_cache.synthetic.scene.shading import shade_vehicle
from data_cache.synthetic.scene.surroundings import cast_shadow, paint_background, paint_others, sample_surroundings
from data_cache.synthetic.vehicle.model import Model

SUPERSAMPLING = 2  # samples per pixel along each axis
MIN_WIDTH, MAX_WIDTH = 0.42, 1.9  # of a crop, as a share of the median
FRAME_WIDTHS = 4.9  # a full frame is this many median crops wide
ZOOM_SPREAD = 0.18  # standard deviation of the logarithm of the zoom
WIDTH_EQUALISATION = 0.6  # 0: crops are as wide as the vehicle appears, 1: all crops have the median width
TRUNCATED, TRUNCATION = 0.14, (0.05, 0.28)  # share of the pictures that cut off a side of the vehicle, and how much
ELEVATION_JITTER = (-5.0, 2.0)  # degrees beyond the road camera's range


@dataclass(frozen=True)
class Picture:
    """A rendered picture; `layers` are supersampled part numbers, the last one of what is behind the windshield."""

    jpeg: bytes
    width: int
    height: int
    boxes: tuple[PartBox, ...]
    layers: tuple[Bytes, ...]


def render(model: Model, road_camera: RoadCamera, image_size: int, rng: np.random.Generator) -> Picture:
    """Render `model` from a pose within the range of `road_camera`, cropped to about `image_size` pixels width."""
    crop = _sample_crop(model, road_camera, image_size, rng)
    camera, width, height = crop.camera, crop.width, crop.height
    supersampled = camera.magnified(SUPERSAMPLING)
    light = sample_light(rng, road_camera.exposure)
    surroundings = sample_surroundings(rng)
    vehicle = shade_vehicle(model, supersampled, light, (height * SUPERSAMPLING, width * SUPERSAMPLING))
    background = paint_background(camera, surroundings, light, (height, width))
    background *= cast_shadow(model.outside, camera, light, (height, width))
    background = np.ascontiguousarray(background.transpose(1, 2, 0), np.float32)
    paint_others(background, camera, surroundings, light)
    cover = downsample(vehicle.cover.astype(np.float32), width, height)[..., None]
    scene = downsample(vehicle.colour, width, height) + (1 - cover) * background
    occluder, opacity = paint_occluders(rng, (height, width), light)
    scene += opacity * (occluder - scene)
    effects = sample_camera_effects(road_camera, width, rng)
    picture = apply_camera_effects(scene, effects, rng)
    visible = np.repeat(np.repeat(opacity[..., 0] < 0.5, SUPERSAMPLING, axis=0), SUPERSAMPLING, axis=1)
    layers = (vehicle.surface * visible, vehicle.through * visible)
    areas = unoccluded_areas(model.parts, (model.outside, model.inside), supersampled)
    boxes = visible_boxes(layers, model.parts, areas, SUPERSAMPLING)
    return Picture(encode_jpeg(picture, effects.quality), width, height, tuple(boxes), layers)


def downsample(picture: Floats, width: int, height: int) -> Floats:
    """Return a supersampled picture (H, W) or (H, W, C) averaged to `width` by `height` pixels."""
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _sample_crop(model: Model, road_camera: RoadCamera, image_size: int, rng: np.random.Generator) -> Crop:
    """Sample a pose and return the crop around the vehicle."""
    azimuth = np.radians(rng.uniform(*road_camera.azimuth))
    elevation = np.radians(max(6.0, rng.uniform(*road_camera.elevation) + rng.uniform(*ELEVATION_JITTER)))
    farther = np.exp(rng.uniform(-0.1, 0.8))  # with a proportionally longer lens, which flattens the perspective
    distance = rng.uniform(*road_camera.distance) * farther
    toward = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    target = np.array([rng.normal(0, 0.3), rng.normal(0, 0.2), rng.uniform(0.4, 0.9)])
    focal = road_camera.focal_px * farther * image_size / SENSOR_WIDTH_PX * FRAME_WIDTHS
    camera = look_at(target + distance * toward, target, focal, roll=rng.normal(0, 0.025))
    shares = rng.uniform(-0.02, 0.14, 4)  # of the vehicle's extent, left, right, top and bottom
    if rng.random() < TRUNCATED:
        shares[rng.integers(4)] = -rng.uniform(*TRUNCATION)
    left, _, right, _ = edges = edges_around(camera, model.outside.corners[:, 0], shares)
    share = ((right - left) / image_size) ** (1 - WIDTH_EQUALISATION) * np.exp(rng.normal(0, ZOOM_SPREAD))
    zoom = float(np.clip(share, MIN_WIDTH, MAX_WIDTH)) * image_size / (right - left)
    return crop_at(camera, edges, zoom)
