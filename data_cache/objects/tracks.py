"""The best boxes of a track: large ones, spread over its frames."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from data_cache.objects.video import split_frame


def best_of_tracks(objects: pd.DataFrame, areas: Mapping[int, float], count: int) -> set[int]:
    """Return the rows of the `count` best boxes of each track, all queries, and all rows without a vehicle.

    A track is the objects of one vehicle in one video or, of images, by one camera; those of another table or split
    are another track. Its boxes, in the order of their frames, are divided into `count` spans of equal length (but for
    one box), and the largest box of each span is kept, of equal ones the first. `objects` is an `objects_table`;
    `areas` are pixels inside the frame of the rows that count, (row -> area).
    """
    kept: set[int] = set()
    tracks: dict[tuple[str, ...], list[int]] = defaultdict(list)
    frames: dict[int, list[str | int]] = {}
    known = objects.loc[list(areas), ["file", "split", "vehicle_id", "camera_id", "image"]]
    for row, file, split, vehicle, camera, image in known.itertuples(name=None):
        video, number = split_frame(image)
        if vehicle and split != "query":
            tracks[file, split, vehicle, camera if number is None else video].append(row)
            frames[row] = _in_order(image)
        else:
            kept.add(row)
    for rows in tracks.values():
        rows.sort(key=lambda row: (frames[row], row))
        kept.update(max(span, key=areas.__getitem__) for span in _spans(rows, count) if span)
    return kept


def _spans(rows: Sequence[int], count: int) -> list[Sequence[int]]:
    return [rows[span * len(rows) // count : (span + 1) * len(rows) // count] for span in range(count)]


def _in_order(image: str) -> list[str | int]:
    """Return a key that sorts names by the numbers in them.

    >>> sorted(["clip.mp4#10", "clip.mp4#9"], key=_in_order)
    ['clip.mp4#9', 'clip.mp4#10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", image)]
