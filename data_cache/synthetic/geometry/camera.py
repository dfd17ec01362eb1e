"""The pinhole camera, and the road-side cameras of the synthetic data set."""

from dataclasses import dataclass, replace

import numpy as np

from data_cache.synthetic.geometry.arrays import Floats

SENSOR_WIDTH_PX = 1920  # width of the full frame that focal lengths refer to


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in vehicle axes: x ahead, y left, z up; the rows of `rotation` point right, down and forward."""

    position: Floats  # (3,) metres
    rotation: Floats  # (3, 3)
    focal_px: float
    centre_px: tuple[float, float] = (0.0, 0.0)  # column, row of the principal point

    def magnified(self, factor: float) -> "Camera":
        """Return the camera of the same picture with `factor` times as many pixels along each axis."""
        column, row = self.centre_px
        return replace(self, focal_px=self.focal_px * factor, centre_px=(column * factor, row * factor))

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Return pixels (..., 2) as (column, row) and depths (...) in metres of points (..., 3)."""
        local = (points - self.position) @ self.rotation.T
        depth = local[..., 2]
        return local[..., :2] / depth[..., None] * self.focal_px + np.asarray(self.centre_px), depth

    def rays(self, columns: Floats, rows: Floats) -> Floats:
        """Return the ray directions (3, ...) float32 through pixel positions, in vehicle axes, not normalised."""
        across = ((columns - self.centre_px[0]) / self.focal_px).astype(np.float32)
        down = ((rows - self.centre_px[1]) / self.focal_px).astype(np.float32)
        right, below, ahead = self.rotation.astype(np.float32)
        return np.stack([across * right[axis] + down * below[axis] + ahead[axis] for axis in range(3)])


def look_at(position: Floats, target: Floats, focal_px: float, roll: float = 0.0) -> Camera:
    """Return the camera at `position` looking at `target` (metres), rolled by `roll` radians about its axis."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(roll), np.sin(roll)
    rotation = np.stack([cosine * right + sine * down, cosine * down - sine * right, forward])
    return Camera(np.asarray(position, dtype=np.float64), rotation, focal_px)


@dataclass(frozen=True)
class RoadCamera:
    """A road-side camera: the viewpoints from which it sees vehicles and its image quality. Ranges are (low, high)."""

    azimuth: tuple[float, float]  # degrees from the vehicle's nose, positive towards its left side
    elevation: tuple[float, float]  # degrees above the horizon
    distance: tuple[float, float]  # metres
    focal_px: float  # for a frame of SENSOR_WIDTH_PX
    exposure: float  # factor on all light
    white_balance: tuple[float, float, float]  # factors on red, green, blue
    blur: tuple[float, float]  # standard deviation in pixels of a 200-pixel crop
    noise: float  # standard deviation, of 255
    quality: tuple[int, int]  # JPEG


ROAD_CAMERAS: tuple[RoadCamera, ...] = (
    RoadCamera((-16, 16), (14, 22), (11, 19), 1500, 1.00, (1.00, 1.00, 1.00), (0.2, 0.7), 2.5, (72, 92)),
    RoadCamera((148, 198), (13, 24), (11, 19), 1450, 0.95, (1.05, 1.00, 0.94), (0.2, 0.8), 3.5, (70, 90)),
    RoadCamera((20, 48), (11, 19), (10, 17), 1600, 1.10, (0.95, 1.00, 1.07), (0.3, 0.9), 3.0, (65, 88)),
    RoadCamera((76, 106), (9, 18), (12, 20), 1350, 1.00, (1.02, 1.00, 1.01), (0.2, 0.8), 3.0, (72, 92)),
    RoadCamera((-50, -22), (16, 27), (10, 18), 1500, 0.88, (1.07, 1.00, 0.90), (0.3, 1.0), 4.5, (60, 85)),
    RoadCamera((-166, -128), (15, 27), (11, 18), 1550, 1.05, (0.97, 1.00, 1.05), (0.2, 0.9), 3.0, (68, 90)),
    RoadCamera((-12, 14), (27, 40), (9, 14), 1250, 1.04, (0.99, 1.01, 1.00), (0.1, 0.6), 2.0, (78, 95)),
    RoadCamera((-140, -80), (20, 32), (12, 19), 1400, 0.92, (1.04, 1.00, 0.97), (0.3, 0.9), 4.0, (62, 86)),
)


def road_camera(number: int, seed: int) -> RoadCamera:
    """Return camera `number` (0-based): a row of ROAD_CAMERAS or, past its end, a random variation of one."""
    base = ROAD_CAMERAS[number % len(ROAD_CAMERAS)]
    if number < len(ROAD_CAMERAS):
        return base
    rng = np.random.default_rng((seed, number, 17))
    turn, lift = rng.uniform(-12, 12), rng.uniform(-3, 5)
    red, _, blue = base.white_balance
    return replace(
        base,
        azimuth=(base.azimuth[0] + turn, base.azimuth[1] + turn),
        elevation=(max(7.0, base.elevation[0] + lift), max(9.0, base.elevation[1] + lift)),
        focal_px=base.focal_px * rng.uniform(0.9, 1.1),
        exposure=base.exposure * rng.uniform(0.85, 1.15),
        white_balance=(red * rng.uniform(0.95, 1.05), 1.0, blue * rng.uniform(0.95, 1.05)),
        noise=base.noise * rng.uniform(0.7, 1.3),
    )
