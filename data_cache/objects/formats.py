"""Objects in frames as annotation tools and trackers store them: COCO JSON, folders of YOLO, text of MOTChallenge."""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from data_cache.base.errors import RecordFault, UserError
from data_cache.base.files import files_below, read_regular
from data_cache.datasets.csv_file import without_decimals
from data_cache.images.loading import HEIF_SUFFIXES, SUFFIXES, images_below
from data_cache.objects.table import objects_table, read_objects_csv
from data_cache.objects.video import MOST_FRAMES, VIDEO_SUFFIXES, frame_name
from data_cache.parts.coco import corners, faults_of, list_in, read_document, required, whole_number

log = logging.getLogger(__name__)

VEHICLE_KEYS = ("vehicle_id", "identity", "track_id", "global_id")  # of a COCO annotation or image
CAMERA_KEYS = ("camera_id", "camera")  # of the same; either may also be in `attributes`
NO_TRACK = "-1"  # in MOTChallenge's files of detections
MOT_FIELDS = 6  # frame, track, left, top, width, height; what follows is not needed


def read_objects(path: Path, images: Path, columns: Mapping[str, str], first_frame: int = 0) -> pd.DataFrame:
    """Return the `objects_table` of a file or folder, by its kind: COCO JSON, a YOLO folder, MOT text, or else a CSV.

    `images` is the folder of the frames or videos. Of a CSV, `columns` are those for `find_columns`, and the frames of
    videos count from `first_frame`. Raises UserError if it cannot be read.
    """
    if path.is_dir():
        return read_yolo(path, images)
    if path.suffix.lower() == ".json":
        return read_coco(path)
    if path.suffix.lower() == ".txt" and not columns and _is_mot(path):
        return read_mot(path, images)
    return read_objects_csv(path, images, columns, first_frame)


def read_coco(path: Path) -> pd.DataFrame:
    """Return the objects of a COCO file, an annotation each; vehicle and camera if annotation or image name them.

    Raises UserError for a file of another kind, and for images without a name.
    """
    document = read_document(path)
    images: dict[Any, Mapping[str, Any]] = {}

    def read_image(record: Any) -> None:
        required(record, "file_name")
        images[str(required(record, "id"))] = record

    faults = faults_of("images", list_in(path, document, "images"), read_image)
    if faults:
        raise UserError(f"{path}: {faults[0]}")
    annotations = list_in(path, document, "annotations")
    boxes, failures = np.zeros((len(annotations), 4)), {}
    texts: dict[str, list[str]] = {"image": [], "vehicle_id": [], "camera_id": []}
    for row, annotation in enumerate(annotations):
        image: Mapping[str, Any] = {}
        try:
            image = images.get(str(required(annotation, "image_id")), {})
            if not image:
                raise RecordFault(f"its image {annotation['image_id']!r} is not in the file")
            boxes[row] = corners(annotation)
        except RecordFault as fault:
            failures[row] = str(fault)
        texts["image"].append(str(image.get("file_name", "")))
        texts["vehicle_id"].append(_first(VEHICLE_KEYS, annotation, image))
        texts["camera_id"].append(_first(CAMERA_KEYS, image, annotation))
    places = [f"annotations[{row}]" for row in range(len(annotations))]
    return objects_table(texts, boxes, path, places, failures)


def _first(keys: tuple[str, ...], *records: Any) -> str:
    for record in records:
        if isinstance(record, dict):
            attributes = record.get("attributes")
            for source in (record, attributes if isinstance(attributes, dict) else {}):
                given = (source.get(key) for key in keys)
                found = next((value for value in given if isinstance(value, str | int | float)), None)
                if found is not None:
                    whole = whole_number(found)
                    return str(found if whole is None else whole)
    return ""


