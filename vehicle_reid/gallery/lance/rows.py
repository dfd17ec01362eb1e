"""The columns of a LanceDB table of a gallery, what it says about itself, and its batches of rows."""

import json

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from vehicle_reid.gallery.entries import OWN_COLUMNS
from vehicle_reid.gallery.rows import KIND, SCHEMA
from vehicle_reid.gallery.store import Columns, Header


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


def fill(columns: Columns, rows: slice | NDArray[np.intp], batch: pa.RecordBatch) -> None:
    """Write a batch of rows into these rows of `columns`."""
    for name, values in columns.items():
        column = batch.column(name)
        if name == "feature":
            values[rows] = column.flatten().to_numpy().reshape(batch.num_rows, values.shape[1])
        else:
            values[rows] = column.to_numpy(zero_copy_only=False)
