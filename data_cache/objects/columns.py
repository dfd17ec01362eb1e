"""The columns of a table of frames and boxes: given by the user, or recognised by the names that are usual."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError

TEXTS: dict[str, tuple[str, ...]] = {
    "image": (
        *("image_id", "image", "img_id", "img", "image_name", "image_path", "image_file", "file_name", "filename"),
        *("file", "frame_id", "frame", "frame_name", "path", "name", "picture", "photo"),
    ),
    "vehicle_id": (
        *("vehicle_id", "vehicle", "veh_id", "vid", "car_id", "identity", "identity_id", "pid", "global_id"),
        *("track_id", "target_id"),
    ),
    "camera_id": ("camera_id", "camera", "cam_id", "cam", "camera_name", "cid", "sensor_id", "sensor"),
    "time": ("time", "timestamp", "datetime", "date_time", "captured_at", "time_stamp"),
    "split": ("split", "subset", "partition", "set", "part", "usage"),
}
VIDEO: dict[str, tuple[str, ...]] = {  # both instead of the image, where frames are those of videos
    "video": ("video", "video_id", "video_name", "video_file", "video_path", "clip"),
    "frame": (
        *("frame", "frame_id", "frame_number", "frame_no", "frame_index", "frame_idx"),
        *("image_id", "img_id"),
    ),
}
SPLIT_OF = {  # usual names of splits, in lower case
    **{"train": "train", "val": "train", "valid": "train"},
    **{"query": "query", "gallery": "gallery", "test": "gallery"},
}
Corners = NDArray[np.float64]  # (N, 4), x0 y0 x1 y1


class BoxForm(NamedTuple):
    """Four columns of a box, by the names that `--column` gives them, and how they become corners."""

    keys: tuple[str, str, str, str]
    corners: Callable[[Corners], Corners]
    usual: tuple[tuple[str, str, str, str], ...]


def _from_size(box: Corners) -> Corners:
    return np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)


def _from_centre(box: Corners) -> Corners:
    return np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], axis=1)


FORMS = (
    BoxForm(
        ("x", "y", "w", "h"),
        _from_size,
        (
            *(("x", "y", "w", "h"), ("x", "y", "width", "height"), ("left", "top", "width", "height")),
            *(("bb_left", "bb_top", "bb_width", "bb_height"), ("x_min", "y_min", "width", "height")),
            *(("x1", "y1", "w", "h"), ("x0", "y0", "w", "h"), ("left", "top", "w", "h")),
        ),
    ),
    BoxForm(
        ("x0", "y0", "x1", "y1"),
        lambda box: box,
        (
            *(("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("x_min", "y_min", "x_max", "y_max")),
            ("left", "top", "right", "bottom"),
        ),
    ),
    BoxForm(
        ("cx", "cy", "w", "h"),
        _from_centre,
        (("cx", "cy", "w", "h"), ("x_center", "y_center", "width", "height"), ("xc", "yc", "w", "h")),
    ),
)
PREFIXES = ("", "bbox", "box", "bb", "roi", "vehicle", "bboxes")  # of the columns of a box
KEYS = (*TEXTS, *VIDEO, *dict.fromkeys(key for form in FORMS for key in form.keys))


class Columns(NamedTuple):
    """The headers of the text columns that were found, by key, and of the box with its form.

    The texts have `image`, or `video` and `frame`.
    """

    texts: Mapping[str, str]
    box: Sequence[str]
    form: BoxForm

    def described(self) -> str:
        """Return what was taken for what, for a message."""
        texts = ", ".join(f"{key} from {header}" for key, header in self.texts.items() if key != header)
        box = f"box {', '.join(self.form.keys)} from {', '.join(self.box)}"
        return f"{texts}, {box}" if texts else box


def find_columns(headers: Sequence[str], given: Mapping[str, str], where: str) -> Columns:
    """Return which of the headers of a table are which columns: those `given`, and of the others the usual names.

    Case, blanks and punctuation in headers do not matter. The usual names of a video count only if no other column
    than that of its frames would name the image. Raises UserError, which calls the table `where`, if a given header
    does not exist, or there is no image, or no box.
    """
    known = {_plain(header): header for header in headers}
    chosen = {key: _given_header(key, header, headers, known, where) for key, header in given.items()}
    unused = [header for header in headers if header not in chosen.values()]
    box, form = _box(chosen, {_plain(header): header for header in unused}, headers, where)
    free = {_plain(header): header for header in unused if header not in box}
    texts = {key: header for key, header in chosen.items() if key in TEXTS}
    video = _video(chosen, free, where)
    if video:
        texts |= video
        free = {name: header for name, header in free.items() if header not in video.values()}
    for key, usual in TEXTS.items():
        found = _usual(usual, free)
        if key not in texts and found is not None and not (key == "image" and video):
            texts[key] = found
            del free[_plain(found)]
    if "image" not in texts and not video:
        raise UserError(
            f"{where}: no column names the image; its columns are {', '.join(headers)}; name one with "
            "--column image=HEADER, or a frame of a video with --column video=HEADER and --column frame=HEADER"
        )
    return Columns({key: texts[key] for key in (*VIDEO, *TEXTS) if key in texts}, box, form)


def _video(chosen: Mapping[str, str], free: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the headers of video and frame, or nothing for a table of images."""
    given = [key for key in VIDEO if key in chosen]
    if given and "image" in chosen:
        raise UserError(f"--column image and --column {given[0]}: a frame is an image, or one of a video; give one")
    found = {key: chosen.get(key) or _usual(usual, free) for key, usual in VIDEO.items()}
    if not given and ("image" in chosen or _usual(TEXTS["image"], free) not in (None, _usual(VIDEO["frame"], free))):
        return {}
    missing = [key for key, header in found.items() if header is None]
    if missing and given:
        raise UserError(f"{where}: no column is the {missing[0]}; name one with --column {missing[0]}=HEADER")
    return {} if missing else {key: str(header) for key, header in found.items()}


