"""Which vehicle is photographed by which camera how often, and which picture serves for what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_cache.synthetic.dataset.settings import SyntheticSettings
from data_cache.synthetic.design.fleet import Vehicle
from data_cache.synthetic.geometry.camera import station


@dataclass(frozen=True)
class Shot:
    """One picture to be taken; cameras are 1-based, as are the pictures of one vehicle by one camera."""

    vehicle: int
    camera: int
    take: int
    split: str  # train, query or gallery

    @property
    def name(self) -> str:
        """POSIX path under the data set's root."""
        return f"images/{self.vehicle:04d}_c{self.camera:02d}_{self.take:02d}.jpg"


def plan_shots(settings: SyntheticSettings, vehicles: Sequence[Vehicle]) -> list[Shot]:
    """Return all pictures, vehicle after vehicle.

    Whole fleets go to training or to test. Of a test vehicle, every other camera gives its first picture as a query;
    the rest is gallery, so that each query has a match from another camera.
    """
    training = _training_fleets(settings)
    shots = []
    for vehicle in vehicles:
        cameras = _cameras_of(vehicle.number, settings)
        for place, camera in enumerate(cameras):
            for take in range(1, settings.images_per_camera + 1):
                is_query = take == 1 and place % 2 == 0 and (settings.images_per_camera > 1 or place < len(cameras) - 1)
                split = "train" if vehicle.fleet in training else "query" if is_query else "gallery"
                shots.append(Shot(vehicle.number, camera, take, split))
    return shots


def _training_fleets(settings: SyntheticSettings) -> set[int]:
    rng = np.random.default_rng(np.random.SeedSequence((settings.seed, 3)))
    count = min(settings.fleets - 1, max(1, round(settings.train_share * settings.fleets)))
    return {int(fleet) + 1 for fleet in rng.permutation(settings.fleets)[:count]}


def _cameras_of(vehicle: int, settings: SyntheticSettings) -> list[int]:
    """Draw the cameras (1-based, ascending) of a vehicle: among them one that sees fronts and one that does not."""
    rng = np.random.default_rng(np.random.SeedSequence((settings.seed, vehicle, 4)))
    wanted = settings.cameras_per_vehicle
    count = int(np.clip(rng.integers(wanted - 1, wanted + 2), 2, settings.cameras))
    order = [int(camera) for camera in rng.permutation(settings.cameras)]
    chosen, rest = order[:count], order[count:]
    for sees_front in (True, False):
        if all(_sees_front(camera, settings.seed) != sees_front for camera in chosen):
            chosen[-1] = next(
                (camera for camera in rest if _sees_front(camera, settings.seed) == sees_front), chosen[-1]
            )
    return sorted(camera + 1 for camera in chosen)


def _sees_front(camera: int, seed: int) -> bool:
    low, high = station(camera, seed).azimuth
    return abs(low + high) / 2 < 60
