"""The picture of a rendered data set: which vehicles it shows, its size, and names at boxes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.base.files import write_json
from data_cache.datasets.csv_file import RENDERING_FILE
from data_cache.images.drawing import part_colour
from data_cache.synthetic.dataset.preview import COLUMNS, GAP, PICTURE, VEHICLES, _choose_vehicles, write_preview

FLEETS = {"a": ("red", 1), "b": ("blue", 3), "c": ("blue", 2), "d": ("green", 2), "e": ("red", 1), "f": ("white", 1)}


def make_table(cameras: int = 4) -> pd.DataFrame:
    """Vehicles by fleet, each seen once by every camera; vehicle a0 is seen by one camera only."""
    rows = [
        (f"{fleet}{number}-{camera}.png", f"{fleet}{number}", camera, "train", "van", colour, fleet)
        for fleet, (colour, size) in FLEETS.items()
        for number in range(size)
        for camera in range(1 if fleet == "a" else cameras)
    ]
    return pd.DataFrame(rows, columns=["name", "vehicle_id", "camera_id", "split", "body", "colour", "fleet"])


def test_the_rows_are_two_of_a_fleet_and_one_of_each_other_colour() -> None:
    assert _choose_vehicles(make_table()) == ["b0", "b1", "d0", "e0", "f0"]  # a0 is seen by too few cameras
    without_green = make_table()[lambda table: table["colour"] != "green"]
    assert _choose_vehicles(without_green) == ["b0", "b1", "e0", "f0", "c0"]  # blue again, to fill the rows


def test_the_picture_has_a_row_per_vehicle_and_boxes_in_every_other_picture(tmp_path: Path) -> None:
    table = make_table()
    for name in table["name"]:
        Image.new("RGB", (100, 80), (9, 9, 9)).save(tmp_path / name)
    table.to_csv(tmp_path / "images.csv", index=False)
    write_json(tmp_path / RENDERING_FILE, {})
    images = [{"id": index, "file_name": name} for index, name in enumerate(table["name"])]
    boxes = [{"image_id": image["id"], "category_id": 3, "bbox": [30, 30, 40, 20]} for image in images]
    write_json(tmp_path / "parts_train.json", {"images": images, "annotations": boxes})
    path = write_preview(tmp_path, tmp_path / "preview.png")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape[1] == GAP + COLUMNS * (PICTURE[0] + GAP)
    coloured = (pixels == part_colour(2)).all(axis=2)
    height = pixels.shape[0] / VEHICLES
    cells = [
        bool(coloured[int(row * height) : int((row + 1) * height), column * 300 : column * 300 + 300].any())
        for row in range(VEHICLES)
        for column in range(COLUMNS)
    ]
    assert cells == [(row + column) % 2 == 1 for row in range(VEHICLES) for column in range(COLUMNS)]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finished synthetic data set"):
        write_preview(tmp_path, tmp_path / "preview.png")