def _usual(names: Sequence[str], free: Mapping[str, str]) -> str | None:
    """Return the header of the first of the usual names that a column has."""
    return next((free[_plain(name)] for name in names if _plain(name) in free), None)


def _given_header(key: str, header: str, headers: Sequence[str], known: Mapping[str, str], where: str) -> str:
    if header in headers:
        return header
    if _plain(header) in known:
        return known[_plain(header)]
    raise UserError(f"{where}: --column {key}={header}: there is no such column, only {', '.join(headers)}")


def _box(
    chosen: Mapping[str, str], free: Mapping[str, str], headers: Sequence[str], where: str
) -> tuple[tuple[str, ...], BoxForm]:
    keys = [key for key in chosen if key not in TEXTS and key not in VIDEO]
    if keys:
        form = next((form for form in FORMS if set(form.keys) == set(keys)), None)
        if form is None:
            forms = ", or ".join(" ".join(form.keys) for form in FORMS)
            raise UserError(f"--column {', '.join(keys)}: a box is {forms}: all four of one kind, and no other")
        return tuple(chosen[key] for key in form.keys), form
    for form in FORMS:
        for prefix, names in _prefixed(form.usual):
            found = [free.get(_plain(prefix + name)) for name in names]
            if all(header is not None for header in found):
                return tuple(str(header) for header in found), form
    raise UserError(
        f"{where}: no columns of a box were recognised (x, y, w, h; x1, y1, x2, y2; xmin, ymin, xmax, ymax; ...) among "
        f"{', '.join(headers)}; name them, as in --column x=LEFT --column y=TOP --column w=WIDTH --column h=HEIGHT"
    )


def _prefixed(usual: Iterable[tuple[str, str, str, str]]) -> Iterable[tuple[str, tuple[str, str, str, str]]]:
    return ((prefix, names) for names in usual for prefix in PREFIXES)


def _plain(header: str) -> str:
    """Return a header without case, blanks and punctuation.

    >>> _plain("BBox_X-min ")
    'bboxxmin'
    """
    return re.sub(r"[\W_]", "", header.casefold())
