"""Reader of VERI-Wild: two dialects of list files, and a table of cameras, models and colours."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from data_cache.base.errors import UserError, short_repr
from data_cache.datasets.dataset import COLUMNS, Reading
from data_cache.datasets.lists import NUMBER, camera_number, list_text, read_image_list
from data_cache.datasets.protocols import FixedSplit, rows_where

SIZES_VERIWILD = {"small": 3000, "medium": 5000, "large": 10000}
# the lists of the second dialect, `path label camera`, have names of their own
TRAIN_LISTS = ("train_list.txt", "train_list_start0.txt")
GALLERY_LISTS = ("test_{}.txt", "test_{}_id.txt")
INFO = "vehicle_info.txt"
COLUMN_OF = {"time": "time", "model": "model", "type": "type", "color": "colour", "colour": "colour"}
RELEASED_HEADINGS = ["id/image", "camera id", "time", "model", "type", "color"]


class Listed(NamedTuple):
    """The images `vehicle/image` of a list in order, the cameras that its lines tell, and the entries it repeats."""

    images: list[str]
    cameras: dict[str, int]
    repeated: tuple[str, ...]


def read_veriwild(root: Path) -> Reading:
    """Read VERI-Wild: the vehicle is the folder of an image; junk as in VeRi-776.

    All cameras come from one place: vehicle_info.txt, beside the lists or in the root, else the lines of the lists.
    What else vehicle_info.txt tells becomes columns: `time`, `model`, `type`, `colour`.
    """
    lists = root / "train_test_split"
    train = _listed(_existing(lists, TRAIN_LISTS))
    tests = {size: test for size, count in SIZES_VERIWILD.items() if (test := _test(lists, count))}
    every = [train, *(listed for test in tests.values() for listed in test)]
    tested: dict[str, str] = {}
    for query, gallery in tests.values():
        tested |= dict.fromkeys(gallery.images, "gallery") | dict.fromkeys(query.images, "query")
    images = pd.Series([*train.images, *tested], dtype=str)
    splits = ["train"] * len(train.images) + list(tested.values())
    info = next((_info(path) for path in (lists / INFO, root / INFO) if path.exists()), None)
    if info is None:
        info = pd.DataFrame({"camera_id": {image: number for one in every for image, number in one.cameras.items()}})
    return Reading(
        _table(root, images, splits, info),
        # by the lists, not by `split`: a query of one size may be a gallery image of another
        {size: _split(images, *test) for size, test in tests.items()},
        tuple(line for one in every for line in one.repeated),
    )


def _existing(lists: Path, names: Sequence[str]) -> Path:
    """Return the first of these lists that is there, else the first."""
    return next((lists / name for name in names if (lists / name).exists()), lists / names[0])


def _test(lists: Path, count: int) -> tuple[Listed, Listed] | None:
    """Return query and gallery of the test of so many vehicles, None where it has no list."""
    gallery = _existing(lists, [name.format(count) for name in GALLERY_LISTS])
    if not gallery.exists():
        return None
    return _listed(gallery.with_name(f"{gallery.stem}_query.txt")), _listed(gallery)


def _listed(path: Path) -> Listed:
    found = read_image_list(path)
    images, cameras = [], {}
    for number, (name, *more) in found.entries:
        image, where = name.removesuffix(".jpg"), f"{path}, entry {number}"
        if image.count("/") != 1 or not all(image.split("/")):
            raise UserError(f"{where}: {short_repr(name)} is not vehicle/image")
        images.append(image)
        if len(more) > 1:  # label, camera; the labels of training are numbered anew, so the folder tells the vehicle
            cameras[image] = camera_number(more[1], where)
    return Listed(images, cameras, found.repeated)


def _split(images: "pd.Series[str]", query: Listed, gallery: Listed) -> FixedSplit:
    ranked = set(gallery.images) - set(query.images)  # some releases repeat the queries there
    return FixedSplit(rows_where(images.isin(query.images)), rows_where(images.isin(ranked)), same_camera_is_junk=True)


def _table(root: Path, images: "pd.Series[str]", splits: list[str], info: pd.DataFrame) -> pd.DataFrame:
    unknown = images[~images.isin(info.index)]
    if len(unknown):
        raise UserError(f"{root}: {INFO} is missing or tells no camera for {unknown.iloc[0]}, and its list neither")
    fixed = {"name": "images/" + images + ".jpg", "vehicle_id": images.str.split("/").str[0], "split": splits}
    told = info.loc[images.tolist()].reset_index(drop=True)
    return pd.concat([pd.DataFrame(fixed), told], axis=1)[[*COLUMNS, *told.columns.drop("camera_id")]]


def _info(path: Path) -> pd.DataFrame:
    """Return `camera_id` and the columns that the table tells, by image `vehicle/image`.

    The columns go by their headings; a table that begins without them has the released order, or that without the time.
    """
    lines = list_text(path, ("utf-8-sig", "gb18030", "latin-1")).split("\n")  # models are named in any encoding
    rows = [[field.strip() for field in line.split(";")] for line in lines if line.strip()]
    headings = [heading.lower() for heading in rows[0]] if rows else RELEASED_HEADINGS
    if len(headings) > 1 and NUMBER.fullmatch(headings[1]):
        headings = [name for name in RELEASED_HEADINGS if name != "time" or len(headings) >= len(RELEASED_HEADINGS)]
    else:
        rows = rows[1:]
    camera = next((place for place, heading in enumerate(headings) if heading.startswith("camera")), None)
    if camera is None:
        raise UserError(f"{path}: no column is headed `Camera ID`")
    places = {COLUMN_OF[heading]: place for place, heading in enumerate(headings) if heading in COLUMN_OF}
    wide = [row + [""] * (len(headings) - len(row)) for row in rows]
    told = pd.DataFrame(
        {"camera_id": [camera_number(row[camera], f"{path}, entry {line}") for line, row in enumerate(wide, start=1)]}
        | {column: [row[place] for row in wide] for column, place in places.items()},
        index=[row[0].removesuffix(".jpg") for row in wide],
    )
    return told[~told.index.duplicated(keep="last")]
