"""Reader of VeRi-776: images by name, and its tracks, colours and types if their files exist."""

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from data_cache.base.errors import RecordFault, UserError, short_repr
from data_cache.base.safe_xml import parse_xml
from data_cache.datasets.dataset import COLUMNS, ParsedLists
from data_cache.datasets.lists import Entry, list_text, read_entries, read_image_list
from data_cache.datasets.protocols import FixedSplit, Split, fixed_split

VERI_NAME = re.compile(r"(\d{4})_c(\d{3})_\d{8}_\d+\.jpg", re.ASCII)
TRACKS = "test_track.txt"
LABELS = ("train_label.xml", "test_label.xml")
MAX_LABEL_BYTES = 16 << 20  # the released label files have about 4 MB
# column -> (XML attribute of an image, list of the names of its values)
ATTRIBUTES = {"colour": ("colorID", "list_color.txt"), "type": ("typeID", "list_type.txt")}
VALUE_NAME = re.compile(r"\s*([0-9]+)\s+(\S.*?)\s*")


def read_veri(root: Path) -> ParsedLists:
    """Read VeRi-776: vehicle and camera come from the file names; junk = same vehicle and same camera.

    There need not be training images. If test_track.txt exists, the split `track` ranks its tracks for the queries of
    `test`. If the label files exist, their values become the columns `colour` and `type`, empty for images without one.
    """
    rows = []
    repeated: tuple[str, ...] = ()
    for split, part in (("train", "train"), ("query", "query"), ("gallery", "test")):
        path = root / f"name_{part}.txt"
        images = read_image_list(path, folder=f"image_{part}", optional=split == "train")
        repeated += images.repeated
        for number, (name, *_) in images.entries:
            match = _match(name, f"{images.path}, entry {number}")
            rows.append((f"image_{part}/{name}", match[1], int(match[2]), split))
    table = pd.DataFrame(rows, columns=COLUMNS)
    test = fixed_split(table, same_camera_is_junk=True)
    splits: dict[str, Split] = {"test": test}
    if (root / TRACKS).exists():
        splits = {"track": _track_split(root / TRACKS, table, test), "test": test}  # the default is last
    no_training = "" if (table["split"] == "train").any() else "no train list (name_train.txt)"
    return ParsedLists(_with_labels(table, root), splits, repeated, no_training)


def _match(name: str, where: str) -> re.Match[str]:
    match = VERI_NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{where}: {short_repr(name)} is not a VeRi file name (vehicle_cCAMERA_frame_flag.jpg)")
    return match


def _track_split(path: Path, table: pd.DataFrame, test: FixedSplit) -> FixedSplit:
    """Return the image-to-track protocol; its gallery is the images of all tracks, which may share images."""
    names = table["name"].iloc[test.gallery]
    row_of = {PurePosixPath(name).name: row for name, row in zip(names, test.gallery.tolist(), strict=True)}
    gallery: list[int] = []
    starts = []
    for entry in read_entries(path):
        where = f"{path}, entry {entry.number}"
        track = _track(entry, where)
        absent = next((name for name in track if name not in row_of), None)
        if absent is not None:
            raise UserError(f"{where}: {absent} is not in name_test.txt")
        starts.append(len(gallery))
        gallery += [row_of[name] for name in track]
    if not starts:
        raise UserError(f"{path}: lists no track; remove the file if you do not need tracks")
    return FixedSplit(
        test.query, np.array(gallery, np.int64), same_camera_is_junk=True, tracks=np.array(starts, np.int64)
    )


def _track(entry: Entry, where: str) -> list[str]:
    """Return the unique images of a track; one release starts each line with the name of the track."""
    first, *others = entry.fields
    names = [first, *others] if VERI_NAME.fullmatch(first) else others
    if not names:
        raise UserError(f"{where}: the track has no image ({short_repr(first)})")
    sources = {_match(name, where).group(1, 2) for name in names}
    if len(sources) > 1:
        listed = ", ".join(sorted(f"vehicle {vehicle} by camera {camera}" for vehicle, camera in sources))
        raise UserError(f"{where}: a track shows one vehicle by one camera, this one {listed}")
    return list(dict.fromkeys(names))


def _with_labels(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    paths = [root / name for name in LABELS if (root / name).exists()]
    if not paths:
        return table
    labels: dict[str, dict[str, str]] = {}  # by file name: queries are copies of gallery images
    for path in paths:
        try:
            root_element = parse_xml(path, most_bytes=MAX_LABEL_BYTES, errors="replace")
        except RecordFault as fault:
            raise UserError(
                f"{path}: {fault}; download it again or remove it, it only gives colours and types"
            ) from fault
        labels.update({item.get("imageName", ""): item.attrib for item in root_element.iter("Item")})
    labels_of_rows = [labels.get(PurePosixPath(name).name, {}) for name in table["name"]]
    for column, (attribute, list_name) in ATTRIBUTES.items():
        value_names = _value_names(root / list_name)
        numbers = [label.get(attribute, "").strip() for label in labels_of_rows]
        table[column] = [value_names.get(number, number) for number in numbers]
    return table


def _value_names(path: Path) -> dict[str, str]:
    """Return the names of an attribute's values, as far as the list has them; 0 means unknown."""
    lines = list_text(path, ("utf-8-sig", "gb18030", "latin-1")).split("\n") if path.exists() else []
    matches = [match for line in lines if (match := VALUE_NAME.fullmatch(line))]
    return {"0": ""} | {match[1]: match[2] for match in matches}
