"""Reader of VRIC in its authors' folders and list files."""

from pathlib import Path

import pandas as pd

from data_cache.datasets.dataset import COLUMNS, ParsedLists
from data_cache.datasets.lists import camera_number, read_image_list
from data_cache.datasets.protocols import fixed_split


def read_vric(root: Path) -> ParsedLists:
    """Read VRIC: lines `image vehicle camera`; each test vehicle has one probe and one gallery image.

    There need not be training images.
    """
    rows = []
    repeated: tuple[str, ...] = ()
    for split, part in (("train", "train"), ("query", "probe"), ("gallery", "gallery")):
        path = root / f"vric_{part}.txt"
        images = read_image_list(path, 3, folder=f"{part}_images", optional=split == "train")
        repeated += images.repeated
        for number, (image, vehicle, camera, *_) in images.entries:
            # training and test vehicles are both numbered from 1
            label = vehicle if split == "train" else f"test-{vehicle}"
            camera_id = camera_number(camera, f"{images.path}, entry {number}")
            rows.append((f"{part}_images/{image}", label, camera_id, split))
    table = pd.DataFrame(rows, columns=COLUMNS)
    no_training = "" if (table["split"] == "train").any() else "no train list (vric_train.txt)"
    return ParsedLists(table, {"test": fixed_split(table, same_camera_is_junk=False)}, repeated, no_training)
