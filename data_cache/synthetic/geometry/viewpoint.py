"""Viewpoints anywhere around a vehicle: from eye level to a bridge, near and far, with the crop around the vehicle."""

from dataclasses import dataclass, replace

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats
from data_cache.synthetic.geometry.camera import Camera, look_at

EYE_LEVEL, LOW = 0.38, 0.17  # shares of the pictures from EYE_HEIGHT and from LOW_ELEVATION
EYE_HEIGHT = (0.9, 1.9)  # metres above the road
LOW_ELEVATION, HIGH_ELEVATION = (3.0, 15.0), (12.0, 40.0)  # degrees above the horizon
FRONT, REAR, SPREAD = 0.25, 0.15, 0.6  # shares of the pictures about front and rear, within about SPREAD radians
GAP = (2.8, 36.0)  # metres from the camera to the vehicle's nearest corner along the road
NEAREST = 0.5  # the least gap, as a share of the vehicle's visible width
WIDTHS = (0.45, 3.0)  # width of a picture, as a share of the requested size
MOST_HEIGHT = 3.4  # of a picture, in requested sizes
SMALLEST = 24  # pixels
MARGINS = ((-0.01, 0.08), (0.0, 0.22), (0.08, 0.5))  # tight, medium and loose, as shares of the vehicle's extent
MARGIN_SHARES = (0.4, 0.35, 0.25)
TRUNCATED, TRUNCATION = 0.12, (0.05, 0.35)  # share of the pictures that cut off a side of the vehicle, and how much
OFF_AXIS = 0.12  # standard deviation of the vehicle's place in the full frame, as a share of the distance
ROLLED = 0.2  # share of the pictures that are rolled visibly


@dataclass(frozen=True)
class Crop:
    """The camera that sees a crop around the vehicle, and the crop's size in pixels."""

    camera: Camera
    width: int
    height: int


def edges_around(camera: Camera, points: Floats, shares: Floats) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom around the picture of `points` (N, 3), in pixels.

    `shares` (4,) are the margins at the left, right, top and bottom, as shares of the extent; negative ones cut it off.
    """
    screen, _ = camera.project(points)
    low, high = screen.min(axis=0), screen.max(axis=0)
    margin = shares * (high - low).repeat(2)
    return low[0] - margin[0], low[1] - margin[2], high[0] + margin[1], high[1] + margin[3]


def crop_at(camera: Camera, edges: tuple[float, float, float, float], zoom: float) -> Crop:
    """Return the crop at these edges (left, top, right, bottom), magnified by `zoom`."""
    left, top, right, bottom = edges
    size = (max(SMALLEST, round((right - left) * zoom)), max(SMALLEST, round((bottom - top) * zoom)))
    return Crop(replace(camera, focal_px=camera.focal_px * zoom, centre_px=(-left * zoom, -top * zoom)), *size)


def sample_crop(points: Floats, image_size: int, rng: np.random.Generator) -> Crop:
    """Sample a viewpoint of the vehicle that fills `points` (N, 3), and a crop around it; see WIDTHS for its size."""
    camera = _sample_camera(points, rng)
    shares = rng.uniform(*MARGINS[int(rng.choice(len(MARGINS), p=MARGIN_SHARES))], 4)  # left, right, top, bottom
    if rng.random() < TRUNCATED:
        shares[rng.integers(4)] = -rng.uniform(*TRUNCATION)
    left, top, right, bottom = edges = edges_around(camera, points, shares)
    width = image_size * np.exp(rng.uniform(*np.log(WIDTHS)))
    zoom = float(min(width / (right - left), MOST_HEIGHT * image_size / (bottom - top)))
    return crop_at(camera, edges, zoom)


def _sample_camera(points: Floats, rng: np.random.Generator) -> Camera:
    """Sample a camera outside the bounding box of `points` that has all of it before it; its focal length is 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2
    azimuth = _sample_azimuth(rng)
    toward = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    reach = float(half[:2] @ np.abs(toward[:2]))  # so that the nearest corner is at least GAP away
    visible = 2 * float(half[0] * abs(toward[1]) + half[1] * abs(toward[0]))
    distance = reach + max(float(np.exp(rng.uniform(*np.log(GAP)))), NEAREST * visible)
    kind = rng.random()
    if kind < EYE_LEVEL:
        height = rng.uniform(*EYE_HEIGHT)
    else:
        degrees = rng.uniform(*(LOW_ELEVATION if kind < EYE_LEVEL + LOW else HIGH_ELEVATION))
        height = centre[2] + np.tan(np.radians(degrees)) * distance
    offset = np.clip(rng.normal(0, OFF_AXIS, 2), -0.3, 0.3) * distance
    target = centre + np.array([-toward[1] * offset[0], toward[0] * offset[0], 0.7 * offset[1]])
    position = np.array([*(centre + distance * toward)[:2], height])
    return look_at(position, target, 1.0, roll=rng.normal(0, 0.07 if rng.random() < ROLLED else 0.015))


def _sample_azimuth(rng: np.random.Generator) -> float:
    """Sample the direction of the camera in radians: 0 before the nose, positive to the vehicle's left."""
    kind = rng.random()
    if kind < FRONT + REAR:
        return float(rng.normal(0.0 if kind < FRONT else np.pi, SPREAD))
    return rng.uniform(-np.pi, np.pi)
