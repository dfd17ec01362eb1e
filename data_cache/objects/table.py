"""Tables of objects: a vehicle in a frame a row, with its box, and what is known of vehicle, camera, time and split."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError, printable
from data_cache.datasets.csv_file import parse_csv, without_decimals
from data_cache.images.loading import ImageError
from data_cache.images.lookup import ImageLookup
from data_cache.objects.columns import SPLIT_OF, TEXTS, Corners, find_columns
from data_cache.objects.video import MOST_FRAMES, VIDEO_SUFFIXES, frame_name, is_video

log = logging.getLogger(__name__)

BOX = ["x0", "y0", "x1", "y1"]
COLUMNS = [*TEXTS, *BOX, "shares", "file", "row", "place", "fault"]
ROUNDING = 1e-3  # by which shares of a frame may leave [0, 1]: files have four to six decimals


def objects_table(
    texts: Mapping[str, Sequence[str]],
    boxes: Corners,
    file: Path,
    places: Sequence[str],
    faults: Mapping[int, str] | None = None,
    *,
    shares: bool = False,
) -> pd.DataFrame:
    """Return a table of objects with COLUMNS, in the order of a file.

    `texts` has image and, as far as they are known, vehicle_id, camera_id, time and split; the others are empty. Boxes
    (N, 4) are x0 y0 x1 y1 in the frame, in pixels or, if `shares`, as shares of its width and height. `row` counts from
    0; `places` say for messages where in the file it stands. `faults` say why objects cannot be used.
    """
    count = len(boxes)
    table = pd.DataFrame({key: list(texts.get(key, [""] * count)) for key in TEXTS}, dtype=object)
    table[BOX] = boxes
    found = [] if faults is None else [faults.get(row, "") for row in range(count)]
    table = table.assign(file=str(file), row=np.arange(count), place=list(places), shares=shares)
    return table.assign(fault=found or [""] * count)[COLUMNS]


def read_objects_csv(path: Path, images: Path, columns: Mapping[str, str], first_frame: int) -> pd.DataFrame:
    """Return the `objects_table` of a CSV with any column names; `columns` are those that `find_columns` is given.

    Its videos, if it names any, are below `images`, and the frames of each count from `first_frame`. If all boxes are
    within [0, 1], but for ROUNDING, they are shares of their frames. Raises UserError if the file, or a column, is
    missing.
    """
    table = parse_csv(path)
    if table.empty:
        raise UserError(f"{path}: lists no object")
    places = [f"line {line}" for line in table.index]
    table = table.reset_index(drop=True)
    found = find_columns([str(header) for header in table.columns], columns, str(path))
    log.info(f"{path}: {len(table):,} objects, {found.described()}")
    numbers = table[list(found.box)].apply(lambda values: pd.to_numeric(values.str.strip(), errors="coerce"))
    wrong = ~np.isfinite(numbers.to_numpy(np.float64)).all(axis=1)
    texts = {key: table[header].str.strip().tolist() for key, header in found.texts.items()}
    if "vehicle_id" in texts:
        texts["vehicle_id"] = [without_decimals(vehicle) for vehicle in texts["vehicle_id"]]
    faults = {
        int(row): f"the box {', '.join(table.loc[row, list(found.box)])} is not four numbers"
        for row in np.flatnonzero(wrong)
    }
    if "video" in texts:
        texts["image"], unusable = _frames_of_videos(texts.pop("video"), texts.pop("frame"), images, first_frame)
        faults |= unusable
    faults |= {row: "names no image" for row, image in enumerate(texts["image"]) if not image}
    boxes = found.form.corners(np.where(wrong[:, None], 0.0, numbers.to_numpy(np.float64)))
    usable = np.delete(boxes, list(faults), axis=0)
    shares = bool(len(usable)) and bool(((usable >= -ROUNDING) & (usable <= 1 + ROUNDING)).all())
    if shares:
        log.info(f"{path}: all boxes are within 0 and 1: read as shares of their frames")
    return objects_table(texts, boxes, path, places, faults, shares=shares)


def _frames_of_videos(
    videos: Sequence[str], numbers: Sequence[str], images: Path, first_frame: int
) -> tuple[list[str], dict[int, str]]:
    """Return the `frame_name` of each row of a CSV, and why rows have none that can be used."""
    lookup = ImageLookup(images, VIDEO_SUFFIXES, "videos")
    names: dict[str, str] = {}
    wrong = {"": "names no video"}
    for video in dict.fromkeys(filter(None, videos)):
        try:
            names[video] = lookup.find(video)
        except ImageError as error:
            wrong[video] = str(error)
        else:
            if not is_video(names[video]):
                wrong[video] = f"{printable(names[video])}: not a video ({', '.join(VIDEO_SUFFIXES)})"
    for note in lookup.notes():
        log.info(note)
    counted = pd.to_numeric(pd.Series(numbers, dtype=object), errors="coerce").to_numpy(np.float64) - first_frame
    found, faults = [], {}
    for row, (video, number) in enumerate(zip(videos, counted.tolist(), strict=True)):
        found.append(f"{video}#{numbers[row]}")
        if video in wrong:
            faults[row] = wrong[video]
        elif not (0 <= number < MOST_FRAMES and number.is_integer()):
            faults[row] = f"the frame {numbers[row]!r} is not a whole number from {first_frame}"
        else:
            found[row] = frame_name(names[video], int(number))
    return found, faults


def place(objects: pd.DataFrame, row: int) -> str:
    """Return the file of an object and its line there, for a message."""
    return f"{printable(objects['file'][row])}, {objects['place'][row]}"


def combined(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of several files below each other; a key other than "" is the split of all its objects.

    Objects without a split are for training; others have one of SPLIT_OF. Raises UserError for any other.
    """
    parts = [table.assign(split=split) if split else table for split, table in tables.items()]
    table = pd.concat(parts, ignore_index=True)
    splits = table["split"].str.lower().replace("", "train").map(SPLIT_OF)
    unknown = table.index[splits.isna()]
    if len(unknown):
        wrong = table["split"][unknown[0]]
        raise UserError(f"{place(table, unknown[0])}: unknown split {wrong!r}; use one of {', '.join(SPLIT_OF)}")
    return table.assign(split=splits)
