"""Data sets listed in a CSV file: a user's own pictures, and rendered ones."""

import csv as csv_format
import io
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError, short_repr
from data_cache.base.files import path_exists, read_json, read_regular, write_atomically
from data_cache.base.options import remedy_command
from data_cache.base.remote.addresses import SCHEME, Location
from data_cache.datasets.dataset import COLUMNS, SPLITS, ParsedLists, unknown_vehicle
from data_cache.datasets.lists import plain_name_fault, require_plain_name
from data_cache.datasets.protocols import Split, fixed_split
from data_cache.images.loading import ImageError
from data_cache.images.lookup import ImageLookup, MissingImage

log = logging.getLogger(__name__)

MOST_PROBED = 20_000  # names; looking for each of a million files would take seconds, and minutes on a network drive
SEPARATORS = (",", ";", "\t", "|")
CAMERA = re.compile(r"^(?:c|cam|camera)[ _-]?(\d+)$", re.IGNORECASE)
RENDERING_FILE = "synthetic.json"  # written last by the renderer, with its settings


def read_folder(csv: Path, root: Location) -> ParsedLists:
    """Read a user's CSV of images below `root`, which `ImageLookup` finds, whatever a tool did to their names.

    At an address nothing is looked up, and names must be those of the files.

    Junk applies if it has cameras; there is no test if it names no query or no gallery image.
    """
    table = read_csv(csv, root if isinstance(root, Path) else None)
    split = fixed_split(table, same_camera_is_junk=bool((table["camera_id"] >= 0).any()))
    no_training = "" if (table["split"] == "train").any() else "no image has the split train"
    return ParsedLists(table, {"test": split} if len(split.query) and len(split.gallery) else {}, (), no_training)


