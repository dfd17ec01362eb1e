"""List files: lines of fields that name images, which must be plain paths below the data set's folder."""

import logging
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from data_cache.base.errors import UserError, short_repr
from data_cache.base.files import read_regular

log = logging.getLogger(__name__)

MAX_NAME_BYTES = 255  # UTF-8 bytes between two slashes, the limit of file systems
BLANKS = re.compile(r"[ \t]+")
NUMBER = re.compile(r"[0-9]{1,9}")
DRIVE = re.compile(r"[A-Za-z]:/")
# line ends, terminal control and lone surrogates: a name with one of these cannot be printed on one line
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Entry(NamedTuple):
    """A line of a list file, split at blanks; `number` counts non-empty lines from 1."""

    number: int
    fields: list[str]


class ImageList(NamedTuple):
    """A list of images, each named by the first field of its entry; `repeated` describes entries that were dropped."""

    path: Path
    entries: tuple[Entry, ...]
    repeated: tuple[str, ...]


def read_image_list(path: Path, fields: int = 1, *, folder: str = "", optional: bool = False) -> ImageList:
    """Read a list of images. If an image is listed twice, with or without `.jpg`, its first entry is kept.

    Backslashes in names are read as slashes, and names that start with the list's `folder` without it, with a message.
    An `optional` list is empty if it does not exist: that of a copy without training images. Raises UserError with list
    and entry if a name is not a plain path or an entry has fewer than `fields` fields.
    """
    kept: dict[str, Entry] = {}
    repeated = []
    other_names: list[tuple[str, str]] = []
    for number, (given, *more) in [] if optional and not os.path.lexists(path) else read_entries(path, fields):
        name = given.replace("\\", "/").removeprefix(f"{folder}/" if folder else "")
        if name != given:
            other_names.append((given, name))
        require_plain_name(name, f"{path}, entry {number}")
        entry = Entry(number, [name, *more])
        key = name.removesuffix(".jpg")
        if key in kept:
            repeated.append(f"{path.name}, entry {entry.number}: {name}")
        kept.setdefault(key, entry)
    if other_names:
        given, name = other_names[0]
        log.info(f"{path}: {len(other_names):,} images are named otherwise, first {given}: read as {name}")
    return ImageList(path, tuple(kept.values()), tuple(repeated))


def read_entries(path: Path, fields: int = 1) -> list[Entry]:
    """Return the non-empty lines of a list file, split at blanks; a BOM and CRLF are accepted.

    Raises UserError with the entry if one has fewer than `fields` fields.
    """
    stripped = (line.strip(" \t") for line in list_text(path).split("\n"))
    entries = [Entry(number, BLANKS.split(line)) for number, line in enumerate(filter(None, stripped), start=1)]
    for number, values in entries:
        if len(values) < fields:
            raise UserError(f"{path}, entry {number}: {fields} fields are needed, {len(values)} found")
    return entries


def list_text(path: Path, encodings: Sequence[str] = ("utf-8-sig",)) -> str:
    """Return the text of a list file in the first encoding that fits, with line feeds as line ends.

    Raises UserError if the file is missing, not regular, or in none of these encodings.
    """
    try:
        data = read_regular(path)
    except OSError as error:
        raise UserError(f"{path}: list file cannot be read ({error.strerror})") from error
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    raise UserError(f"{path}: list file cannot be read (not UTF-8)")


def require_plain_name(name: str, where: str) -> None:
    r"""Raise UserError, starting with `where`, unless `name` is a plain path below the data set's folder.

    Refused are absolute paths, `..`, backslashes, control characters, empty names and names too long for a file; also
    `.` and empty steps, which would give an image a second name. Links that lead out are detected by
    `data_cache.images.loading.path_inside`, not here.

    >>> require_plain_name("../a\n.jpg", "list.txt, entry 3")
    Traceback (most recent call last):
    data_cache.base.errors.UserError: list.txt, entry 3: '../a\n.jpg' is not a relative path below the data set's folder
    """
    fault = plain_name_fault(name)
    if fault is not None:
        raise UserError(f"{where}: {short_repr(name)} {fault}")


def plain_name_fault(name: str) -> str | None:
    """Return why `name` is not a plain path below the data set's folder (see `require_plain_name`), or None."""
    steps = name.split("/")
    unsafe = name.startswith("/") or ".." in steps or "\\" in name or CONTROL.search(name) or DRIVE.match(name)
    if not name or unsafe or max(len(step.encode()) for step in steps) > MAX_NAME_BYTES:
        return "is not a relative path below the data set's folder"
    if "" in steps or "." in steps:
        return "contains empty steps; write it without . and //"
    return None


def camera_number(text: str, where: str) -> int:
    """Return a camera's number. Raises UserError, starting with `where`, if `text` is anything else."""
    if not NUMBER.fullmatch(text):
        raise UserError(f"{where}: {short_repr(text)} is not a camera number")
    return int(text)
