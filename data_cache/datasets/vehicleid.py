"""Reader of VehicleID in its authors' folders and list files."""

from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.datasets.dataset import COLUMNS, ParsedLists
from data_cache.datasets.lists import ImageList, read_entries, read_image_list
from data_cache.datasets.protocols import DrawnSplit, Split, rows_where

SIZES_VEHICLEID = {"small": 800, "medium": 1600, "large": 2400}
ATTRIBUTES_VEHICLEID = {"model": "model_attr.txt", "colour": "color_attr.txt"}


def read_vehicleid(root: Path) -> ParsedLists:
    """Read VehicleID: train_list.txt and the three test lists with lines `image vehicle`; it has no cameras.

    There need not be training images, if there is a test. If `attribute/` exists, its numbers become the columns
    `model` and `colour`, empty for vehicles without one.
    """
    lists = root / "train_test_split"
    paths = {size: lists / f"test_list_{count}.txt" for size, count in SIZES_VEHICLEID.items()}
    tests = {size: read_image_list(path, 2, folder="image") for size, path in paths.items() if path.exists()}
    train = read_image_list(lists / "train_list.txt", 2, folder="image", optional=bool(tests))
    rows = {size: _rows(test, "test") for size, test in tests.items()}
    tested = dict.fromkeys(row for test in rows.values() for row in test)  # the larger lists repeat the smaller ones
    table = pd.DataFrame([*_rows(train, "train"), *tested], columns=COLUMNS)
    vehicles = pd.factorize(table["vehicle_id"])[0].astype(np.int64)
    chosen = {size: rows_where(table["name"].isin([name for name, *_ in test])) for size, test in rows.items()}
    splits: dict[str, Split] = {size: DrawnSplit(select, vehicles[select]) for size, select in chosen.items()}
    repeated = tuple(entry for images in (train, *tests.values()) for entry in images.repeated)
    no_training = "" if train.entries else "no train list (train_test_split/train_list.txt)"
    return ParsedLists(_with_attributes(table, root / "attribute"), splits, repeated, no_training)


def _rows(images: ImageList, split: str) -> list[tuple[str, str, int, str]]:
    return [
        (f"image/{image.removesuffix('.jpg')}.jpg", vehicle, -1, split) for _, (image, vehicle, *_) in images.entries
    ]


def _with_attributes(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    for column, name in ATTRIBUTES_VEHICLEID.items():
        if (folder / name).exists():
            numbers = {vehicle: number for _, (vehicle, number, *_) in read_entries(folder / name, 2)}
            table[column] = [numbers.get(vehicle, "") for vehicle in table["vehicle_id"]]
    return table
