"""What a synthetic data set is asked to be, and the fixed sets that results are told of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.datasets.csv_file import MARK, is_rendered

RENDERER_VERSION = 2  # raised whenever the same settings give other pictures or boxes
MOST_CAMERAS = 99  # two digits in file names
MOST_VEHICLES = 9999  # four digits


@dataclass(frozen=True)
class SyntheticSettings:
    """Size and seed of a synthetic data set. Raises UserError where a value makes no data set."""

    vehicles: int = 150
    cameras: int = 8  # the first of the table in camera.py; more are variations of these
    cameras_per_vehicle: int = 5  # on average; between one fewer and one more
    images_per_camera: int = 2  # of one vehicle
    fleet_size: int = 3  # vehicles that share body, trim and colour
    image_size: int = 200  # median width of a picture in pixels
    seed: int = 0
    train_share: float = 0.7  # of the fleets; the others are for testing

    def __post_init__(self) -> None:
        limits = {
            "vehicles": (2, MOST_VEHICLES),
            "cameras": (2, MOST_CAMERAS),
            "cameras_per_vehicle": (2, self.cameras),
            "images_per_camera": (1, 99),
            "fleet_size": (1, self.vehicles),
            "image_size": (48, 1000),
            "seed": (0, 2**32 - 1),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"synthetic data: {name} must lie between {low} and {high}, not {value}")
        if not 0 < self.train_share < 1:
            raise UserError(f"synthetic data: train_share must lie between 0 and 1, not {self.train_share}")
        if self.fleets < 2:
            raise UserError(
                f"synthetic data: {self.vehicles} vehicles in fleets of {self.fleet_size} make one fleet, "
                "and a fleet is never parted between training and test; ask for more vehicles or smaller fleets"
            )

    @property
    def fleets(self) -> int:
        """Number of fleets; the last may be smaller."""
        return -(-self.vehicles // self.fleet_size)

    def recorded(self) -> dict[str, int | float]:
        """Return what decides every byte of the data set: settings and the renderer's version."""
        return {"renderer_version": RENDERER_VERSION, **asdict(self)}


FIXED = {"fleets480": SyntheticSettings(vehicles=480, seed=1)}  # a name stands for these settings, whatever comes


def title(recorded: Mapping[str, Any]) -> str:
    """Return how a set is told of, by what it recorded: its name or its size and seed, and the renderer's version.

    >>> title(FIXED["fleets480"].recorded())
    'fleets480 of renderer 2'
    >>> title(SyntheticSettings(vehicles=30, seed=7).recorded())
    '30 vehicles of seed 7 of renderer 2'
    """
    asked = {name: value for name, value in recorded.items() if name != "renderer_version"}
    known = (name for name, settings in FIXED.items() if asked == asdict(settings))
    whose = next(known, None) or f"{asked.get('vehicles')} vehicles of seed {asked.get('seed')}"
    return f"{whose} of renderer {recorded.get('renderer_version')}"


def rendered_set(root: Path) -> str | None:
    """Return how a rendered set is told of, its name or size and seed, with the renderer's version; None for others."""
    from data_cache.synthetic.dataset.settings import title  # loads the renderer, which few data sets need

    mark = read_json(root / MARK) if is_rendered(root) else None
    settings = mark.get("settings") if isinstance(mark, dict) else None
    return title(settings) if isinstance(settings, dict) else None
