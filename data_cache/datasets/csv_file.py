"""Data sets listed in a CSV: a user's own pictures, and the renderer's."""

import io
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError, short_repr
from data_cache.base.files import read_json, read_regular
from data_cache.datasets.dataset import COLUMNS, Reading
from data_cache.datasets.lists import refuse_strange_name
from data_cache.datasets.protocols import Split, fixed_split

MARK = "synthetic.json"


def read_csv(path: Path) -> pd.DataFrame:
    """Read a data set's CSV (name, vehicle_id, camera_id, split, and any more). Raises UserError for what is wrong."""
    table = _parsed(path)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing; needed: {', '.join(COLUMNS)}")
    if table.empty:
        raise UserError(f"{path}: lists no image")
    unnamed = (table[["name", "vehicle_id"]] == "").any(axis=1)
    if unnamed.any():
        raise UserError(f"{path}, line {int(unnamed.argmax()) + 2}: name or vehicle_id is empty")
    for line, name in enumerate(table["name"], start=2):
        refuse_strange_name(name, f"{path}, line {line}")
    camera = pd.to_numeric(table["camera_id"].replace("", "-1"), errors="coerce")
    wrong = ~((camera == camera.round()) & (camera.abs() < 2**53))  # NaN and infinity too
    if wrong.any():
        line = int(wrong.argmax()) + 2
        raise UserError(f"{path}, line {line}: camera_id must be a whole number, or empty where there is none")
    return table.assign(camera_id=camera.astype("int64"))


def _parsed(path: Path) -> pd.DataFrame:
    try:
        # index_col=False: pandas takes the first column for an index where every line ends with a comma
        table = pd.read_csv(
            io.BytesIO(read_regular(path)), dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False
        )
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; a CSV with the columns {', '.join(COLUMNS)} is needed") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read as CSV ({str(error).strip()})") from error
    return table.fillna("")


def read_folder(csv: Path) -> Reading:
    """Read a user's CSV; junk where cameras are given, no test where it names no query or no gallery image."""
    table = read_csv(csv)
    split = fixed_split(table, same_camera_is_junk=bool((table["camera_id"] >= 0).any()))
    return Reading(table, {"test": split} if len(split.query) and len(split.gallery) else {})


def is_rendered(root: Path) -> bool:
    """Whether the renderer made what lies there, in whatever layout."""
    return (root / MARK).exists()


def _require_whole(root: Path, table: pd.DataFrame) -> None:
    """Raise UserError where the renderer's mark is damaged, or counts other images than its table has."""
    remedy = f"delete {root} and make it again with `python cli.py synth --data-root {root.parent}`"
    mark = read_json(root / MARK)
    if not isinstance(mark, dict):
        raise UserError(f"{root / MARK}: not the mark of a synthetic data set; {remedy}")
    if mark.get("images", len(table)) != len(table):
        raise UserError(f"{root / 'images.csv'}: {len(table)} images of {short_repr(mark['images'])}; {remedy}")


def read_synthetic(root: Path) -> Reading:
    """Read the renderer's data set: three tests, each within the next, and junk as in VeRi-776."""
    if not is_rendered(root):
        raise UserError(
            f"{root}: no finished synthetic data set; make it with `python cli.py synth --data-root {root.parent}`"
        )
    table = read_csv(root / "images.csv")
    _require_whole(root, table)
    vehicles = np.array(sorted(set(table["vehicle_id"][table["split"] != "train"])))
    sizes = {"small": max(1, len(vehicles) // 3), "medium": max(1, 2 * len(vehicles) // 3), "large": len(vehicles)}
    splits: dict[str, Split] = {
        split: fixed_split(table, same_camera_is_junk=True, within=table["vehicle_id"].isin(set(vehicles[:size])))
        for split, size in sizes.items()
    }
    return Reading(table, splits)
