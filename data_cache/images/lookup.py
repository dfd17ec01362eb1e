"""Finding the images that annotations mean, whatever the tool that wrote them did to their names.

Known habits: backslashes, percent escapes, absolute paths of another machine, a folder too many or too few, another
case, composed and decomposed letters, no suffix.
"""

import errno
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from data_cache.base.errors import printable, short_repr
from data_cache.base.files import files_below
from data_cache.images.loading import HEIF_SUFFIXES, SUFFIXES, ImageError, path_inside


class MissingImage(ImageError):
    """No file fits the name of an image."""


class ImageLookup:
    """Images, or files of other `suffixes` (lower case), below a folder, by the names that annotations give them."""

    def __init__(self, root: Path, suffixes: Sequence[str] = SUFFIXES + HEIF_SUFFIXES, kind: str = "images") -> None:
        """Look in `root`; its files are listed once a name needs it. `kind` is what messages call them."""
        self.root, self.suffixes, self.kind = root, suffixes, kind
        self.other_names: dict[str, str] = {}  # of names that were not those of a file: the file that was found

    def find(self, name: str) -> str:
        """Return the path below the folder of the image that `name` means: that file, or the only one that fits.

        A file fits if its path ends with the name, or the name with its path, compared without case. Raises
        MissingImage if no file fits, and ImageError if several do, if the name contains `..`, and if the file links out
        of the folder.
        """
        if any(".." in PurePosixPath(form.replace("\\", "/")).parts for form in (name, unquote(name))):
            raise ImageError(f"{short_repr(name)}: not a relative path below {self.root}")
        if name and "\\" not in name and not name.startswith("/") and self._is_file(name):
            path_inside(self.root, name)
            return PurePosixPath(name).as_posix()
        fitting = self._fitting(name) or self._fitting(unquote(name))
        if not fitting:
            raise MissingImage(f"{short_repr(name)} is missing below {self.root}")
        if len(fitting) > 1:
            some = " and ".join(fitting[:2])
            raise ImageError(f"{short_repr(name)} could be {len(fitting)} files, such as {some}, below {self.root}")
        path_inside(self.root, fitting[0])
        self.other_names[name] = fitting[0]
        return fitting[0]

    def notes(self) -> list[str]:
        """Return a line on names that were not those of a file, if there were any."""
        if not self.other_names:
            return []
        given, file = next(iter(self.other_names.items()))
        count = len(self.other_names)
        return [f"{count} {self.kind} are named otherwise, first {printable(given)}: read as {printable(file)}"]

    def _is_file(self, name: str) -> bool:
        try:
            return (self.root / name).is_file()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # its escapes may make it too long
                return False
            raise ImageError(f"{short_repr(name)} cannot be looked up ({error.strerror})") from error

    def _fitting(self, name: str) -> list[str]:
        parts = _folded(name.replace("\\", "/"))
        if not parts:
            return []
        files = self._files if self._files.ending_with(parts[-1:]) else self._files_by_stem
        found = files.ending_with(parts)
        while not found and parts:
            parts = parts[1:]
            found = files.exactly(parts)
        return sorted(files.rows[row][1] for row in found)

    @cached_property
    def _all_files(self) -> list[tuple[list[str], str]]:
        return [(_folded(file), file) for file in files_below(self.root, self.suffixes)]

    @cached_property
    def _files(self) -> "_Paths":
        return _Paths(self._all_files)

    @cached_property
    def _files_by_stem(self) -> "_Paths":
        return _Paths([([*parts[:-1], PurePosixPath(parts[-1]).stem], file) for parts, file in self._all_files])


class _Paths:
    """Files, sorted by the parts of their paths from the last to the first, so that those with one end are together."""

    def __init__(self, files: Sequence[tuple[list[str], str]]) -> None:
        """Take the parts by which each file is found, and the file."""
        self.rows = sorted((_backwards(parts), file) for parts, file in files)

    def ending_with(self, parts: list[str]) -> range:
        """Return the rows of the files whose paths end with these parts."""
        first = _backwards(parts)
        return self._between(first, first[:-1] + "0")  # the character after the slash at its end

    def exactly(self, parts: list[str]) -> range:
        """Return the rows of the files whose paths have these parts and no other."""
        first = _backwards(parts)
        return self._between(first, first + "\0")

    def _between(self, first: str, stop: str) -> range:
        return range(bisect_left(self.rows, (first, "")), bisect_left(self.rows, (stop, "")))


def _backwards(parts: list[str]) -> str:
    """Return the parts of a path from the last to the first, each followed by a slash.

    >>> _backwards(["train", "b.jpg"])
    'b.jpg/train/'
    """
    return "".join(f"{part}/" for part in reversed(parts))


def _folded(name: str) -> list[str]:
    """Return the parts of a path, without case and in one form of Unicode."""
    parts = unicodedata.normalize("NFC", name).casefold().split("/")
    return [unicodedata.normalize("NFC", part) for part in parts if part not in ("", ".")]
