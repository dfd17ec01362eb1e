"""The image files of a data set: whether they exist, and optionally whether each can be decoded."""

import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.base.progress import track
from data_cache.images.loading import load_image, path_inside
from data_cache.images.processes import in_processes

CHUNK = 256  # images that a process takes at a time
Kind = Literal["ok", "missing", "empty", "unreadable"]


class FileState(NamedTuple):
    """The state of an image file; `digest` is the SHA-256 of its bytes if it was decoded."""

    name: str
    kind: Kind
    reason: str = ""
    digest: str = ""


@dataclass(frozen=True)
class FileCheck:
    """The image files of a data set: sorted names by problem; `unreadable` are reasons that name the file.

    `folders_without_image` counts the folders in which every image is missing, `folders` all of them. `duplicates` are
    pairs of a training and a test image with the same bytes, found only if images were decoded.
    """

    missing: tuple[str, ...]
    empty: tuple[str, ...]
    unreadable: tuple[str, ...]
    folders_without_image: int
    folders: int
    duplicates: tuple[tuple[str, str], ...]


def check_files(root: Path, names: Sequence[str], trained: set[str], *, strict: bool, workers: int) -> FileCheck:
    """Check the images `names` below `root`, of which `trained` are training images; `strict` decodes each.

    `workers` processes decode, or this one if it is 0. Raises UserError if a process is killed.
    """
    check = partial(check_file, root, strict=strict)
    checked = in_processes(check, names, workers if strict else 0, chunk=CHUNK)
    states = sorted(track(checked, "decoding images" if strict else "looking for images", len(names)))
    folder_of = {name: PurePosixPath(name).parent for name in names}
    folders = set(folder_of.values())
    folders_with_image = {folder_of[state.name] for state in states if state.kind != "missing"}
    return FileCheck(
        missing=tuple(state.name for state in states if state.kind == "missing"),
        empty=tuple(state.name for state in states if state.kind == "empty"),
        unreadable=tuple(state.reason for state in states if state.kind == "unreadable"),
        folders_without_image=len(folders - folders_with_image),
        folders=len(folders),
        duplicates=tuple(_duplicates(states, trained)),
    )


def check_file(root: Path, name: str, *, strict: bool) -> FileState:
    """Return whether an image file exists, is not empty and inside `root`, and if `strict` whether it decodes."""
    try:
        path = path_inside(root, name)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return FileState(name, "unreadable", f"{path}: not a regular file")
        if not status.st_size:
            return FileState(name, "empty")
        if not strict:
            return FileState(name, "ok")
        load_image(path)
        return FileState(name, "ok", digest=sha256_of_file(path))
    except (FileNotFoundError, NotADirectoryError):
        return FileState(name, "missing")
    except OSError as error:
        return FileState(name, "unreadable", f"{root / name}: {error.strerror or error}")
    except UserError as error:
        return FileState(name, "unreadable", str(error))


def _duplicates(states: Iterable[FileState], trained: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the first training and the first test image of all contents that both have."""
    by_digest: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for state in states:
        if state.digest:
            by_digest[state.digest][state.name not in trained].append(state.name)
    return ((training[0], test[0]) for training, test in by_digest.values() if training and test)
