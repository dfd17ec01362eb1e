"""List files: lines of fields, and names of images, which must be plain paths below the data set's folder."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from data_cache.base.errors import UserError, short_repr
from data_cache.base.files import read_regular

LONGEST_NAME = 255  # bytes of UTF-8 between two slashes, as file systems allow
BLANKS = re.compile(r"[ \t]+")
NUMBER = re.compile(r"[0-9]{1,9}")
DRIVE = re.compile(r"[A-Za-z]:/")
# what ends a line, moves the cursor or is half a character: none can stand in a name that is told in one line
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Entry(NamedTuple):
    """A line of a list file, split at blanks; `number` counts from 1, empty lines left out."""

    number: int
    fields: list[str]


class ImageList(NamedTuple):
    """A list of images, each named by the first field of its entry; `repeated` tells the entries that were dropped."""

    path: Path
    entries: tuple[Entry, ...]
    repeated: tuple[str, ...]


def read_image_list(path: Path, fields: int = 1) -> ImageList:
    """Read a list of images; of those listed twice the first entry counts, whether with `.jpg` or without.

    Raises UserError, with the list and the entry, for a name that is no path below the folder and for too few fields.
    """
    kept: dict[str, Entry] = {}
    repeated = []
    for entry in read_entries(path, fields):
        name = entry.fields[0]
        refuse_strange_name(name, f"{path}, entry {entry.number}")
        key = name.removesuffix(".jpg")
        if key in kept:
            repeated.append(f"{path.name}, entry {entry.number}: {name}")
        kept.setdefault(key, entry)
    return ImageList(path, tuple(kept.values()), tuple(repeated))


def read_entries(path: Path, fields: int) -> list[Entry]:
    """Return the entries of a list file. Raises UserError, with the entry, where one has fewer fields than that."""
    entries = [Entry(number, line) for number, line in enumerate(list_lines(path), start=1)]
    for number, found in entries:
        if len(found) < fields:
            raise UserError(f"{path}, entry {number}: {fields} fields are needed, {len(found)} found")
    return entries


def list_lines(path: Path) -> list[list[str]]:
    """Return a list file's lines, each split at blanks; BOM, CRLF and empty lines are understood."""
    stripped = (line.strip(" \t") for line in list_text(path).split("\n"))
    return [BLANKS.split(line) for line in stripped if line]


def list_text(path: Path, encodings: Sequence[str] = ("utf-8-sig",)) -> str:
    """Return the text of a list file in the first encoding that fits, its lines ended by a line feed alone.

    Raises UserError where the file is missing, no regular file, or in none of these encodings.
    """
    try:
        data = read_regular(path)
    except OSError as error:
        raise UserError(f"{path}: list file cannot be read ({error.strerror})") from error
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    raise UserError(f"{path}: list file cannot be read (not UTF-8)")


def refuse_strange_name(name: str, where: str) -> None:
    r"""Raise UserError, which begins with `where`, for a name that is no plain path below the data set's folder.

    That is: absolute, with `..`, a backslash or a control character, empty, or longer than a file's name can be; or
    with a step `.` or an empty one, which would make two names of one image. Links are not looked at here:
    `data_cache.images.loading.path_inside` refuses those that lead out.

    >>> refuse_strange_name("../a\n.jpg", "list.txt, entry 3")
    Traceback (most recent call last):
    data_cache.base.errors.UserError: list.txt, entry 3: '../a\n.jpg' is not a relative path below the data set's folder
    """
    steps = name.split("/")
    strange = name.startswith("/") or ".." in steps or "\\" in name or CONTROL.search(name) or DRIVE.match(name)
    if not name or strange or max(len(step.encode()) for step in steps) > LONGEST_NAME:
        raise UserError(f"{where}: {short_repr(name)} is not a relative path below the data set's folder")
    if "" in steps or "." in steps:  # another spelling of a name would pass for another image
        raise UserError(f"{where}: {short_repr(name)} has steps that lead nowhere; write it without . and //")


def camera_number(text: str, where: str) -> int:
    """Return a camera's number. Raises UserError, which begins with `where`, for anything else."""
    if not NUMBER.fullmatch(text):
        raise UserError(f"{where}: {short_repr(text)} is no camera number")
    return int(text)
