"""The layout of VeRi-776: vehicle and camera in the file names, queries repeated in the gallery, labels in XML."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import PurePosixPath

from data_cache.synthetic.dataset.layout import ImageFile, Layout, encode_lines, files_of
from data_cache.synthetic.dataset.plan import Shot
from data_cache.synthetic.design.traits import Vehicle

NAMES = {"train": "train", "query": "query", "gallery": "test"}  # split -> its name in files and folders
COLOURS = ("yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black")  # from 1
TYPES = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")  # from 1
OFFICIAL_NAMES = {"silver": "gray", "grey": "gray", "gold": "golden", "minibus": "bus"}


def _images(shots: Sequence[Shot]) -> list[ImageFile]:
    files = []
    for shot in shots:
        splits = ("query", "gallery") if shot.split == "query" else (shot.split,)
        files += [ImageFile(shot, f"image_{NAMES[split]}/{_file_name(shot)}", split) for split in splits]
    return files


def _file_name(shot: Shot) -> str:
    """Return vehicle, camera, frame and flag; the pictures of a vehicle by a camera are five frames apart."""
    frame = 1000 * shot.vehicle + 5 * (shot.take - 1)
    return f"{shot.vehicle:04d}_c{shot.camera:03d}_{frame:08d}_0.jpg"


def _lists(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> dict[str, bytes]:
    train, query, gallery = (files_of(files, split) for split in NAMES)
    return {
        "name_train.txt": encode_lines(map(_name, train)),
        "name_query.txt": encode_lines(map(_name, query)),
        "name_test.txt": encode_lines(map(_name, gallery)),
        "gt_index.txt": encode_lines(_matches(query, gallery, same_camera=False)),
        "jk_index.txt": encode_lines(_matches(query, gallery, same_camera=True)),
        "test_track.txt": encode_lines(_tracks(gallery)),
        "train_label.xml": _labels(train, vehicles),
        "test_label.xml": _labels(gallery, vehicles),
        "list_color.txt": encode_lines(f"{number} {name}" for number, name in enumerate(COLOURS, start=1)),
        "list_type.txt": encode_lines(f"{number} {name}" for number, name in enumerate(TYPES, start=1)),
    }


def _name(file: ImageFile) -> str:
    return PurePosixPath(file.name).name


def _matches(query: Sequence[ImageFile], gallery: Sequence[ImageFile], *, same_camera: bool) -> list[str]:
    """Return one line per query: the 1-based gallery indices of its vehicle, by the same camera or by the others."""
    by_vehicle: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, file in enumerate(gallery, start=1):
        by_vehicle[file.shot.vehicle].append((index, file.shot.camera))
    return [
        " ".join(
            str(index) for index, camera in by_vehicle[file.shot.vehicle] if (camera == file.shot.camera) == same_camera
        )
        for file in query
    ]


def _tracks(gallery: Sequence[ImageFile]) -> list[str]:
    """Return one line per track (the images of a vehicle by a camera): its name and its images."""
    by_track = groupby(map(_name, gallery), key=lambda name: name[: len("0001_c001")])
    tracks = [list(names) for _, names in by_track]
    return [" ".join([names[0].removesuffix("_0.jpg"), *names]) for names in tracks]


def _labels(files: Sequence[ImageFile], vehicles: Mapping[int, Vehicle]) -> bytes:
    items = []
    for file in files:
        shot, design = file.shot, vehicles[file.shot.vehicle].design
        colour = COLOURS.index(OFFICIAL_NAMES.get(design.colour, design.colour)) + 1
        body = TYPES.index(OFFICIAL_NAMES.get(design.body.name, design.body.name)) + 1
        items.append(
            f'<Item imageName="{_name(file)}" vehicleID="{shot.vehicle:04d}" cameraID="c{shot.camera:03d}" '
            f'colorID="{colour}" typeID="{body}"/>'
        )
    begin = [
        '<?xml version="1.0" encoding="gb2312"?>',
        '<TrainingImages Version="1.0">',
        f'<Items number="{len(items)}">',
    ]
    return "".join(f"{line}\n" for line in [*begin, *items, "</Items>", "</TrainingImages>"]).encode("gb2312")


VERI = Layout("veri", ("VeRi",), _images, _lists)
