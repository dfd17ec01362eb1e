"""COCO JSON files: their images and categories, read with every fault told by its place in the file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from data_cache.base.errors import RecordFault, UserError, short_repr
from data_cache.base.files import read_json
from data_cache.parts.packing import ImageEntry

LONGEST_NAME = 1024  # bytes of UTF-8
LARGEST_SIDE = 2**24  # pixels; beyond it float32 does not hold every whole number
MOST_CATEGORIES = 128  # labels of the part cache are int8
FIRST = 3  # faults that a message names
Identifier = int | str


@dataclass(frozen=True, eq=False)
class CocoIndex:
    """Images and category names of a COCO file by their ids, in the order of the file."""

    images: Mapping[Identifier, ImageEntry]
    categories: Mapping[Identifier, str]


def read_document(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in `path`. Raises UserError where it is missing or is no COCO document."""
    document = read_json(path)
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a COCO document (a JSON object with images, categories and annotations)")
    return document


def list_in(path: Path, document: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list under `key`. Raises UserError where there is none."""
    records = document.get(key)
    if not isinstance(records, list):
        raise UserError(f"{path}: not a COCO document (no list `{key}`)")
    return records


def read_index(path: Path, document: Mapping[str, Any]) -> CocoIndex:
    """Return images and categories. Raises UserError with the number of faults in both lists and the first of them."""
    images: dict[Identifier, ImageEntry] = {}
    categories: dict[Identifier, str] = {}
    names: set[str] = set()

    def read_image(record: Any) -> None:
        key, entry = _image(record)
        _new(key, images, "id")
        _new(entry.name, names, "file_name")
        images[key] = entry
        names.add(entry.name)

    def read_category(record: Any) -> None:
        key, name = identifier(record, "id"), _printable(field(record, "name"))
        _new(key, categories, "id")
        _new(name, set(categories.values()), "name")
        categories[key] = name

    found = [
        *faults_of("images", list_in(path, document, "images"), read_image),
        *faults_of("categories", list_in(path, document, "categories"), read_category),
    ]
    refuse(path, found)
    if not images or not 0 < len(categories) <= MOST_CATEGORIES:
        raise UserError(
            f"{path}: {len(images)} images and {len(categories)} categories; "
            f"at least one of each is needed, and at most {MOST_CATEGORIES} categories"
        )
    return CocoIndex(images, categories)


def faults_of(key: str, records: list[Any], read: Callable[[Any], None]) -> list[str]:
    """Call `read` on each record and return its faults, each with the record's place, counted from 0: `images[3]`."""
    found = []
    for number, record in enumerate(records):
        try:
            read(record)
        except RecordFault as fault:
            found.append(f"{key}[{number}]: {fault}")
    return found


def refuse(path: Path, found: list[str]) -> None:
    """Raise UserError with the number of faults and the first of them, where there are any."""
    if found:
        number = f"{len(found)} faults" if len(found) > 1 else "1 fault"
        raise UserError(f"{path}: {number}: {'; '.join(found[:FIRST])}{'; …' if len(found) > FIRST else ''}")


def field(record: Any, key: str) -> Any:
    """Return a value of a record. Raises RecordFault where the record is no object, or has no such value."""
    if not isinstance(record, dict):
        raise RecordFault(f"{short_repr(record)} is not an object")
    if record.get(key) is None:
        raise RecordFault(f"`{key}` is missing")
    return record[key]


def identifier(record: Any, key: str) -> Identifier:
    """Return an id, a whole number or a text. Raises RecordFault where it is something else."""
    value = field(record, key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise RecordFault(f"`{key}` {short_repr(value)} is neither a whole number nor a text")
    return value


def number(value: Any, what: str) -> float:
    """Return a finite number. Raises RecordFault where `value` is something else."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:  # a whole number of 400 digits
        pass
    raise RecordFault(f"`{what}` {short_repr(value)} is not a number")


def corners(record: Any) -> tuple[float, float, float, float]:
    """Return `bbox` [x, y, width, height] as x0, y0, x1, y1. Raises RecordFault where it is not four numbers."""
    box = field(record, "bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise RecordFault(f"`bbox` {short_repr(box)} is not [x, y, width, height]")
    x, y, width, height = (number(side, "bbox") for side in box)
    return x, y, x + width, y + height


def _image(record: Any) -> tuple[Identifier, ImageEntry]:
    key, name = identifier(record, "id"), file_name(field(record, "file_name"))
    for side in ("width", "height"):
        size = field(record, side)
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= LARGEST_SIDE:
            raise RecordFault(f"`{side}` {short_repr(size)} is not a number of pixels")
    return key, ImageEntry(name, record["width"], record["height"])


def file_name(value: Any) -> str:
    """Return the name of an image below its root. Raises RecordFault for what cannot be one."""
    try:
        encoded = value.encode() if isinstance(value, str) else b""
    except UnicodeEncodeError:  # half of a surrogate pair
        encoded = b""
    pure = PurePosixPath(value) if encoded else PurePosixPath()
    wrong = not 0 < len(encoded) <= LONGEST_NAME or b"\\" in encoded or any(byte < ord(" ") for byte in encoded)
    if wrong or pure.is_absolute() or ".." in pure.parts:
        raise RecordFault(f"`file_name` {short_repr(value)} is not a path below the images' folder")
    return str(pure)  # ./a.jpg and a.jpg are one image


def _printable(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise RecordFault(f"`name` {short_repr(value)} is not a name")
    return value


def _new(value: Identifier, known: Mapping[Identifier, Any] | set[str], key: str) -> None:
    if value in known:
        raise RecordFault(f"`{key}` {short_repr(value)} is given twice")
