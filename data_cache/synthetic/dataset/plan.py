"""The plan of a data set: which camera takes how many pictures of which vehicle, and their splits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.dataset.settings import SyntheticSettings
from data_cache.synthetic.design.traits import Vehicle
from data_cache.synthetic.geometry.camera import road_camera


@dataclass(frozen=True)
class Shot:
    """One planned picture; `camera` is 1-based, `take` counts from 1 per vehicle and camera."""

    vehicle: int
    camera: int
    take: int
    split: str  # train, query or gallery

    @property
    def name(self) -> str:
        """POSIX path below the data set's root."""
        return f"images/{self.vehicle:04d}_c{self.camera:02d}_{self.take:02d}.jpg"


def plan_shots(settings: SyntheticSettings, vehicles: Sequence[Vehicle]) -> list[Shot]:
    """Return all shots, ordered by vehicle.

    A fleet is never divided between training and test. The first take of every other camera of a test vehicle is a
    query, everything else is gallery, so each query has a match by another camera. Vehicles that are to be absent have
    queries only.
    """
    training = _sample_training_fleets(settings)
    absent = _sample_absent([vehicle.number for vehicle in vehicles if vehicle.fleet not in training], settings)
    takes = settings.images_per_camera
    shots = []
    for vehicle in vehicles:
        cameras = _sample_cameras(vehicle.number, settings)
        for index, camera in enumerate(cameras):
            for take in range(1, takes + 1):
                is_query = take == 1 and index % 2 == 0 and (takes > 1 or index < len(cameras) - 1)
                split = "train" if vehicle.fleet in training else "query" if is_query else "gallery"
                if split != "gallery" or vehicle.number not in absent:
                    shots.append(Shot(vehicle.number, camera, take, split))
    return shots


def _sample_training_fleets(settings: SyntheticSettings) -> set[int]:
    rng = np.random.default_rng((settings.seed, 3))
    count = min(settings.fleets - 1, max(1, round(settings.train_share * settings.fleets)))
    return {int(fleet) + 1 for fleet in rng.permutation(settings.fleets)[:count]}


def _sample_absent(tested: Sequence[int], settings: SyntheticSettings) -> set[int]:
    """Sample test vehicles by their share; one at least stays in the gallery."""
    order = np.random.default_rng((settings.seed, 5)).permutation(tested)
    return set(order[: min(len(tested) - 1, round(settings.absent * len(tested)))].tolist())


def _sample_cameras(vehicle: int, settings: SyntheticSettings) -> list[int]:
    """Sample the cameras (1-based, ascending) of a vehicle, with at least one front view and one other view."""
    rng = np.random.default_rng((settings.seed, vehicle, 4))
    mean = settings.cameras_per_vehicle
    count = int(np.clip(rng.integers(mean - 1, mean + 2), 2, settings.cameras))
    order = [int(camera) for camera in rng.permutation(settings.cameras)]
    chosen, rest = order[:count], order[count:]
    for front in (True, False):
        if all(_sees_front(camera, settings.seed) != front for camera in chosen):
            fitting = (camera for camera in rest if _sees_front(camera, settings.seed) == front)
            chosen[-1] = next(fitting, chosen[-1])
    return sorted(camera + 1 for camera in chosen)


def _sees_front(camera: int, seed: int) -> bool:
    low, high = road_camera(camera, seed).azimuth
    return abs(low + high) / 2 < 60
