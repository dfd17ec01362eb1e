"""COCO JSON: reading of single records, shared with the detector's annotations, and of images and categories."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_cache.base.errors import RecordFault, UserError, short_repr
from data_cache.base.files import read_json
from data_cache.parts.packing import ImageEntry

LONGEST_NAME = 1024  # bytes of UTF-8
LARGEST_SIDE = 2**24  # pixels; float32 cannot represent every larger integer
MOST_CATEGORIES = 128  # labels in the part cache are int8
FAULTS_IN_MESSAGE = 3
WHOLE = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{0,30})?([eE][+-]?\d\d?)?", re.ASCII)
EDGE_TOLERANCE = 1.0  # pixels by which a box may extend beyond its image without a word; it is clipped
Identifier = int | str
Corners = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels; 0 is the left or upper edge of the image


@dataclass(frozen=True, eq=False)
class CocoIndex:
    """Images and category names of a COCO file by their ids, in file order."""

    images: Mapping[Identifier, ImageEntry]
    categories: Mapping[Identifier, str]


def read_document(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in `path`. Raises UserError if it is missing or not a COCO document."""
    document = read_json(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a COCO document (a JSON object with images, categories and annotations)")
    return document


def list_in(path: Path, document: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list under `key`. Raises UserError if there is none."""
    records = document.get(key)
    if not isinstance(records, list):
        raise UserError(f"{path}: not a COCO document (no list `{key}`)")
    return records


def read_index(path: Path, document: Mapping[str, Any]) -> CocoIndex:
    """Return images and categories. Raises UserError with the number of faults in both lists and the first ones."""
    images: dict[Identifier, ImageEntry] = {}
    categories: dict[Identifier, str] = {}
    names: set[str] = set()

    def read_image(record: Any) -> None:
        key = new_identifier(record, images)
        entry = image_entry(record)
        if not entry.width:
            raise RecordFault("`width` or `height` is missing or 0")
        name = plain_name(entry.name)
        require_new(name, names, "file_name")
        images[key] = replace(entry, name=name)
        names.add(name)

    def read_category(record: Any) -> None:
        key = new_identifier(record, categories)
        name = _category_name(record)
        require_new(name, categories.values(), "name")
        categories[key] = name

    raise_faults(
        path,
        [
            *faults_of("images", list_in(path, document, "images"), read_image),
            *faults_of("categories", list_in(path, document, "categories"), read_category),
        ],
    )
    if not images or not 0 < len(categories) <= MOST_CATEGORIES:
        raise UserError(
            f"{path}: {len(images)} images and {len(categories)} categories; "
            f"at least one of each is needed, and at most {MOST_CATEGORIES} categories"
        )
    return CocoIndex(images, categories)


def faults_of(key: str, records: list[Any], read: Callable[[Any], None]) -> list[str]:
    """Call `read` on each record and return its RecordFaults, prefixed with index, id and file name of the record."""
    faults = []
    for number, record in enumerate(records):
        try:
            read(record)
        except RecordFault as fault:
            faults.append(f"{key}[{number}]{_description(record)}: {fault}")
    return faults


def raise_faults(path: Path, faults: list[str]) -> None:
    """Raise UserError with the number of faults and the first ones, if there are any."""
    if faults:
        number = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
        first = "; ".join(faults[:FAULTS_IN_MESSAGE])
        raise UserError(f"{path}: {number}: {first}{'; …' if len(faults) > FAULTS_IN_MESSAGE else ''}")


def required(record: Any, key: str) -> Any:
    """Return a value of a record. Raises RecordFault if the record is not an object or has no such value."""
    if not isinstance(record, dict):
        raise RecordFault(f"{short_repr(record)} is not an object")
    if record.get(key) is None:
        raise RecordFault(f"`{key}` is missing")
    return record[key]


def identifier(record: Any, key: str) -> Identifier:
    """Return an id, an integer or a string. Raises RecordFault if it is anything else.

    Tools differ in how they write a number: 1, 1.0 and "1" are the same id.
    """
    value = required(record, key)
    whole = whole_number(value)
    if whole is not None:
        return whole
    if not isinstance(value, str):
        raise RecordFault(f"`{key}` {short_repr(value)} is neither an integer nor a string")
    return value


def whole_number(value: Any) -> int | None:
    """Return 1 for 1, 1.0 and "1"; None for anything that is no whole number, or one written otherwise ("01").

    >>> whole_number("1"), whole_number(1.0), whole_number("01"), whole_number(1.5), whole_number(True)
    (1, 1, None, None, None)
    """
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def new_identifier(record: Any, known: Collection[Identifier]) -> Identifier:
    """Return the `id` of a record. Raises RecordFault if it is invalid or already in `known`."""
    value = identifier(record, "id")
    require_new(value, known, "id")
    return value


def require_new(value: Identifier, known: Collection[Identifier], key: str) -> None:
    """Raise RecordFault if the value of `key` is already in `known`."""
    if value in known:
        raise RecordFault(f"`{key}` {short_repr(value)} is given twice")


def number(value: Any, key: str) -> float:
    """Return a finite number, also one written as text. Raises RecordFault if the value of `key` is anything else."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:  # an integer of 400 digits
        pass
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return float(value)
    raise RecordFault(f"`{key}` {short_repr(value)} is not a number")


def corners(record: Any) -> Corners:
    """Return `bbox` [x, y, width, height] as x0, y0, x1, y1. Raises RecordFault if it is not four numbers."""
    box = required(record, "bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise RecordFault(f"`bbox` {short_repr(box)} is not [x, y, width, height]")
    x, y, width, height = (number(side, "bbox") for side in box)
    return x, y, x + width, y + height


class BoxMending:
    """Brings boxes into their images and counts in `counts`, by what was done, those that needed more than rounding.

    If `strict`, such a box is a RecordFault.
    """

    def __init__(self, *, strict: bool = False, least_side: float = 0.0) -> None:
        """Drop boxes whose sides are not longer than `least_side` pixels."""
        self.strict, self.least_side = strict, least_side
        self.counts: Counter[str] = Counter()

    def box(self, given: Corners, width: int, height: int) -> Corners | None:
        """Return the part of a box inside its image; None if that has no area, and the box is dropped."""
        described = f"the box from {given[0]:g}, {given[1]:g} to {given[2]:g}, {given[3]:g}"
        image = f"its image of {width} x {height}"
        (x0, x1), (y0, y1) = sorted(given[::2]), sorted(given[1::2])
        if (x0, y0, x1, y1) != given:
            self._count("boxes with swapped corners were put right", f"{described} has swapped corners")
        over_edge = min(x0, y0) < -EDGE_TOLERANCE or x1 > width + EDGE_TOLERANCE or y1 > height + EDGE_TOLERANCE
        x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        if not (x1 - x0 > self.least_side and y1 - y0 > self.least_side):
            self._count("boxes without area inside their image were dropped", f"{described} has no area inside {image}")
            return None
        if over_edge:
            self._count("boxes were clipped to their image", f"{described} leaves {image}")
        return x0, y0, x1, y1

    def coco_box(self, record: Any, width: int, height: int) -> Corners | None:
        """Return the box of a COCO annotation inside its image, None if it is dropped; a crowd's is one like others.

        Raises RecordFault if `bbox` is missing or not four numbers.
        """
        if isinstance(record, dict) and record.get("bbox") == []:
            self._count("annotations with an empty box were dropped", "`bbox` is empty")
            return None
        found = self.box(corners(record), width, height)
        if found is not None and record.get("iscrowd") not in (None, 0):
            self._count("crowds were taken as one part each", "`iscrowd` marks a group; draw one box per part")
        return found

    def _count(self, what: str, fault: str) -> None:
        if self.strict:
            raise RecordFault(f"{fault}; without --strict it is mended or dropped")
        self.counts[what] += 1


def image_entry(record: Any) -> ImageEntry:
    """Return name and size of an image record, 0 x 0 if a side is missing, null or 0, as some tools write.

    The name is as given, see `plain_name`. Raises RecordFault if the name or the size is invalid.
    """
    name = _file_name(required(record, "file_name"))
    sides = []
    for key in ("width", "height"):
        value = record.get(key)
        side = 0 if value is None else whole_number(value)
        if side is None or not 0 <= side <= LARGEST_SIDE:
            raise RecordFault(f"`{key}` {short_repr(value)} is not a number of pixels")
        sides.append(side)
    width, height = sides if all(sides) else (0, 0)
    return ImageEntry(name, width, height)


def _file_name(value: Any) -> str:
    try:
        encoded = value.encode() if isinstance(value, str) else b""
    except UnicodeEncodeError:  # half of a surrogate pair
        encoded = b""
    if not 0 < len(encoded) <= LONGEST_NAME or any(byte < ord(" ") for byte in encoded):
        raise RecordFault(f"`file_name` {short_repr(value)} is not a path below the image folder")
    return str(value)


def plain_name(name: str) -> str:
    """Return a relative path in its shortest form. Raises RecordFault for any other, and for one with backslashes."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise RecordFault(f"`file_name` {short_repr(name)} is not a path below the image folder")
    return str(pure)  # ./a.jpg and a.jpg are the same image


def _category_name(record: Any) -> str:
    name = required(record, "name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise RecordFault(f"`name` {short_repr(name)} is not a name")
    return name


def _description(record: Any) -> str:
    keys = [key for key in ("id", "file_name") if isinstance(record, dict) and key in record]
    return f" ({', '.join(f'{key} {short_repr(record[key])}' for key in keys)})" if keys else ""
