"""Reader of VRIC, from the folders and list files of its authors."""

from pathlib import Path

import pandas as pd

from data_cache.datasets.dataset import COLUMNS, Reading
from data_cache.datasets.lists import camera_number, read_image_list
from data_cache.datasets.protocols import fixed_split


def read_vric(root: Path) -> Reading:
    """Read VRIC: line `image vehicle camera`; one probe and one gallery image a test vehicle."""
    rows = []
    repeated: tuple[str, ...] = ()
    for split, part in (("train", "train"), ("query", "probe"), ("gallery", "gallery")):
        found = read_image_list(root / f"vric_{part}.txt", 3)
        repeated += found.repeated
        for number, (image, vehicle, camera, *_) in found.entries:
            # train and test number their vehicles independently from 1
            label = vehicle if split == "train" else f"test-{vehicle}"
            rows.append(
                (f"{part}_images/{image}", label, camera_number(camera, f"{found.path}, entry {number}"), split)
            )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Reading(table, {"test": fixed_split(table, same_camera_is_junk=False)}, repeated)
