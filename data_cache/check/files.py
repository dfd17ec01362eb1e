"""Whether the images of a data set are there, and on demand whether each can be decoded."""

import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.base.progress import track
from data_cache.images.loading import load_image, path_inside

AT_ONCE = 256  # images that a process takes at a time
Kind = Literal["sound", "missing", "empty", "unreadable"]


class FileState(NamedTuple):
    """What is known of an image's file; `digest` is the SHA-256 of its bytes where it was decoded."""

    name: str
    kind: Kind
    reason: str = ""
    digest: str = ""


@dataclass(frozen=True)
class FileCheck:
    """The files of a data set: names by what is wrong, sorted; `unreadable` holds reasons that name the file.

    `bare` and `folders` count the folders none of whose images is there, and all folders. `same` are pairs of names,
    of training and of the test, whose bytes are the same; only files that were decoded are compared.
    """

    missing: tuple[str, ...]
    empty: tuple[str, ...]
    unreadable: tuple[str, ...]
    bare: int
    folders: int
    same: tuple[tuple[str, str], ...]


def check_files(root: Path, names: Sequence[str], trained: set[str], *, strict: bool, workers: int) -> FileCheck:
    """Look at the images `names` below `root`, of which `trained` are for training; `strict` decodes every one.

    `workers` processes decode, 0 decodes in this one. Raises UserError where a process is killed.
    """
    parts = [names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE)]
    look = partial(_look_at_all, root, strict)
    looking = _shared_out(look, parts, workers) if strict else map(look, parts)
    tracked = track(looking, "decoding images" if strict else "looking for images", len(names), size=len)
    states = [state for some in tracked for state in some]
    by_kind: dict[Kind, list[FileState]] = defaultdict(list)
    for state in states:
        by_kind[state.kind].append(state)
    folder_of = {name: PurePosixPath(name).parent for name in names}
    kept = {folder_of[state.name] for state in states if state.kind != "missing"}
    folders = set(folder_of.values())
    return FileCheck(
        missing=tuple(sorted(state.name for state in by_kind["missing"])),
        empty=tuple(sorted(state.name for state in by_kind["empty"])),
        unreadable=tuple(state.reason for state in sorted(by_kind["unreadable"])),
        bare=len(folders - kept),
        folders=len(folders),
        same=tuple(_same(by_kind["sound"], trained)),
    )


def look_at(root: Path, name: str, *, strict: bool) -> FileState:
    """Return whether an image's file is there, not empty and within `root`, and where `strict` whether it decodes."""
    try:
        path = path_inside(root, name)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return FileState(name, "unreadable", f"{path}: not a regular file")
        if not status.st_size:
            return FileState(name, "empty")
        if not strict:
            return FileState(name, "sound")
        load_image(path)
        return FileState(name, "sound", digest=sha256_of_file(path))
    except (FileNotFoundError, NotADirectoryError):
        return FileState(name, "missing")
    except OSError as error:
        return FileState(name, "unreadable", f"{root / name}: {error.strerror or error}")
    except UserError as error:
        return FileState(name, "unreadable", str(error))


def _look_at_all(root: Path, strict: bool, names: Sequence[str]) -> list[FileState]:
    return [look_at(root, name, strict=strict) for name in names]


def _shared_out(
    look: "partial[list[FileState]]", parts: Iterable[Sequence[str]], workers: int
) -> Iterator[list[FileState]]:
    if workers == 0:
        yield from map(look, parts)
        return
    try:
        # spawned, because a forked child would inherit the threads of whatever the caller has loaded
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from pool.map(look, parts)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that decodes images has ended; where memory is short use fewer --workers, and run it again"
        ) from error


def _same(states: Iterable[FileState], trained: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the first image of training and of the test for all bytes that stand in both."""
    by_digest: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for state in states:
        if state.digest:
            by_digest[state.digest][state.name not in trained].append(state.name)
    return ((training[0], test[0]) for training, test in by_digest.values() if training and test)