def read_yolo(folder: Path, images: Path) -> pd.DataFrame:
    """Return the objects of a folder of YOLO labels: per image a text file of lines `class cx cy w h [[score] track]`.

    A label belongs to the image of the same path but for the ending, also with `labels` for `images` in it. Sixth
    fields that are all scores, such as 0.87, are no vehicles; a message says so. Raises UserError if the folder has no
    label.
    """
    files = [name for name in files_below(folder, (".txt",)) if not _is_about_labels(PurePosixPath(name).stem)]
    if not files:
        raise UserError(f"{folder}: no labels (.txt) there")
    known = {str(PurePosixPath(name).with_suffix("")): name for name in images_below(images)}
    texts: dict[str, list[str]] = {"image": [], "vehicle_id": []}
    boxes: list[tuple[float, float, float, float]] = []
    places, faults = [], {}
    sixth: dict[int, str] = {}  # by row
    for file in files:
        stem = str(PurePosixPath(file).with_suffix(""))
        image = next((known[one] for one in (stem, re.sub(r"(^|/)labels/", r"\1images/", stem)) if one in known), stem)
        for number, fields in _lines(folder / file):
            scored = len(fields) == 7 and fields[6].isdecimal()  # seven fields may also be a polygon of three corners
            try:
                if len(fields) > 6 and not scored:
                    raise RecordFault(f"{len(fields)} fields, no box `class cx cy w h`; polygons are not read")
                cx, cy, width, height = _numbers(fields[1:5])
            except ValueError as error:
                faults[len(boxes)] = str(error) if isinstance(error, RecordFault) else "not `class cx cy w h`"
                cx = cy = width = height = 0.0
            boxes.append((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
            texts["image"].append(image)
            if len(fields) == 6:
                sixth[len(boxes) - 1] = fields[5]
            texts["vehicle_id"].append(fields[6] if scored else "")
            places.append(f"{file}, line {number}")
    if _are_scores(sixth.values()):
        log.warning(f"{folder}: the sixth fields are read as scores, not as vehicles: all are within 0 and 1")
    else:
        for row, vehicle in sixth.items():
            texts["vehicle_id"][row] = without_decimals(vehicle)
    return objects_table(texts, np.array(boxes).reshape(-1, 4), folder, places, faults, shares=True)


def _is_about_labels(stem: str) -> bool:
    return stem == "classes" or stem.startswith("README")


def _are_scores(fields: Collection[str]) -> bool:
    """Return whether fields are numbers within 0 and 1, and not all of them whole, as those of tracks are.

    >>> _are_scores(["0.87", "1"]), _are_scores(["0", "1"]), _are_scores(["0.87", "2"]), _are_scores([])
    (True, False, False, False)
    """
    try:
        numbers = _numbers([*fields])
    except ValueError:
        return False
    return all(0 <= number <= 1 for number in numbers) and not all(number.is_integer() for number in numbers)


def read_mot(path: Path, images: Path) -> pd.DataFrame:
    """Return the objects of a MOTChallenge file: lines `frame,track,left,top,width,height,...`, pixels from 1.

    The frames are the images whose names are their numbers, whatever the zeros, below a folder that is named like the
    file if there are any. Else they are those of a video, counted from 1: of that named like the file, or of the only
    one. Raises UserError if there is neither, and if several images could be a frame.
    """
    image_of = _images_of_mot(path, images)
    texts: dict[str, list[str]] = {"image": [], "vehicle_id": []}
    boxes: list[tuple[float, float, float, float]] = []
    places, faults = [], {}
    for number, fields in _lines(path):
        try:
            frame, left, top, width, height = _numbers([fields[0], *fields[2:MOT_FIELDS]])
            if not frame.is_integer():
                raise RecordFault(f"the frame {fields[0]} is not a whole number")
            texts["image"].append(image_of(int(frame)))
        except ValueError as error:
            is_fault = isinstance(error, RecordFault)
            faults[len(boxes)] = str(error) if is_fault else "not `frame,track,left,top,width,height`"
            left = top = width = height = 0.0
            texts["image"].append("")
        boxes.append((left - 1, top - 1, left - 1 + width, top - 1 + height))
        track = without_decimals(fields[1]) if len(fields) > 1 else ""
        texts["vehicle_id"].append("" if track == NO_TRACK else track)
        places.append(f"line {number}")
    return objects_table(texts, np.array(boxes).reshape(-1, 4), path, places, faults)


def _images_of_mot(path: Path, images: Path) -> Callable[[int], str]:
    """Return what gives the image of a frame by its number in a MOTChallenge file."""
    names = [name for name in files_below(images, SUFFIXES + HEIF_SUFFIXES) if PurePosixPath(name).stem.isdecimal()]
    own = [name for name in names if path.stem in PurePosixPath(name).parent.parts]  # of several sequences, its own
    frames: dict[int, list[str]] = defaultdict(list)
    for name in own or names:
        frames[int(PurePosixPath(name).stem)].append(name)

    def image_of_the_number(number: int) -> str:
        found = frames.get(number, [])
        if not found:
            raise RecordFault(f"frame {number}: no image below {images} has this number")
        if len(found) > 1:
            raise UserError(
                f"{path}: frame {number} could be {found[0]} or {found[1]} below {images}; give the folder of its own "
                "frames as --images, or name the text after that folder"
            )
        return found[0]

    if frames:
        return image_of_the_number
    videos = files_below(images, VIDEO_SUFFIXES)
    named = [video for video in videos if PurePosixPath(video).stem == path.stem] or videos
    if len(named) != 1:
        raise UserError(
            f"{images}: no image there is named after its number in the video, as 000001.jpg, and of {len(videos)} "
            f"videos {len(named)} could be that of {path}; name its video {path.stem}.mp4"
        )

    def frame_of_the_video(number: int) -> str:
        if not 1 <= number < MOST_FRAMES:
            raise RecordFault(f"the frame {number} is not a whole number from 1")
        return frame_name(named[0], number - 1)

    return frame_of_the_video


def _is_mot(path: Path) -> bool:
    first = next(iter(_lines(path)), (0, []))[1]
    return len(first) >= MOT_FIELDS and all(re.fullmatch(r"-?\d+(\.\d+)?", field) for field in first[:MOT_FIELDS])


def _numbers(fields: Sequence[str]) -> list[float]:
    """Return fields as numbers. Raises ValueError if one is none, or not finite."""
    numbers = [float(field) for field in fields]
    if not np.isfinite(numbers).all():
        raise ValueError
    return numbers


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return number and fields, by commas or blanks, of the lines that are not empty."""
    try:
        text = read_regular(path).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error})") from error
    lines = ((number, re.split(r"[,\s]+", line.strip())) for number, line in enumerate(text.splitlines(), 1))
    return [(number, fields) for number, fields in lines if fields != [""]]
