"""The tree of VeRi-776: vehicle and camera in the file names, every query in the gallery too, labels in XML."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import PurePosixPath

from data_cache.synthetic.dataset.placing import Layout, Place, list_file, used_as
from data_cache.synthetic.dataset.plan import Shot
from data_cache.synthetic.design.fleet import Vehicle

PARTS = {"train": "train", "query": "query", "gallery": "test"}  # split -> as the files are named
COLOURS = ("yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black")  # numbered from 1
TYPES = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")
OTHER_NAMES = {"silver": "gray", "grey": "gray", "gold": "golden", "minibus": "bus"}


def _place(shots: Sequence[Shot]) -> list[Place]:
    places = []
    for shot in shots:
        splits = ("query", "gallery") if shot.split == "query" else (shot.split,)
        places += [Place(shot, f"image_{PARTS[split]}/{_file_name(shot)}", split) for split in splits]
    return places


def _file_name(shot: Shot) -> str:
    """Return vehicle, camera, frame and flag; a vehicle passes a camera once, its pictures five frames apart."""
    frame = 1000 * shot.vehicle + 5 * (shot.take - 1)
    return f"{shot.vehicle:04d}_c{shot.camera:03d}_{frame:08d}_0.jpg"


def _lists(places: Sequence[Place], vehicles: Mapping[int, Vehicle]) -> dict[str, bytes]:
    train, query, gallery = (used_as(places, split) for split in PARTS)
    return {
        "name_train.txt": list_file(map(_name, train)),
        "name_query.txt": list_file(map(_name, query)),
        "name_test.txt": list_file(map(_name, gallery)),
        "gt_index.txt": list_file(_indices(query, gallery, same_camera=False)),
        "jk_index.txt": list_file(_indices(query, gallery, same_camera=True)),
        "test_track.txt": list_file(_tracks(gallery)),
        "train_label.xml": _labels(train, vehicles),
        "test_label.xml": _labels(gallery, vehicles),
        "list_color.txt": list_file(f"{number} {name}" for number, name in enumerate(COLOURS, start=1)),
        "list_type.txt": list_file(f"{number} {name}" for number, name in enumerate(TYPES, start=1)),
    }


def _name(place: Place) -> str:
    return PurePosixPath(place.name).name


def _indices(query: Sequence[Place], gallery: Sequence[Place], *, same_camera: bool) -> list[str]:
    """Return a line a query: the 1-based gallery places of its vehicle by its own camera, or by the others."""
    places_of: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, place in enumerate(gallery, start=1):
        places_of[place.shot.vehicle].append((index, place.shot.camera))
    return [
        " ".join(
            str(index)
            for index, camera in places_of[place.shot.vehicle]
            if (camera == place.shot.camera) == same_camera
        )
        for place in query
    ]


def _tracks(gallery: Sequence[Place]) -> list[str]:
    """Return a line a track, the images of a vehicle by a camera: the name of the track, then theirs."""
    by_track = groupby(map(_name, gallery), key=lambda name: name[: len("0001_c001")])
    tracks = [list(names) for _, names in by_track]
    return [" ".join([names[0].removesuffix("_0.jpg"), *names]) for names in tracks]


def _labels(places: Sequence[Place], vehicles: Mapping[int, Vehicle]) -> bytes:
    items = []
    for place in places:
        shot, design = place.shot, vehicles[place.shot.vehicle].design
        colour = COLOURS.index(OTHER_NAMES.get(design.colour, design.colour)) + 1
        body = TYPES.index(OTHER_NAMES.get(design.body.name, design.body.name)) + 1
        items.append(
            f'<Item imageName="{_name(place)}" vehicleID="{shot.vehicle:04d}" cameraID="c{shot.camera:03d}" '
            f'colorID="{colour}" typeID="{body}"/>'
        )
    begin = [
        '<?xml version="1.0" encoding="gb2312"?>',
        '<TrainingImages Version="1.0">',
        f'<Items number="{len(items)}">',
    ]
    return "".join(f"{line}\n" for line in [*begin, *items, "</Items>", "</TrainingImages>"]).encode("gb2312")


VERI = Layout("veri", ("VeRi",), _place, _lists)
