"""Reader of VehicleID, from the folders and list files of its authors."""

from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.datasets.dataset import COLUMNS, Reading
from data_cache.datasets.lists import read_entries, read_image_list
from data_cache.datasets.protocols import DrawnSplit, Split, rows_where

SIZES_VEHICLEID = {"small": 800, "medium": 1600, "large": 2400}
ATTRIBUTES_VEHICLEID = {"model": "model_attr.txt", "colour": "color_attr.txt"}


def read_vehicleid(root: Path) -> Reading:
    """Read VehicleID: train_list.txt and the three test lists, line `image vehicle`; it has no cameras.

    Where `attribute/` is there, the columns `model` and `colour` hold its numbers, empty for a vehicle without one.
    """
    lists = root / "train_test_split"
    train = read_image_list(lists / "train_list.txt", 2)
    repeated = train.repeated
    tested: dict[tuple[str, str], None] = {}  # in order; the larger lists repeat the smaller
    members: dict[str, set[str]] = {}
    for size, count in SIZES_VEHICLEID.items():
        path = lists / f"test_list_{count}.txt"
        if path.exists():
            found = read_image_list(path, 2)
            lines = [(f"image/{image}.jpg", vehicle) for _, (image, vehicle, *_) in found.entries]
            members[size] = {name for name, _ in lines}
            tested |= dict.fromkeys(lines)
            repeated += found.repeated
    rows = [(f"image/{image}.jpg", vehicle, -1, "train") for _, (image, vehicle, *_) in train.entries]
    table = pd.DataFrame(rows + [(name, vehicle, -1, "test") for name, vehicle in tested], columns=COLUMNS)
    vehicles = pd.factorize(table["vehicle_id"])[0].astype(np.int64)
    chosen = {size: rows_where(table["name"].isin(names)) for size, names in members.items()}
    splits: dict[str, Split] = {size: DrawnSplit(select, vehicles[select]) for size, select in chosen.items()}
    return Reading(_with_attributes(table, root / "attribute"), splits, repeated)


def _with_attributes(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    for column, name in ATTRIBUTES_VEHICLEID.items():
        if (folder / name).exists():
            numbers = {vehicle: number for _, (vehicle, number, *_) in read_entries(folder / name, 2)}
            table[column] = [numbers.get(vehicle, "") for vehicle in table["vehicle_id"]]
    return table