def read_synthetic(root: Path) -> ParsedLists:
    """Read the rendered data set: three nested tests, with junk as in VeRi-776."""
    command = remedy_command("synth", {"--data-root": root.parent})
    if not is_rendered(root):
        raise UserError(f"{root}: no finished synthetic data set; make it with {command}")
    table = read_csv(root / "images.csv")
    settings = read_json(root / RENDERING_FILE)
    if not isinstance(settings, dict):
        raise UserError(f"{root / RENDERING_FILE}: damaged; delete {root} and make it again with {command}")
    if settings.get("images", len(table)) != len(table):
        raise UserError(
            f"{root / 'images.csv'}: {len(table)} images of {short_repr(settings['images'])}; "
            f"delete {root} and make it again with {command}"
        )
    vehicles = np.array(sorted(set(table["vehicle_id"][table["split"] != "train"])))
    sizes = {"small": max(1, len(vehicles) // 3), "medium": max(1, 2 * len(vehicles) // 3), "large": len(vehicles)}
    splits: dict[str, Split] = {
        split: fixed_split(table, same_camera_is_junk=True, within=table["vehicle_id"].isin(set(vehicles[:size])))
        for split, size in sizes.items()
    }
    return ParsedLists(table, splits)


def is_rendered(root: Path) -> bool:
    """Return whether the images below `root` were rendered, in whatever layout.

    Raises UserError if `root` cannot be read.
    """
    return path_exists(root / RENDERING_FILE)


def read_csv(path: Path, root: Path | None = None) -> pd.DataFrame:
    """Read a data set's CSV: name, vehicle_id, camera_id, split, and any other columns.

    Columns are separated by commas, semicolons, tabs or bars. The case of headers and splits does not matter, and
    neither do blanks around values; a camera may be written c001, or be any text, see `_camera_numbers`. Images of a
    test may lack a vehicle: each becomes one of its own, `unknown_vehicle`. With `root`, names become those of files
    below it, as far as there are any. Raises UserError, with the line if there is one, for whatever is missing or
    invalid.
    """
    if not path_exists(path):
        raise UserError(f"{path}: no such file; a CSV with the columns {', '.join(COLUMNS)} is needed")
    table = _in_usual_form(parse_csv(path), path)
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing; needed: {', '.join(COLUMNS)}")
    if table.empty:
        raise UserError(f"{path}: lists no image")
    table["vehicle_id"] = table["vehicle_id"].map(without_decimals)
    unknown = table["vehicle_id"] == ""
    unnamed = (table["name"] == "") | (unknown & ~table["split"].isin(SPLITS[1:]))
    if unnamed.any():
        raise UserError(f"{path}, line {unnamed.idxmax()}: name or vehicle_id is empty")
    wrong = ~table["split"].isin(SPLITS)
    if wrong.any():
        split = table["split"][wrong].iloc[0]
        raise UserError(f"{path}, line {wrong.idxmax()}: unknown split {split!r}; use {', '.join(SPLITS)}")
    table.loc[unknown, "vehicle_id"] = [unknown_vehicle(line) for line in table.index[unknown]]
    table["name"] = _plain_names(table["name"], root, path)
    return _camera_numbers(table, path).reset_index(drop=True)


def _camera_numbers(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the table with the camera as an integer, -1 if unknown, and as the text that was given.

    If one is no integer, cameras are numbered from 1 in the order of their names, and a message says so; -1 stays
    unknown. Raises UserError for numbers that are no integers.
    """
    given = table["camera_id"]
    camera = pd.to_numeric(given.str.replace(CAMERA, r"\1", regex=True).replace("", "-1"), errors="coerce")
    whole = (camera == camera.round()) & (camera.abs() < 2**53)  # not NaN, not infinity
    if whole.all():
        return table.assign(camera_id=camera.astype("int64"))
    wrong = ~whole & given.map(_is_number)
    if wrong.any():
        raise UserError(
            f"{path}, line {wrong.idxmax()}: camera_id must be an integer, also as in c001, a name, or empty if unknown"
        )
    given = given.mask(camera == -1, "")
    names = sorted(set(given) - {""})
    numbers = {"": -1, **{name: number for number, name in enumerate(names, 1)}}
    log.info(f"{path}: {len(names)} cameras are numbered in the order of their names, 1 is {names[0]}")
    return table.assign(camera_id=given.map(numbers).astype("int64"), camera=given)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # 1_2 is a number to Python alone


def _plain_names(column: pd.Series, root: Path | None, csv: Path) -> list[str]:
    """Return names, indexed by line, as plain paths; with `root` as those of files below it as far as there are any.

    Raises UserError, with the line, for a name that cannot be one.
    """
    names = column.tolist()
    faulty = [row for row, name in enumerate(names) if plain_name_fault(name) is not None]
    if root is not None and path_exists(root) and root.is_dir():
        names = _names_of_files(names, faulty, root, csv)
    backslashed = 0
    for row in faulty:
        name, line = names[row].replace("\\", "/"), column.index[row]
        if SCHEME in name:
            raise UserError(
                f"{csv}, line {line}: a name is a path, no address; give the address of the folder as --data-root, "
                "and names relative to it"
            )
        require_plain_name(name, f"{csv}, line {line}")
        backslashed += name != names[row]
        names[row] = name
    if backslashed:
        log.info(f"{csv}: backslashes in {backslashed:,} names are read as slashes")
    return names


def _names_of_files(names: list[str], faulty: Sequence[int], root: Path, csv: Path) -> list[str]:
    """Return the names as those of the files that they mean; one that means none, or several, remains as it is.

    The rows `faulty`, whose names are no plain paths, are looked up; the others only if one of MOST_PROBED, evenly
    spaced, is no file. Messages say what was found, and what was not.
    """
    rows = {*faulty}
    plain = [row for row in range(len(names)) if row not in rows]
    if not all(_is_file(root / names[row]) for row in plain[:: len(plain) // MOST_PROBED + 1]):
        rows |= {row for row in plain if not _is_file(root / names[row])}
    lookup, found, failures = ImageLookup(root), list(names), []
    for row in sorted(rows):
        try:
            found[row] = lookup.find(names[row])
        except MissingImage:  # `check` counts them
            pass
        except ImageError as error:
            failures.append(str(error))
    for note in lookup.notes():
        log.info(f"{csv}: {note}")
    if failures:
        log.info(f"{csv}: the files of {len(failures):,} images are not clear, first: {failures[0]}")
    return found


def _is_file(path: Path) -> bool:
    """Return whether there is a file, as far as the system says."""
    try:
        return path.is_file()
    except OSError:  # a folder without permission, a name that is too long: `ImageLookup` gives the reason
        return False


def _in_usual_form(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the table with COLUMNS in lower case, and without the blanks that some tools write around values.

    A name keeps its blanks, which are part of some file names, unless its header has blanks too. Raises UserError if
    two headers are the same then.
    """
    headers = [str(header) for header in table.columns]
    known = {header: header.strip().lower() for header in headers if header.strip().lower() in COLUMNS}
    if len(set(known.values())) < len(known):
        raise UserError(f"{path}: two columns have one name ({', '.join(known)}); rename one")
    for header in headers:
        if header != header.strip() or known.get(header, "name") != "name":
            table[header] = table[header].str.strip()
    table = table.rename(columns={header: known.get(header, header.strip()) for header in headers})
    if "split" in table:
        table["split"] = table["split"].str.lower()
    return table


def without_decimals(text: str) -> str:
    """Return an id as it was before a spreadsheet or pandas made a decimal number of it.

    >>> without_decimals("15.0"), without_decimals("-1.0"), without_decimals("15.50"), without_decimals("a.0")
    ('15', '-1', '15.50', 'a.0')
    """
    return re.sub(r"^(-?\d+)\.0+$", r"\1", text)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV. Raises UserError if that fails."""
    write_atomically(path, csv_bytes(table))


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return the content of the file that `write_csv` writes."""
    return table.to_csv(index=False).encode()


def _lines_of_rows(data: bytes, separator: str, count: int) -> NDArray[np.int64]:
    """Return the lines, from 2, on which the `count` rows of a CSV begin; a value in quotes may have line breaks."""
    if b'"' in data:
        reader = csv_format.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator)
        with suppress(csv_format.Error):  # a value that is very long: pandas has read it
            ends = [reader.line_num for _ in reader]
            if len(ends) == count + 1:  # the header is a row too
                return np.array(ends[:count]) + 1
    return np.arange(2, 2 + count)


def parse_csv(path: Path) -> pd.DataFrame:
    """Return a CSV as text, with any separator of SEPARATORS; the index is the line, and lines without text are none.

    Raises UserError if it cannot be read.
    """
    try:
        whole = read_regular(path)
        data = whole.lstrip(b"\r\n")
        header = data.partition(b"\n")[0].decode("utf-8-sig")
        separator = max(SEPARATORS, key=header.count)  # the first of them, a comma, if there is none
        # index_col=False: if every line ends with a comma, pandas would use the first column as an index
        table = pd.read_csv(
            io.BytesIO(data),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            index_col=False,
            skip_blank_lines=False,  # they count as lines
        )
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: cannot be read as CSV ({str(error).strip()})") from error
    table = table.fillna("")
    before = whole.count(b"\n", 0, len(whole) - len(data))
    table.index = pd.Index(before + _lines_of_rows(data, separator, len(table)))
    return table[(table.iloc[:, 1:] != "").any(axis=1) | (table.iloc[:, 0].str.strip() != "")]
