"""Images as rows of a Milvus collection and back, and the row that says what the gallery is."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_cache.base.errors import UserError, printable
from vehicle_reid.gallery.entries import DETAILS
from vehicle_reid.gallery.filters import OTHERS, WORDS, searchable
from vehicle_reid.gallery.milvus.server import MOST_BYTES, NUMBER, OBJECT, TEXT, VECTOR, Row
from vehicle_reid.gallery.rows import KIND, SCHEMA, empty_columns
from vehicle_reid.gallery.store import Columns, Header

ARRAYS = ("boxes", "labels", "attention")  # their bytes are stored as text, in base64
TYPES = {
    "id": NUMBER,
    "name": TEXT,
    WORDS: TEXT,
    "camera": NUMBER,
    "feature": VECTOR,
    **dict.fromkeys(ARRAYS, TEXT),
    "crc": NUMBER,
    **dict.fromkeys(DETAILS, TEXT),
    OTHERS: OBJECT,
}
STATE_ID = -1  # of the row that holds the state, as JSON in place of a name: properties differ between versions


@dataclass(frozen=True)
class State:
    """What a gallery is, and which of the rows belong to it: those with ids below `next_id`."""

    header: Header
    version: int  # 0 while the gallery is being created
    next_id: int  # smallest id that was never used; rows from it on are of an `add` that did not end
    images: int | None  # number of images, None while some are being removed

    def after(self, **changes: Any) -> "State":
        """Return the next version, with these changes."""
        return replace(self, version=self.version + 1, **changes)


def state_row(state: State) -> Row:
    """Return the row that holds the state. Raises UserError if the details have too many columns for it."""
    header = state.header
    values = {
        "kind": KIND,
        "schema": SCHEMA,
        "identity": header.identity,
        "index": header.index,
        "model": dict(header.model),
        "channels": header.channels,
        "slots": header.slots,
        "columns": list(header.columns),
        "version": state.version,
        "next_id": state.next_id,
        "images": state.images,
    }
    text = json.dumps(values)
    if len(text) > MOST_BYTES:
        raise UserError(f"details: {len(header.columns)} columns are too many for a gallery on a Milvus server")
    empty = {name: {TEXT: "", NUMBER: 0, OBJECT: {}}.get(kind) for name, kind in TYPES.items()}
    unit = np.eye(1, header.channels, dtype=np.float32)[0]  # a vector is needed
    return {**empty, "id": STATE_ID, "name": text, "feature": unit}


def state_of(row: Row) -> State:
    """Return the state that a row holds. Raises UserError if it holds something else."""
    try:
        values = json.loads(row["name"])
        if (values["kind"], values["schema"]) != (KIND, SCHEMA):
            raise UserError(f"not a gallery of schema {SCHEMA}")
        header = Header(
            identity=values["identity"],
            index=values["index"],
            model=values["model"],
            channels=int(values["channels"]),
            slots=int(values["slots"]),
            columns=tuple(values["columns"]),
        )
        images = values["images"]
        return State(header, int(values["version"]), int(values["next_id"]), None if images is None else int(images))
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"not a valid gallery ({printable(error)})") from error


def stored_columns(names: Sequence[str]) -> list[str]:
    """Return the collection's columns that hold these columns of a gallery, and id."""
    return [*dict.fromkeys(["id", *(name if name in TYPES else OTHERS for name in names)])]


def rows_of(columns: Columns) -> Iterator[Row]:
    """Yield the row of each image, from all columns of a gallery."""
    others = [name for name in columns if name not in TYPES]
    for row, name in enumerate(columns["name"]):
        values: dict[str, Any] = {column: cells[row] for column, cells in columns.items() if column in TYPES}
        for column in ("id", "camera", "crc"):
            values[column] = int(values[column])
        for column in ARRAYS:
            values[column] = base64.b64encode(values[column]).decode()
        values[WORDS] = searchable(name)
        values[OTHERS] = {column: columns[column][row] for column in others if columns[column][row]}
        yield values


def require_storable(columns: Columns) -> None:
    """Raise UserError naming an image with a text that is too long for Milvus."""
    for row in rows_of(columns):
        texts = {column: row[column] for column, kind in TYPES.items() if kind == TEXT}
        texts[OTHERS] = json.dumps(row[OTHERS])
        for column, text in texts.items():
            if len(text.encode()) > MOST_BYTES:
                what = {WORDS: "name", OTHERS: "details"}.get(column, column)
                raise UserError(
                    f"{printable(row['name'][:100])}: its {what} would take {len(text.encode()):,} bytes; a gallery on "
                    f"a Milvus server has at most {MOST_BYTES:,}"
                )


def columns_of(rows: Sequence[Row], names: Sequence[str], channels: int) -> Columns:
    """Return columns of a gallery from rows that have them. Raises UserError if the rows are damaged."""
    found = empty_columns(names, len(rows), channels)
    try:
        for name, values in found.items():
            if name in ARRAYS:
                values[:] = [base64.b64decode(row[name], validate=True) for row in rows]
            elif name == "feature":
                values[:] = np.array([row[name] for row in rows], np.float32).reshape(values.shape)
            elif name in TYPES:
                values[:] = [row[name] for row in rows]
            else:
                values[:] = [row[OTHERS].get(name, "") for row in rows]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"not a valid gallery ({printable(error)})") from error
    return found


def require_words(rows: Sequence[Row]) -> None:
    """Raise UserError if a name cannot be found by its words."""
    for row in rows:
        if row[WORDS] != searchable(row["name"]):
            raise UserError(f"{printable(row['name'])}: damaged, its column {WORDS} is not of its name")
