"""One picture from end to end: viewpoint, crop, vehicle, surroundings, occluders, lens, boxes."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from data_cache.synthetic.geometry.arrays import Bytes, Floats
from data_cache.synthetic.geometry.camera import SENSOR_WIDTH_PX, Camera, Station, look_at
from data_cache.synthetic.scene.boxes import PartBox, unhidden_areas, visible_boxes
from data_cache.synthetic.scene.occluders import draw_occluders
from data_cache.synthetic.scene.photograph import develop, draw_development, encode_jpeg
from data_cache.synthetic.scene.shading import photograph_vehicle
from data_cache.synthetic.scene.surroundings import cast_shadow, draw_surroundings, paint_background, paint_others
from data_cache.synthetic.scene.weather import draw_light
from data_cache.synthetic.vehicle.model import Model

ENLARGED = 2  # samples a pixel along each axis
NARROWEST, WIDEST = 0.42, 1.9  # crop width, of the median
FRAME_WIDTHS = 4.9  # a full frame is this many median crops wide
ZOOMED = 0.18  # spread of the zoom from picture to picture
CUT, CUT_AWAY = 0.14, (0.05, 0.28)  # share of the pictures that lose a side of the vehicle, and how much of it
SWAYED = (-5.0, 2.0)  # degrees that a vehicle is seen lower or higher than its camera's range tells
EVENED = 0.6  # how far the cameras' zoom evens out the widths of crops: 0 not at all, 1 fully


@dataclass(frozen=True)
class Picture:
    """A finished picture and its parts; `layers` are the part numbers behind the boxes, enlarged by ENLARGED."""

    jpeg: bytes
    width: int
    height: int
    boxes: tuple[PartBox, ...]
    layers: tuple[Bytes, Bytes]


def render(model: Model, station: Station, image_size: int, rng: np.random.Generator) -> Picture:
    """Photograph `model` from a pose drawn within the range of `station`; crops are about `image_size` wide."""
    camera, width, height = _frame(model, station, image_size, rng)
    fine = replace(camera, focal_px=camera.focal_px * ENLARGED, centre_px=_scaled(camera.centre_px))
    light = draw_light(rng, station.exposure)
    place = draw_surroundings(rng)
    seen = photograph_vehicle(model, fine, light, (height * ENLARGED, width * ENLARGED))
    background = paint_background(camera, place, light, (height, width))
    background *= cast_shadow(model.outside, camera, light, (height, width))
    background = np.ascontiguousarray(background.transpose(1, 2, 0), np.float32)
    paint_others(background, camera, place, light)
    share = _shrunk(seen.cover.astype(np.float32), width, height)[..., None]
    vehicle = _shrunk(seen.colour, width, height)
    scene = vehicle + (1 - share) * background
    veil, opacity = draw_occluders(rng, (height, width), light)
    scene += opacity * (veil - scene)
    development = draw_development(station, width, rng)
    picture = develop(scene, development, rng)
    open_ = np.repeat(np.repeat(opacity[..., 0] < 0.5, ENLARGED, axis=0), ENLARGED, axis=1)
    layers = (seen.surface * open_, seen.through * open_)
    extent = unhidden_areas(model.parts, (model.outside, model.inside), fine)
    boxes = visible_boxes(layers, model.parts, extent, ENLARGED)
    return Picture(encode_jpeg(picture, development.quality), width, height, tuple(boxes), layers)


def _scaled(centre: tuple[float, float]) -> tuple[float, float]:
    return centre[0] * ENLARGED, centre[1] * ENLARGED


def _shrunk(picture: Floats, width: int, height: int) -> Floats:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _frame(model: Model, station: Station, image_size: int, rng: np.random.Generator) -> tuple[Camera, int, int]:
    """Draw the pose, and return the camera whose picture is the crop around the vehicle, with the crop's size."""
    azimuth = np.radians(rng.uniform(*station.azimuth))
    elevation = np.radians(max(6.0, rng.uniform(*station.elevation) + rng.uniform(*SWAYED)))
    farther = np.exp(rng.uniform(-0.1, 0.8))  # with a longer lens, which flattens the perspective
    distance = rng.uniform(*station.distance) * farther
    toward = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    target = np.array([rng.normal(0, 0.3), rng.normal(0, 0.2), rng.uniform(0.4, 0.9)])
    focal = station.focal_px * farther * image_size / SENSOR_WIDTH_PX * FRAME_WIDTHS
    camera = look_at(target + distance * toward, target, focal, roll=rng.normal(0, 0.025))
    screen, _ = camera.project(model.outside.corners[:, 0])
    low, high = screen.min(axis=0), screen.max(axis=0)
    margin = _margins(rng) * (high - low).repeat(2)
    left, right = low[0] - margin[0], high[0] + margin[1]
    top, bottom = low[1] - margin[2], high[1] + margin[3]
    share = ((right - left) / image_size) ** (1 - EVENED) * np.exp(rng.normal(0, ZOOMED))
    zoom = float(np.clip(share, NARROWEST, WIDEST)) * image_size / (right - left)
    width, height = max(24, round((right - left) * zoom)), max(24, round((bottom - top) * zoom))
    return replace(camera, focal_px=focal * zoom, centre_px=(-left * zoom, -top * zoom)), width, height


def _margins(rng: np.random.Generator) -> Floats:
    """Draw the crop's room (left, right, top, bottom) in shares of the vehicle's extent, negative where cut."""
    margin = rng.uniform(-0.02, 0.14, 4)
    if rng.random() < CUT:
        margin[rng.integers(4)] = -rng.uniform(*CUT_AWAY)
    return np.asarray(margin)
