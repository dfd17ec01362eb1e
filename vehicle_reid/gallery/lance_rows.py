"""Images as rows of a LanceDB table, with a checksum each, and back: bit for bit the same."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from vehicle_reid.gallery.entries import OWN_COLUMNS, Entries
from vehicle_reid.gallery.store import Columns, Header

KIND, SCHEMA = "gallery", 2
FLOATS, INTEGERS = "<f4", "<i8"  # little-endian


def schema_of(header: Header) -> pa.Schema:
    """Return the columns of a gallery, and in the metadata what it is."""
    types = {
        "id": pa.int64(),
        "name": pa.string(),
        "camera": pa.int64(),
        "feature": pa.list_(pa.float32(), header.channels),
        "boxes": pa.binary(),
        "labels": pa.binary(),
        "attention": pa.binary(),
        "crc": pa.uint32(),
        **dict.fromkeys(header.columns, pa.string()),
    }
    metadata = {
        "kind": KIND,
        "schema": str(SCHEMA),
        "identity": header.identity,
        "index": header.index,
        "model": json.dumps(dict(header.model)),
        "slots": str(header.slots),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()], metadata)


def header_of(schema: pa.Schema) -> Header:
    """Return what a gallery is. Raises UserError if it is another thing, or of another schema."""
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    if (metadata.get("kind"), metadata.get("schema")) != (KIND, str(SCHEMA)):
        raise UserError(f"not a gallery of schema {SCHEMA}")
    try:
        header = Header(
            identity=metadata["identity"],
            index=metadata["index"],
            model=json.loads(metadata["model"]),
            channels=schema.field("feature").type.list_size,
            slots=int(metadata["slots"]),
            columns=tuple(name for name in schema.names if name not in OWN_COLUMNS),
        )
    except (LookupError, ValueError, AttributeError) as error:
        raise UserError(f"not a valid gallery ({error})") from error
    if schema != schema_of(header):
        raise UserError(f"not a valid gallery (its columns are {', '.join(schema.names)})")
    return header


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


def table_of(columns: Columns, schema: pa.Schema) -> pa.Table:
    """Return rows with all columns of `schema` as an Arrow table."""
    features = columns["feature"]
    arrays = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), features.shape[1])
        if name == "feature"
        else pa.array(columns[name], schema.field(name).type)
        for name in schema.names
    }
    return pa.Table.from_arrays([*arrays.values()], schema=schema)


def empty_columns(names: Sequence[str], count: int, channels: int) -> Columns:
    """Return columns of `count` rows, to be filled by `fill`."""
    types: Mapping[str, Any] = {"id": np.int64, "camera": np.int64, "feature": np.float32, "crc": np.uint32}
    return {
        name: np.empty((count, channels) if name == "feature" else count, types.get(name, object)) for name in names
    }


def fill(columns: Columns, rows: slice | NDArray[np.intp], batch: pa.RecordBatch) -> None:
    """Write a batch of rows into these rows of `columns`."""
    for name, values in columns.items():
        column = batch.column(name)
        if name == "feature":
            values[rows] = column.flatten().to_numpy().reshape(batch.num_rows, values.shape[1])
        else:
            values[rows] = column.to_numpy(zero_copy_only=False)


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array
