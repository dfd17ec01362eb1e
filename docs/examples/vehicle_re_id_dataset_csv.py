"""Write the CSV of the Vehicle-Re-ID-Dataset (github.com/Khoa-Nguyen-Truong/Vehicle-Re-ID-Dataset, Apache-2.0).

An example of turning a folder of photographs into a data set: one line per image, with the path below --data-root, the
vehicle, the camera and the split. Here all of it is in the file names: `car_0001_cam2.jpg` is the vehicle `car_0001`
seen by camera 2 (types are numbered separately, so the type is part of the identity). Vehicles of train.txt are for
training, those of val.txt for the test, with camera 1 as query and camera 2 as gallery.

    python docs/examples/vehicle_re_id_dataset_csv.py Vehicle-Re-ID-Dataset data/photographs.csv
"""

import csv
import re
import sys
from pathlib import Path

NAME = re.compile(r"((?:car|motorcycle|truck|bus)_\d+)_cam([12])\.jpg")


def rows(folder: Path) -> list[tuple[str, str, int, str]]:
    """Return (name, vehicle_id, camera_id, split) of every listed image."""
    table = []
    for listing in ("train", "val"):
        for name in (folder / f"{listing}.txt").read_text(encoding="utf-8").split():
            match = NAME.fullmatch(name)
            if match is None:
                raise SystemExit(f"{folder / listing}.txt: {name!r} is not TYPE_NUMBER_camCAMERA.jpg")
            vehicle, camera = match[1], int(match[2])
            test = "query" if camera == 1 else "gallery"
            table.append((f"images/train/{name}", vehicle, camera, "train" if listing == "train" else test))
    return table


def main() -> None:
    """Write the CSV; the arguments are the data set's folder and the CSV."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    source, target = map(Path, sys.argv[1:])
    table = rows(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "vehicle_id", "camera_id", "split"))
        writer.writerows(table)


if __name__ == "__main__":
    main()
