"""Reader of VeRi-776: images by their names, and where the files are there its tracks, colours and types."""

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from data_cache.base.errors import RecordFault, UserError, short_repr
from data_cache.base.safe_xml import parse_xml
from data_cache.datasets.dataset import COLUMNS, Reading
from data_cache.datasets.lists import Entry, list_text, read_entries, read_image_list
from data_cache.datasets.protocols import FixedSplit, Split, fixed_split

VERI_NAME = re.compile(r"(\d{4})_c(\d{3})_\d{8}_\d+\.jpg", re.ASCII)
TRACKS = "test_track.txt"
LABELS = ("train_label.xml", "test_label.xml")
MOST_BYTES = 16 << 20  # of a label file; the released ones have about 4 MB
# column -> (attribute of an Item, list of its meanings)
ATTRIBUTES = {"colour": ("colorID", "list_color.txt"), "type": ("typeID", "list_type.txt")}
MEANING = re.compile(r"\s*([0-9]+)\s+(\S.*?)\s*")


def read_veri(root: Path) -> Reading:
    """Read VeRi-776: vehicle and camera come from the file names; junk = same vehicle and same camera.

    Where test_track.txt is there, the split `track` ranks its tracks for the queries of `test`. Where the label files
    are there, the columns `colour` and `type` hold what they say, empty where they say nothing.
    """
    rows = []
    repeated: tuple[str, ...] = ()
    for split, part in (("train", "train"), ("query", "query"), ("gallery", "test")):
        found = read_image_list(root / f"name_{part}.txt")
        repeated += found.repeated
        for number, (name, *_) in found.entries:
            match = _match(name, f"{found.path}, entry {number}")
            rows.append((f"image_{part}/{name}", match[1], int(match[2]), split))
    table = pd.DataFrame(rows, columns=COLUMNS)
    test = fixed_split(table, same_camera_is_junk=True)
    splits: dict[str, Split] = {"test": test}
    if (root / TRACKS).exists():
        splits = {"track": _track_split(root / TRACKS, table, test), "test": test}  # the default stands last
    return Reading(_with_labels(table, root), splits, repeated)


def _match(name: str, where: str) -> re.Match[str]:
    match = VERI_NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{where}: {short_repr(name)} is no VeRi file name (vehicle_cCAMERA_frame_flag.jpg)")
    return match


def _track_split(path: Path, table: pd.DataFrame, test: FixedSplit) -> FixedSplit:
    """Return the image-to-track protocol: the gallery is track after track, an image may stand in several."""
    names = table["name"].iloc[test.gallery]
    row_of = {PurePosixPath(name).name: row for name, row in zip(names, test.gallery.tolist(), strict=True)}
    gallery: list[int] = []
    starts = []
    for entry in read_entries(path, 1):
        where = f"{path}, entry {entry.number}"
        track = _track(entry, where)
        absent = next((name for name in track if name not in row_of), None)
        if absent is not None:
            raise UserError(f"{where}: {absent} is not in name_test.txt")
        starts.append(len(gallery))
        gallery += [row_of[name] for name in track]
    if not starts:
        raise UserError(f"{path}: lists no track; the file may be left out")
    return FixedSplit(
        test.query, np.array(gallery, np.int64), same_camera_is_junk=True, tracks=np.array(starts, np.int64)
    )


def _track(entry: Entry, where: str) -> list[str]:
    """Return the images of a track, each once: a release begins the line with a name for the track."""
    first, *others = entry.fields
    names = [first, *others] if VERI_NAME.fullmatch(first) else others
    if not names:
        raise UserError(f"{where}: the track has no image ({short_repr(first)})")
    seen = {_match(name, where).group(1, 2) for name in names}
    if len(seen) > 1:
        told = ", ".join(sorted(f"vehicle {vehicle} by camera {camera}" for vehicle, camera in seen))
        raise UserError(f"{where}: a track has images of one vehicle by one camera, this one of {told}")
    return list(dict.fromkeys(names))


def _with_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    paths = [root / name for name in LABELS if (root / name).exists()]
    if not paths:
        return table
    items = {}  # by file name: training and test share none, queries are copies of gallery images
    for path in paths:
        try:
            found = parse_xml(path, most_bytes=MOST_BYTES, errors="replace")
        except RecordFault as fault:
            raise UserError(f"{path}: {fault}; fetch it again, or leave it out: it only tells colours") from fault
        items.update({item.get("imageName", ""): item.attrib for item in found.iter("Item")})
    of_image = [items.get(PurePosixPath(name).name, {}) for name in table["name"]]
    for column, (attribute, meanings) in ATTRIBUTES.items():
        meaning = _meanings(root / meanings)
        numbers = [attributes.get(attribute, "").strip() for attributes in of_image]
        table[column] = [meaning.get(number, number) for number in numbers]
    return table


def _meanings(path: Path) -> dict[str, str]:
    """Return what the numbers of an attribute mean, as far as the list tells; 0 stands for nothing."""
    lines = list_text(path, ("utf-8-sig", "gb18030", "latin-1")).split("\n") if path.exists() else []
    found = [match for line in lines if (match := MEANING.fullmatch(line))]
    return {"0": ""} | {match[1]: match[2] for match in found}
