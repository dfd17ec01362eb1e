"""The settings that decide every byte of a synthetic data set, and the named sets that published results use."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.datasets.csv_file import RENDERING_FILE, is_rendered
from data_cache.synthetic.design.traits import Variety

# raise a number whenever the same settings of that variety give different pictures or boxes
RENDERER_VERSIONS: dict[Variety, int] = {"fleets": 2, "wide": 3}


@dataclass(frozen=True)
class SyntheticSettings:
    """Size and seed of a synthetic data set. Raises UserError for values out of range."""

    vehicles: int = 150
    cameras: int = 8  # see ROAD_CAMERAS in geometry/camera.py
    cameras_per_vehicle: int = 5  # mean; a vehicle may have one fewer or one more
    images_per_camera: int = 2  # per vehicle
    fleet_size: int = 3  # vehicles that share body, trim and colour
    image_size: int = 200  # median image width in pixels
    seed: int = 0
    train_share: float = 0.7  # share of the fleets used for training
    variety: Variety = "fleets"  # wide: more kinds of vehicles, viewpoints, places and weather
    absent: float = 0.0  # share of the test vehicles without any gallery image, for open-set tests

    def __post_init__(self) -> None:
        limits = {
            "vehicles": (2, 9999),  # four digits in file names
            "cameras": (2, 99),  # two digits
            "cameras_per_vehicle": (2, self.cameras),
            "images_per_camera": (1, 99),
            "fleet_size": (1, self.vehicles),
            "image_size": (48, 1000),
            "seed": (0, 2**32 - 1),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"synthetic data: {name} must be between {low} and {high}, not {value}")
        if self.variety not in get_args(Variety):
            raise UserError(f"synthetic data: variety must be one of {get_args(Variety)}, not {self.variety!r}")
        if not 0 < self.train_share < 1:
            raise UserError(f"synthetic data: train_share must be between 0 and 1, not {self.train_share}")
        if not 0 <= self.absent < 1:
            raise UserError(f"synthetic data: absent must be from 0 to below 1, not {self.absent}")
        if self.fleets < 2:
            raise UserError(
                f"synthetic data: {self.vehicles} vehicles in fleets of {self.fleet_size} make one fleet, "
                "but training and test need a fleet each; use more vehicles or smaller fleets"
            )

    @property
    def fleets(self) -> int:
        """Number of fleets; the last one may be smaller."""
        return -(-self.vehicles // self.fleet_size)

    def to_dict(self) -> dict[str, int | float | str]:
        """Return everything that decides the bytes of the data set: the settings and the renderer's version.

        Settings that came later are left out at the values that data sets had before them.
        """
        settings = {name: value for name, value in asdict(self).items() if LATER.get(name) != value}
        return {"renderer_version": RENDERER_VERSIONS[self.variety], **settings}


LATER = {"variety": "fleets", "absent": 0.0}  # settings that came later, with what was before them
FIXED = {  # never change the settings behind a name
    "fleets480": SyntheticSettings(vehicles=480, seed=1),
    # the same vehicles and cameras at the size of real crops, of which a network at 128 to 224 pixels sees little
    "fleets480v2": SyntheticSettings(vehicles=480, seed=1, image_size=420),
}


def describe_rendering(root: Path) -> str | None:
    """Return a short description of the rendered data set at `root`, None if it was not rendered.

    It is "fleets480 (renderer 2)" for a set in FIXED, "30 vehicles, seed 7 (renderer 2)" for others.
    """
    mark = read_json(root / RENDERING_FILE) if is_rendered(root) else None
    recorded = mark.get("settings") if isinstance(mark, dict) else None
    if not isinstance(recorded, dict):
        return None
    version = recorded.get("renderer_version")
    for name, settings in FIXED.items():
        if recorded == {**settings.to_dict(), "renderer_version": version}:
            return f"{name} (renderer {version})"
    return f"{recorded.get('vehicles')} vehicles, seed {recorded.get('seed')} (renderer {version})"
