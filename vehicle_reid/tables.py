"""The API's results as pandas tables, one row per image or match, with arrays in the cells."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_bytes
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FOUND, PartBoxes
from data_cache.parts.names import PART_NAMES
from reid.retrieval.score_by_part import PartScore
from vehicle_reid.gallery.entries import DETAILS, Entries
from vehicle_reid.gallery.search import Matches

PARTS_COLUMNS = ("name", "width", "height", "boxes", "parts", "scores")
ENTRY_COLUMNS = ("name", "camera", "boxes", "parts", "attention")
MATCHES_COLUMNS = (
    *("query", "rank", "id", "name", "score", "confidence", "camera", "vehicle", "time", "details"),
    *("boxes", "parts", "attention"),
)


def parts_table(parts: PartBoxes, names: Sequence[str]) -> pd.DataFrame:
    """Return the parts of the named images, one row per image, the most confident part first.

    Columns: name; width, height; boxes (M, 4) float32 xyxy in pixels; parts, M names; scores (M,) float32.
    """
    rows = []
    for name, row in zip(names, parts.rows(names).tolist(), strict=True):
        present = parts.labels[row] >= 0
        width, height = parts.image_size[row].tolist()
        part_names = _part_names(parts.labels[row])
        rows.append((name, width, height, parts.boxes[row, present], part_names, parts.scores[row, present]))
    return pd.DataFrame(rows, columns=list(PARTS_COLUMNS))


def parts_of_table(table: pd.DataFrame, top_d: int) -> PartBoxes:
    """Return a table of `parts_table` as a part cache with at least `top_d` slots per image.

    Raises UserError if a column is missing, a part name is unknown, or a box is not inside its image.
    """
    missing = [column for column in PARTS_COLUMNS if column not in table]
    if missing:
        raise UserError(f"parts: column {missing[0]} is missing; a table of `parts` has {', '.join(PARTS_COLUMNS)}")
    table = table.sort_values("name")
    count, slots = len(table), max([top_d, *map(len, table["parts"])])
    boxes, scores = np.zeros((count, slots, 4), np.float32), np.zeros((count, slots), np.float32)
    labels = np.full((count, slots), -1, np.int8)
    for row, (_, values) in enumerate(table.iterrows()):
        used = len(values["parts"])
        boxes[row, :used] = np.asarray(values["boxes"], np.float32).reshape(-1, 4)
        scores[row, :used] = values["scores"]
        labels[row, :used] = [_label(part) for part in values["parts"]]
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
    """Return entries as a table, one row per image.

    Columns: name; camera, -1 if unknown; boxes (M, 4) float32 xyxy in pixels, of the M parts that the network used;
    parts, their names; attention (M,) float32, or (h * w,) of a grid; feature (C,) float32.
    """
    rows = [(*_cells(entries, row), entries.features[row]) for row in range(len(entries))]
    return pd.DataFrame(rows, columns=[*ENTRY_COLUMNS, "feature"])


def explanation_table(scores: Sequence[PartScore]) -> pd.DataFrame:
    """Return the parts of a score as a table, the whole image first, then what adds or takes most.

    Columns: part; similarity, the cosine for it in [-1, 1]; added, what it adds to the score. The sum is the score.
    """
    return pd.DataFrame(scores, columns=list(PartScore._fields))


def matches_table(
    queries: Sequence[str], entries: Entries, matches: Matches, confidence: NDArray[np.float64] | None = None
) -> pd.DataFrame:
    """Return matches as a table, one row per match, the best of each query first.

    Columns: query, its name; rank, from 1; id in the gallery; name; score, the cosine; confidence that it is the
    vehicle, only of the best match of a calibrated run, `confidence` (Q,), else NaN; camera; vehicle and time, "" if
    unknown; details, the other columns of the gallery by name; then as in `embeddings_table`.
    """
    sure = np.full(len(queries), np.nan) if confidence is None else confidence
    details = entries.details.reindex(columns=list(dict.fromkeys([*DETAILS, *entries.columns])), fill_value="")
    records = details.to_dict("records")
    rows = []
    for query, best, scores, own in zip(
        queries, matches.rows.tolist(), matches.scores.tolist(), sure.tolist(), strict=True
    ):
        for rank, (row, score) in enumerate(zip(best, scores, strict=True), start=1):
            if row >= 0:
                name, camera, *rest = _cells(entries, row)
                known, certain = dict(records[row]), own if rank == 1 else np.nan
                named = [known.pop(column) for column in DETAILS]
                rows.append((query, rank, int(entries.ids[row]), name, score, certain, camera, *named, known, *rest))
    table = pd.DataFrame(rows, columns=list(MATCHES_COLUMNS))
    types = {"rank": "int64", "id": "int64", "score": "float64", "confidence": "float64", "camera": "int64"}
    return table.astype(types)  # an empty table has these types too


def _cells(entries: Entries, row: int) -> tuple[str, int, NDArray[np.float32], tuple[str, ...], NDArray[np.float32]]:
    """Return one image's values of `ENTRY_COLUMNS`."""
    labels, attention = entries.labels[row], entries.attention[row]
    present = labels >= 0
    weights = attention[present] if len(labels) else attention  # without parts it is the attention of a grid
    return entries.names[row], int(entries.cameras[row]), entries.boxes[row, present], _part_names(labels), weights


def _part_names(labels: NDArray[np.int8]) -> tuple[str, ...]:
    return tuple(PART_NAMES[label] for label in labels.tolist() if label >= 0)


def _label(part: str) -> int:
    if part not in PART_NAMES:
        raise UserError(f"parts: {part!r} is not one of the {len(PART_NAMES)} part names")
    return PART_NAMES.index(part)
