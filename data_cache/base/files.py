"""Atomic file writing, strict JSON, hashes, and the files below a folder."""

import errno
import hashlib
import json
import logging
import math
import os
import stat
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from data_cache.base.errors import UserError

log = logging.getLogger(__name__)

ENDING = ".????????.tmp"  # of the names that `replacing` gives temporary files
SYSTEM_NAMES = (
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "Thumbs.db",
    "desktop.ini",
)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or which files a folder has, is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`, otherwise remove it.

    A reader sees the old file or the new one, never a mixture. Raises UserError, naming the file, if a write fails.
    """
    temporary: Path | None = None
    kept = "the old file, if any, is kept"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".tmp")
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        flush_to_disk(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
        kept = "the new file is in place, but may not outlast a power failure"
        flush_to_disk(path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); {kept}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # `remove_temporary_files` removes the file later
                temporary.unlink(missing_ok=True)


def temporary_files_of(*paths: Path) -> list[Path]:
    """Return the temporary files of `paths`: of killed writers, and of those that are writing now.

    Each folder is listed once.
    """
    names_in: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        names_in[path.parent].add(path.name[:80])
    found: list[Path] = []
    for folder, names in names_in.items():
        found += [file for file in folder.glob(f".*{ENDING}") if file.name[1 : -len(ENDING)] in names]
    return found


def remove_temporary_files(*paths: Path) -> None:
    """Remove the temporary files that killed writers of `paths` left; nobody may be writing `paths` now."""
    with suppress(OSError):
        for stray in temporary_files_of(*paths):
            stray.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file that is no longer needed; log a warning if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning(f"{path}: cannot be removed ({error.strerror or error})")


def path_exists(path: Path) -> bool:
    """Return whether `path` exists. Raises UserError if the system cannot say."""
    try:
        return path.exists()
    except OSError as error:  # a name that is too long, a folder without permission
        raise UserError(f"{path}: cannot be used ({error.strerror or error})") from error


def sorted_glob(folder: Path, pattern: str) -> list[Path]:
    """Return the paths below a folder that match a glob pattern, sorted. Raises UserError if the system refuses."""
    try:
        return sorted(folder.glob(pattern))
    except OSError as error:
        raise UserError(f"{folder}: cannot be used ({error.strerror or error})") from error


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises OSError for anything else: a pipe would block, a device may never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_regular(path: Path, most: int = -1) -> bytes:
    """Return at most `most` bytes of a regular file, by default all. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read(most)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, keys in their order. Raises ValueError for NaN and infinity."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)


def _strict_json(data: bytes) -> Any:
    return json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)


def read_json(path: Path) -> Any:
    """Read strict JSON (no NaN, no infinity). Raises UserError naming the file, if it is missing or damaged."""
    try:
        return _strict_json(read_regular(path))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error


def append_json_line(path: Path, value: object) -> None:
    """Append `value` as one line of JSON, whole or not at all; an incomplete last line of a killed run is cut off.

    Raises UserError if the file cannot be written.
    """
    line = (json.dumps(value, allow_nan=False) + "\n").encode()
    try:
        with path.open("a+b", buffering=0) as log:
            log.seek(0)
            whole = log.readall().rfind(b"\n") + 1
            log.truncate(whole)
            try:
                while line:  # a full disk accepts a part of the line before it fails
                    line = line[log.write(line) :]
            except BaseException:
                log.truncate(whole)
                raise
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); it is unchanged") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL log; an incomplete last line is ignored, a missing file has no lines.

    Raises UserError if the log is damaged.
    """
    try:
        *lines, _ = read_regular(path).split(b"\n")
        found = [_strict_json(line) for line in lines if line]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged log ({error}); delete it") from error
    if not all(isinstance(line, dict) for line in found):
        raise UserError(f"{path}: damaged log (a line is not a JSON object); delete it")
    return found


def sha256_of_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits. Raises UserError if it cannot be read."""
    try:
        digest = hashlib.sha256()
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def shipped_file(path: Path, sha256: str, otherwise: str) -> Path:
    """Return `path`, a file that ships with the package and has this hash.

    Raises UserError, with the remedy to install again or `otherwise`, if the installation lacks or damaged it.
    """
    remedy = f"install the package again, or {otherwise}"
    try:
        found = sha256_of_file(path)
    except UserError as error:
        raise UserError(f"{error}; it ships with the package: {remedy}") from error
    if found != sha256:
        raise UserError(f"{path}: damaged, not the file that ships with the package; {remedy}")
    return path


def sha256_of_names(names: object) -> str:
    """Return the SHA-256 of a list of names, as its JSON text."""
    return sha256_of_bytes(json.dumps(names, ensure_ascii=False).encode())


def files_below(folder: Path, suffixes: Collection[str], other: Counter[str] | None = None) -> list[str]:
    """Return the sorted names of the files below `folder` with one of the (lower-case) suffixes.

    The suffixes of files that have another are counted in `other`. Files and folders that are hidden, or that systems
    and tools leave behind (SYSTEM_NAMES), are passed over. Links to folders are not followed; a message says so. Raises
    UserError for a folder that cannot be read.
    """
    names = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if _is_visible(name)]
        for name in folders:
            link = Path(parent, name)
            if link.is_symlink():
                log.info(f"{link}: links to folders are not followed; name that folder instead, or copy it here")
        for name in filter(_is_visible, files):
            suffix = Path(name).suffix.lower()
            if suffix in suffixes:
                names.append(Path(parent, name))
            elif other is not None:
                other[suffix] += 1
    return sorted(path.relative_to(folder).as_posix() for path in names)


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name not in SYSTEM_NAMES


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror or error})") from error
