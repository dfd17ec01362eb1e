"""Tiny synthetic data sets in the layouts of the benchmarks, with every picture traced to its shot by its bytes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.synthetic import LAYOUTS, SyntheticSettings, write_synthetic
from data_cache.synthetic.dataset.plan import Shot, plan_shots
from data_cache.synthetic.design.sampling import sample_vehicles

# four test vehicles, so that the three test sizes differ
TWO_TAKES = SyntheticSettings(
    vehicles=8,
    fleet_size=1,
    cameras=4,
    cameras_per_vehicle=3,
    images_per_camera=2,
    image_size=48,
    seed=2,
    train_share=0.5,
)
ONE_TAKE = SyntheticSettings(
    vehicles=4,
    fleet_size=2,
    cameras=3,
    cameras_per_vehicle=2,
    images_per_camera=1,
    image_size=48,
    seed=5,
    train_share=0.5,
)


class ShotRow(NamedTuple):
    """A row of a data set's table, and the shot of its picture."""

    name: str
    vehicle: str
    camera: int
    split: str
    shot: Shot


class Written(NamedTuple):
    """A written data set as its reader returns it."""

    dataset: Dataset
    rows: list[ShotRow]


def planned(settings: SyntheticSettings) -> list[Shot]:
    return plan_shots(settings, sample_vehicles(settings.vehicles, settings.fleet_size, settings.seed))


def write(layout: str, data_root: Path, settings: SyntheticSettings) -> Path:
    """Write a data set below `data_root` and return its folder."""
    chosen = LAYOUTS[layout]
    return write_synthetic(settings, data_root / chosen.folders[0], workers=0, layout=chosen)


def write_all(data_root: Path, settings: SyntheticSettings, layouts: Iterable[str]) -> dict[str, Written]:
    """Write data sets in these layouts, and in the renderer's own, whose names identify the shots by their bytes."""
    plain = write("synthetic", data_root, settings)
    shots = {(plain / shot.name).read_bytes(): shot for shot in planned(settings)}
    written = {}
    for layout in layouts:
        write(layout, data_root, settings)
        dataset = load_dataset(layout, data_root)
        table = dataset.table[["name", "vehicle_id", "camera_id", "split"]]
        rows = [ShotRow(*row, shots[dataset.path(row[0]).read_bytes()]) for row in table.to_numpy().tolist()]
        written[layout] = Written(dataset, rows)
    return written


def splits_of(rows: list[ShotRow]) -> Mapping[str, list[ShotRow]]:
    """Return the rows by split."""
    splits: dict[str, list[ShotRow]] = defaultdict(list)
    for row in rows:
        splits[row.split].append(row)
    return splits
