"""Files below a folder: all of them, or a word about each place that was not looked into."""

import os
from collections.abc import Collection
from pathlib import Path

from data_cache.errors import UserError
from data_cache.progress import say


def files_below(folder: Path, suffixes: Collection[str]) -> list[str]:
    """Return the names, sorted, of what lies below `folder` and has one of the endings (lower case), folders left out.

    A link to a folder is not followed, which is said. Raises UserError for a folder that cannot be read.
    """
    names = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        for name in folders:
            link = Path(place, name)
            if link.is_symlink():
                say(f"{link}: a link to a folder, which is not followed; give that folder itself, or copy it here")
        names += [Path(place, name) for name in files if Path(name).suffix.lower() in suffixes]
    return sorted(path.relative_to(folder).as_posix() for path in names)


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror or error})") from error
