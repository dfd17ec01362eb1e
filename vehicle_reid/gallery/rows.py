"""Images as the rows of a store, with a checksum each, and back: bit for bit the same."""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError, printable
from reid.retrieval.ranking import Numbers
from vehicle_reid.gallery.entries import OWN_COLUMNS, Entries, require_columns
from vehicle_reid.gallery.filters import Filter
from vehicle_reid.gallery.store import Columns, Header, StoreFault, rebuild

KIND, SCHEMA = "gallery", 2
SAMPLE = 64  # rows whose checksums are verified when a gallery is opened
FLOATS, INTEGERS = "<f4", "<i8"  # little-endian


def columns_of(entries: Entries, first_id: int, columns: Sequence[str]) -> Columns:
    """Return all columns of a gallery for images with the ids from `first_id` on; `columns` are those of the details.

    Arrays of an image are bytes, in cells.
    """
    count = len(entries)
    found: Columns = {
        "id": np.arange(first_id, first_id + count, dtype=np.int64),
        "name": _objects(entries.names),
        "camera": entries.cameras,
        "feature": entries.features,
        "boxes": _objects([boxes.tobytes() for boxes in entries.boxes.astype(FLOATS)]),
        "labels": _objects([labels.tobytes() for labels in entries.labels]),
        "attention": _objects([attention.tobytes() for attention in entries.attention.astype(FLOATS)]),
    }
    for column in columns:
        values = entries.details[column] if column in entries.details else [""] * count
        found[column] = _objects(list(values))
    return {**found, "crc": checksums(found)}


def entries_of(columns: Columns, slots: int) -> Entries:
    """Return rows of a gallery with `slots` for parts. Raises UserError if they are damaged."""
    details = {name: values for name, values in columns.items() if name not in OWN_COLUMNS}
    count = len(columns["id"])
    try:
        attention = np.frombuffer(b"".join(columns["attention"]), FLOATS)
        return Entries(
            tuple(columns["name"]),
            columns["id"],
            columns["camera"],
            columns["feature"],
            np.frombuffer(b"".join(columns["boxes"]), FLOATS).reshape(count, slots, 4).astype(np.float32),
            np.frombuffer(b"".join(columns["labels"]), np.int8).reshape(count, slots).copy(),
            attention.reshape(count, len(attention) // max(1, count)).astype(np.float32),
            details=pd.DataFrame(details),
        )
    except (UserError, ValueError) as error:  # another program may have written a valid checksum
        raise UserError(f"not a valid gallery ({error})") from error


def checksums(columns: Columns) -> NDArray[np.uint32]:
    """Return the CRC-32 of each row (N,), of all columns but crc; empty details do not count, so that more can come."""
    details = sorted(set(columns) - set(OWN_COLUMNS))
    texts = [[f"{name}={value}" if value else "" for value in columns[name]] for name in details]
    numbers = np.stack([columns["id"], columns["camera"]], axis=1).astype(INTEGERS)
    features = np.ascontiguousarray(columns["feature"], FLOATS)
    found = np.empty(len(numbers), np.uint32)
    arrays = zip(columns["boxes"], columns["labels"], columns["attention"], strict=True)
    for row, (name, cells) in enumerate(zip(columns["name"], arrays, strict=True)):
        words = "\0".join([name, *filter(None, (column[row] for column in texts))])
        crc = zlib.crc32(words.encode(), zlib.crc32(numbers[row]))
        for part in (features[row], *cells):
            crc = zlib.crc32(part, crc)
        found[row] = crc
    return found


def require_checksums(address: str, columns: Columns) -> None:
    """Raise StoreFault if the checksum of a row, all of whose columns are given, is not that of the row."""
    wrong = checksums(columns) != columns["crc"]
    if wrong.any():
        name = columns["name"][int(wrong.argmax())]
        raise StoreFault(f"{address}: {printable(name)}: damaged, its checksum does not fit; {rebuild()}")


def sampled(count: int) -> Numbers:
    """Return at most `SAMPLE` of the numbers below `count`, at equal distances, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64))


def ids_by_name(read: Callable[[Sequence[str], Filter], Columns], names: Sequence[str], at_once: int) -> dict[str, int]:
    """Return the ids of those of the names that `read` finds, which is asked for at most `at_once` of them."""
    found: dict[str, int] = {}
    for first in range(0, len(names), at_once):
        columns = read(["id", "name"], Filter(names=tuple(names[first : first + at_once])))
        found.update(zip(columns["name"], columns["id"].tolist(), strict=True))
    return found


def check_rows(address: str, batches: Iterable[Columns]) -> int:
    """Verify the checksums of all rows, and that names and ids are unique; return the number of rows.

    Raises StoreFault naming the first bad row.
    """
    names: set[str] = set()
    ids: set[int] = set()
    for columns in batches:
        require_checksums(address, columns)
        for name, number in zip(columns["name"], columns["id"].tolist(), strict=True):
            if name in names or number in ids:
                twice = "name" if name in names else "id"
                raise StoreFault(f"{address}: {printable(name)}: its {twice} occurs more than once; {rebuild()}")
            names.add(name)
            ids.add(number)
    return len(names)


def require_fit(address: str, header: Header, weights: int | None, entries: Entries) -> None:
    """Raise UserError unless images have the shapes of a gallery's, and details that can stand beside its own.

    `weights` is the width of the attention of its images, None if it has no image.
    """
    require_columns([*dict.fromkeys([*header.columns, *entries.columns])])
    found = (entries.features.shape[1], entries.labels.shape[1], entries.attention.shape[1])
    wanted = (header.channels, header.slots, found[2] if weights is None else weights)
    if found != wanted:
        raise UserError(f"{address}: images of {found} channels, slots and weights do not fit the gallery's {wanted}")


def require_new(names: Sequence[str], existing: Mapping[str, int]) -> None:
    """Raise UserError if some of the names are those of images that are there."""
    if existing:
        first = next(name for name in names if name in existing)
        raise UserError(f"{len(existing)} images are already in the gallery, first {first}; remove them first")


def require_there(names: Sequence[str], existing: Mapping[str, int]) -> None:
    """Raise UserError unless all names are those of images that are there."""
    missing = [name for name in names if name not in existing]
    if missing:
        raise UserError(f"gallery: {len(missing)} of {len(names)} names are not in it, first {missing[0]}")


def empty_columns(names: Sequence[str], count: int, channels: int) -> Columns:
    """Return columns of `count` rows, to be filled by `fill`."""
    types: Mapping[str, Any] = {"id": np.int64, "camera": np.int64, "feature": np.float32, "crc": np.uint32}
    return {
        name: np.empty((count, channels) if name == "feature" else count, types.get(name, object)) for name in names
    }


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array
