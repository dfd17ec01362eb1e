"""Reader of VehicleID in its authors' folders and list files."""

from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.datasets.dataset import COLUMNS, ParsedLists
from data_cache.datasets.lists import read_entries, read_image_list
from data_cache.datasets.protocols import DrawnSplit, Split, rows_where

SIZES_VEHICLEID = {"small": 800, "medium": 1600, "large": 2400}
ATTRIBUTES_VEHICLEID = {"model": "model_attr.txt", "colour": "color_attr.txt"}


def read_vehicleid(root: Path) -> ParsedLists:
    """Read VehicleID: train_list.txt and the three test lists with lines `image vehicle`; it has no cameras.

    If `attribute/` exists, its numbers become the columns `model` and `colour`, empty for vehicles without one.
    """
    lists = root / "train_test_split"
    train = read_image_list(lists / "train_list.txt", 2)
    repeated = train.repeated
    tested: dict[tuple[str, str], None] = {}  # ordered; the larger lists repeat the smaller ones
    members: dict[str, set[str]] = {}
    for size, count in SIZES_VEHICLEID.items():
        path = lists / f"test_list_{count}.txt"
        if path.exists():
            test = read_image_list(path, 2)
            images = [(f"image/{image}.jpg", vehicle) for _, (image, vehicle, *_) in test.entries]
            members[size] = {name for name, _ in images}
            tested |= dict.fromkeys(images)
            repeated += test.repeated
    rows = [(f"image/{image}.jpg", vehicle, -1, "train") for _, (image, vehicle, *_) in train.entries]
    table = pd.DataFrame(rows + [(name, vehicle, -1, "test") for name, vehicle in tested], columns=COLUMNS)
    vehicles = pd.factorize(table["vehicle_id"])[0].astype(np.int64)
    chosen = {size: rows_where(table["name"].isin(names)) for size, names in members.items()}
    splits: dict[str, Split] = {size: DrawnSplit(select, vehicles[select]) for size, select in chosen.items()}
    return ParsedLists(_with_attributes(table, root / "attribute"), splits, repeated)


def _with_attributes(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    for column, name in ATTRIBUTES_VEHICLEID.items():
        if (folder / name).exists():
            numbers = {vehicle: number for _, (vehicle, number, *_) in read_entries(folder / name, 2)}
            table[column] = [numbers.get(vehicle, "") for vehicle in table["vehicle_id"]]
    return table
