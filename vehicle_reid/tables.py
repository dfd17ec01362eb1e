"""What the API answers with: pandas tables, a row an image, arrays in the cells of boxes, attention and features."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_bytes
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FOUND, PartBoxes
from data_cache.parts.names import PART_NAMES
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.search import Nearest

PARTS_COLUMNS = ("name", "width", "height", "boxes", "parts", "scores")
OF_AN_ENTRY = ("name", "camera", "boxes", "parts", "attention")
MATCHES_COLUMNS = ("query", "rank", "name", "score", "camera", "boxes", "parts", "attention")


def parts_table(found: PartBoxes, names: Sequence[str]) -> pd.DataFrame:
    """Return the parts of the named images, a row an image, the most confident part first.

    Columns: name; width, height; boxes (M, 4) float32 xyxy in pixels; parts, M names; scores (M,) float32.
    """
    rows = []
    for name, row in zip(names, found.rows(names).tolist(), strict=True):
        there = found.labels[row] >= 0
        width, height = found.image_size[row].tolist()
        boxes, parts = found.boxes[row, there], part_names(found.labels[row])
        rows.append((name, width, height, boxes, parts, found.scores[row, there]))
    return pd.DataFrame(rows, columns=list(PARTS_COLUMNS))


def parts_of_table(table: pd.DataFrame, depth: int) -> PartBoxes:
    """Return a table of `parts_table` as a part cache with room for `depth` parts an image or more.

    Raises UserError where a column is missing, a part has another name, or a box lies outside its image.
    """
    missing = [column for column in PARTS_COLUMNS if column not in table]
    if missing:
        raise UserError(f"parts: column {missing[0]} is missing; a table as of `parts` has {', '.join(PARTS_COLUMNS)}")
    table = table.sort_values("name")
    count, places = len(table), max([depth, *map(len, table["parts"])])
    boxes, scores = np.zeros((count, places, 4), np.float32), np.zeros((count, places), np.float32)
    labels = np.full((count, places), -1, np.int8)
    for row, (_, values) in enumerate(table.iterrows()):
        found = len(values["parts"])
        boxes[row, :found] = np.asarray(values["boxes"], np.float32).reshape(-1, 4)
        scores[row, :found] = values["scores"]
        labels[row, :found] = [_label(part) for part in values["parts"]]
    return PartBoxes(
        names=tuple(table["name"]),
        image_size=table[["width", "height"]].to_numpy(np.int32),
        boxes=boxes,
        scores=scores,
        labels=labels,
        status=np.where((labels < 0).all(axis=1), STATUS_EMPTY, STATUS_FOUND).astype(np.uint8),
        failure=("",) * count,
        part_names=PART_NAMES,
        fingerprint={"table_sha256": sha256_of_bytes(boxes.tobytes() + labels.tobytes())},
    )


def embeddings_table(entries: Entries) -> pd.DataFrame:
    """Return entries as a table, a row an image.

    Columns: name; camera, -1 where it is not known; boxes (M, 4) float32 xyxy in pixels, of the M parts that the
    network looked at; parts, their names; attention (M,) float32, or (h * w,) of a grid; feature (C,) float32.
    """
    rows = [(*_cells(entries, row), entries.features[row]) for row in range(len(entries))]
    return pd.DataFrame(rows, columns=[*OF_AN_ENTRY, "feature"])


def matches_table(queries: Sequence[str], entries: Entries, found: Nearest) -> pd.DataFrame:
    """Return what was found as a table, a row a match, the best of each query first.

    Columns: query, its name; rank, from 1; name; score, the cosine; then as of `embeddings_table`.
    """
    rows = []
    for query, best, scores in zip(queries, found.rows.tolist(), found.scores.tolist(), strict=True):
        for rank, (row, score) in enumerate(zip(best, scores, strict=True), start=1):
            if row >= 0:
                name, *rest = _cells(entries, row)
                rows.append((query, rank, name, score, *rest))
    table = pd.DataFrame(rows, columns=list(MATCHES_COLUMNS))
    return table.astype({"rank": "int64", "score": "float64", "camera": "int64"})  # where there is no row, too


def part_names(labels: NDArray[np.int8]) -> tuple[str, ...]:
    """Return the names of the parts that are there."""
    return tuple(PART_NAMES[label] for label in labels.tolist() if label >= 0)


def _cells(entries: Entries, row: int) -> tuple[str, int, NDArray[np.float32], tuple[str, ...], NDArray[np.float32]]:
    labels, attention = entries.labels[row], entries.attention[row]
    there = labels >= 0
    weights = attention[there] if len(labels) else attention  # of a grid's cells
    return entries.names[row], int(entries.cameras[row]), entries.boxes[row, there], part_names(labels), weights


def _label(part: str) -> int:
    if part not in PART_NAMES:
        raise UserError(f"parts: {part!r} is none of the {len(PART_NAMES)} part names")
    return PART_NAMES.index(part)
