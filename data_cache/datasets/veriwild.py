"""Reader of VERI-Wild: two dialects of list files, and a table of cameras, models and colours."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from data_cache.base.errors import UserError, short_repr
from data_cache.base.files import sorted_glob
from data_cache.datasets.dataset import COLUMNS, ParsedLists
from data_cache.datasets.lists import NUMBER, camera_number, list_text, read_image_list
from data_cache.datasets.protocols import FixedSplit, rows_where

SIZES_VERIWILD = {"small": 3000, "medium": 5000, "large": 10000}
# file names of the lists in the two dialects, `vehicle/image` and `vehicle/image.jpg label camera`
TRAIN_LISTS = ("train_list.txt", "train_list_start0.txt")
GALLERY_LISTS = ("test_{}.txt", "test_{}_id.txt")
INFO = "vehicle_info.txt"
INFO_LISTS = "*_info.txt"  # such as test_3000_query_info.txt: the lines of INFO for the images of one list
COLUMN_OF = {"time": "time", "model": "model", "type": "type", "color": "colour", "colour": "colour"}
RELEASED_HEADINGS = ["id/image", "camera id", "time", "model", "type", "color"]


class WildList(NamedTuple):
    """Images `vehicle/image` of a list, in order, their cameras if the list has them, and repeated entries."""

    images: list[str]
    cameras: dict[str, int]
    repeated: tuple[str, ...]


def read_veriwild(root: Path) -> ParsedLists:
    """Read VERI-Wild: the vehicle is the folder of an image; junk as in VeRi-776.

    Cameras come from vehicle_info.txt, beside the lists or in the root; those that it lacks from lists with the same
    columns, such as test_3000_info.txt, or else from lists with a camera in each line. The other columns become `time`,
    `model`, `type` and `colour`. There need not be training images, if there is a test.
    """
    lists = root / "train_test_split"
    tests = {size: test for size, count in SIZES_VERIWILD.items() if (test := _read_test(lists, count))}
    train = _read_list(_existing(lists, TRAIN_LISTS), optional=bool(tests))
    all_lists = [train, *(images for test in tests.values() for images in test)]
    tested: dict[str, str] = {}
    for query, gallery in tests.values():
        tested |= dict.fromkeys(gallery.images, "gallery") | dict.fromkeys(query.images, "query")
    images = pd.Series([*train.images, *tested], dtype=str)
    splits = ["train"] * len(train.images) + list(tested.values())
    return ParsedLists(
        _table(root, images, splits, _all_info(root, lists, images, all_lists)),
        {size: _split(images, *test) for size, test in tests.items()},
        tuple(entry for one in all_lists for entry in one.repeated),
        "" if train.images else f"no train list ({lists.name}/{TRAIN_LISTS[0]})",
    )


def _existing(lists: Path, names: Sequence[str]) -> Path:
    """Return the first of these lists that exists, or else the first."""
    return next((lists / name for name in names if (lists / name).exists()), lists / names[0])


def _read_test(lists: Path, count: int) -> tuple[WildList, WildList] | None:
    """Return query and gallery of the test with `count` vehicles, or None if it has no list."""
    gallery = _existing(lists, [name.format(count) for name in GALLERY_LISTS])
    if not gallery.exists():
        return None
    return _read_list(gallery.with_name(f"{gallery.stem}_query.txt")), _read_list(gallery)


def _read_list(path: Path, *, optional: bool = False) -> WildList:
    entries = read_image_list(path, folder="images", optional=optional)
    images, cameras = [], {}
    for number, (name, *more) in entries.entries:
        image, where = name.removesuffix(".jpg"), f"{path}, entry {number}"
        if image.count("/") != 1 or not all(image.split("/")):
            raise UserError(f"{where}: {short_repr(name)} is not vehicle/image")
        images.append(image)
        if len(more) > 1:  # label, camera; training labels are renumbered, so the folder is the vehicle
            cameras[image] = camera_number(more[1], where)
    return WildList(images, cameras, entries.repeated)


def _split(images: "pd.Series[str]", query: WildList, gallery: WildList) -> FixedSplit:
    """Return a test from its lists, not from the column `split`: its queries may be gallery images of another."""
    ranked = set(gallery.images) - set(query.images)  # some releases repeat the queries in the gallery list
    return FixedSplit(rows_where(images.isin(query.images)), rows_where(images.isin(ranked)), same_camera_is_junk=True)


def _table(root: Path, images: "pd.Series[str]", splits: list[str], info: pd.DataFrame) -> pd.DataFrame:
    unknown = images[~images.isin(info.index)]
    if len(unknown):
        raise UserError(f"{root}: no camera for {unknown.iloc[0]}, neither in {INFO} nor in its list")
    columns = {"name": "images/" + images + ".jpg", "vehicle_id": images.str.split("/").str[0], "split": splits}
    rows = info.loc[images.tolist()].reset_index(drop=True)
    return pd.concat([pd.DataFrame(columns), rows], axis=1)[[*COLUMNS, *rows.columns.drop("camera_id")]]


def _all_info(root: Path, lists: Path, images: "pd.Series[str]", all_lists: Sequence[WildList]) -> pd.DataFrame:
    """Return what the files say of the images, as `_read_info` does; later files only of images that others lack."""
    table = next((_read_info(path) for path in (lists / INFO, root / INFO) if path.exists()), None)
    if table is not None and images.isin(table.index).all():
        return table
    others = [_read_info(path) for path in sorted_glob(lists, INFO_LISTS) if path.name != INFO]
    of_lists = {image: camera for one in all_lists for image, camera in one.cameras.items()}
    tables = [*([] if table is None else [table]), *others, pd.DataFrame({"camera_id": of_lists}, dtype="int64")]
    info = pd.concat([one for one in tables if len(one)] or tables)
    return info[~info.index.duplicated()].fillna("")


def _read_info(path: Path) -> pd.DataFrame:
    """Return `camera_id` and the optional columns of vehicle_info.txt, indexed by `vehicle/image`.

    Columns are found by their headings; a file without headings has the released columns, with or without the time.
    """
    lines = list_text(path, ("utf-8-sig", "gb18030", "latin-1")).split("\n")  # model names come in any encoding
    rows = [[field.strip() for field in line.split(";")] for line in lines if line.strip()]
    headings = [heading.lower() for heading in rows[0]] if rows else RELEASED_HEADINGS
    if len(headings) > 1 and NUMBER.fullmatch(headings[1]):
        headings = [name for name in RELEASED_HEADINGS if name != "time" or len(headings) >= len(RELEASED_HEADINGS)]
    else:
        rows = rows[1:]
    camera = next((index for index, heading in enumerate(headings) if heading.startswith("camera")), None)
    if camera is None:
        raise UserError(f"{path}: no column has the heading `Camera ID`")
    optional = {COLUMN_OF[heading]: index for index, heading in enumerate(headings) if heading in COLUMN_OF}
    padded = [row + [""] * (len(headings) - len(row)) for row in rows]
    cameras = [camera_number(row[camera], f"{path}, entry {line}") for line, row in enumerate(padded, start=1)]
    info = pd.DataFrame(
        {"camera_id": cameras} | {column: [row[index] for row in padded] for column, index in optional.items()},
        index=[row[0].removesuffix(".jpg") for row in padded],
    )
    return info[~info.index.duplicated(keep="last")]
