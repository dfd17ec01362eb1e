"""COCO JSON of annotated parts, read whole: a fault in one record is noted and the others are still looked at."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from data_cache.base.errors import RecordFault
from data_cache.base.files import read_json
from data_cache.parts.coco import LARGEST_SIDE, Identifier, corners, file_name, identifier
from data_cache.parts.coco import field as required
from data_cache.parts.names import PART_NAMES
from detect.annotations.faults import counted, noting, shown
from detect.annotations.part_mapping import PartMapping, normal_form, suggestion
from detect.annotations.pictures import Corners, ImageRecord, is_picture

KINDS = {"categories": "category", "images": "image", "annotations": "annotation"}


@dataclass
class CocoReading:
    """The sound records of a file, and one line for every fault of the others."""

    images: dict[Identifier, ImageRecord] = field(default_factory=dict)
    parts: dict[Identifier, list[tuple[Corners, str]]] = field(default_factory=lambda: defaultdict(list))  # by image
    labels: Counter[str] = field(default_factory=Counter)  # annotations by the file's own category name
    faults: list[str] = field(default_factory=list)


def read_coco(path: Path, image_root: Path, mapping: PartMapping) -> CocoReading:
    """Read COCO JSON whose categories are parts by `mapping`; images are looked up below `image_root`.

    Categories are matched by name, never by number. An annotation whose label the mapping drops is counted and passed
    over. One with `iscrowd` is a fault: it marks a group of things, and the detector learns single parts. Raises
    UserError only where the file is no JSON at all.
    """
    document = read_json(path)
    if not isinstance(document, dict):
        return CocoReading(faults=["not COCO JSON (no object)"])
    missing = [key for key in KINDS if not isinstance(document.get(key), list)]
    if missing:
        return CocoReading(faults=[f"not COCO JSON (no list `{key}`)" for key in missing])
    return _Checker(image_root, mapping).read(document)


class _Checker:
    """Reads the lists of a file in turn; what one record needs of the others is kept here."""

    def __init__(self, image_root: Path, mapping: PartMapping) -> None:
        self.image_root, self.mapping = image_root, mapping
        self.reading = CocoReading()
        self.faults = self.reading.faults
        # also of records with a fault, so that an annotation is not blamed for that of its image or category
        self.ids: dict[str, set[Identifier]] = {key: set() for key in KINDS}
        self.names: dict[str, set[str]] = {"categories": set(), "images": set()}
        self.labels: dict[Identifier, str] = {}  # names of the sound categories, parts or not

    def read(self, document: dict[str, list[Any]]) -> CocoReading:
        for where, key, record in self._identified("categories", document):
            with noting(self.faults, where):
                self._read_category(key, record)
        for where, key, record in self._identified("images", document):
            self._read_image(f"{where} ({shown(record.get('file_name'))})", key, record)
        for where, _, record in self._identified("annotations", document):
            self._read_annotation(where, record)
        self.faults[:0] = self._unknown_labels()  # first, because they often explain the others
        if not self.reading.parts and not self.faults:
            self.faults.append(f"no annotated part in {counted(len(document['images']), 'image')}")
        return self.reading

    def _identified(
        self, key: str, document: dict[str, list[Any]]
    ) -> Iterator[tuple[str, Identifier | None, dict[str, Any]]]:
        """Yield (what it is called, id, record) of every record; without an id of its own it goes by its place."""
        for place, record in enumerate(document[key]):
            where, known = f"{key}[{place}]", len(self.ids[key])
            with noting(self.faults, where):
                self._add(self.ids[key], identifier(record, "id"), "id")
            if len(self.ids[key]) > known:
                yield f"{KINDS[key]} {shown(record['id'])}", record["id"], record
            elif isinstance(record, dict):
                yield where, None, record

    def _add(self, known: set[Any], value: Identifier, key: str) -> None:
        if value in known:
            raise RecordFault(f"`{key}` {shown(value)} is given twice")
        known.add(value)

    def _read_category(self, key: Identifier | None, record: dict[str, Any]) -> None:
        name = required(record, "name")
        if not isinstance(name, str) or not normal_form(name):
            raise RecordFault(f"`name` {shown(name)} is not a name")
        self._add(self.names["categories"], normal_form(name), "name")
        if key is not None:
            self.labels[key] = name

    def _read_image(self, where: str, key: Identifier | None, record: dict[str, Any]) -> None:
        before = len(self.faults)
        name, sides, vehicle = "", {"width": 0, "height": 0}, None
        with noting(self.faults, where):
            name = self._file_name(record)
        for side in sides:
            with noting(self.faults, where):
                sides[side] = _side(record, side)
        with noting(self.faults, where):
            vehicle = _vehicle(record)
        if key is not None and len(self.faults) == before:
            self.reading.images[key] = ImageRecord(name, sides["width"], sides["height"], vehicle)

    def _file_name(self, record: dict[str, Any]) -> str:
        name = file_name(required(record, "file_name"))
        there = is_picture(self.image_root, name)
        self._add(self.names["images"], str(PurePosixPath(name)), "file_name")
        if not there:
            raise RecordFault(f"missing below {self.image_root}")
        return str(PurePosixPath(name))

    def _read_annotation(self, where: str, record: dict[str, Any]) -> None:
        before = len(self.faults)
        image = label = edges = None
        with noting(self.faults, where):
            label = self.labels.get(self._reference(record, "category_id", "categories"))
        with noting(self.faults, where):
            image = self.reading.images.get(self._reference(record, "image_id", "images"))
        if label is not None:
            self.reading.labels[label] += 1
        if label is not None and label in self.mapping and self.mapping[label] is None:
            return
        with noting(self.faults, where):
            _refuse_crowd(record)
        with noting(self.faults, where):
            edges = corners(record)
            if image is not None:
                edges = image.clipped(edges)
        part = self.mapping[label] if label is not None and label in self.mapping else None
        if image is not None and edges is not None and part is not None and len(self.faults) == before:
            self.reading.parts[record["image_id"]].append((edges, part))

    def _reference(self, record: dict[str, Any], key: str, to: str) -> Identifier:
        value = identifier(record, key)
        if value not in self.ids[to]:
            raise RecordFault(f"no {KINDS[to]} has id {shown(value)}")
        return value

    def _unknown_labels(self) -> list[str]:
        unknown = {key: label for key, label in self.labels.items() if label not in self.mapping}
        if unknown and len(unknown) == len(self.labels):
            names = ", ".join(shown(label) for label in unknown.values())
            return [f"no category is a part, there are only {names}; the parts are {', '.join(PART_NAMES)}"]
        return [
            f"category {shown(key)}: {shown(label)} ({counted(self.reading.labels[label], 'annotation')}) "
            f"is none of the parts{suggestion(label)}"
            for key, label in unknown.items()
        ]


def _side(record: dict[str, Any], key: str) -> int:
    side = required(record, key)
    if isinstance(side, bool) or not isinstance(side, int) or not 1 <= side <= LARGEST_SIDE:
        raise RecordFault(f"`{key}` {shown(side)} is not a number of pixels")
    return side


def _vehicle(record: dict[str, Any]) -> str | None:
    vehicle = record.get("vehicle_id")
    if isinstance(vehicle, bool) or not isinstance(vehicle, int | str | None) or not str(vehicle).isprintable():
        raise RecordFault(f"`vehicle_id` {shown(vehicle)} is neither a whole number nor a text")
    return None if vehicle in (None, "") else str(vehicle)


def _refuse_crowd(record: dict[str, Any]) -> None:
    if record.get("iscrowd") not in (None, 0):
        raise RecordFault("`iscrowd` marks a group; draw one box for each part, or take it out")
