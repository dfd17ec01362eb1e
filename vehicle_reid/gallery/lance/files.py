"""The files of a LanceDB table in a folder: flushed to disk after a change, looked at after a power failure.

LanceDB leaves writing to the system: after a power failure the files of the last changes may be empty or cut off, and
one empty manifest, of which each version has one, makes the table unusable. Files never change once they are written.
"""

import logging
from pathlib import Path
from uuid import UUID

from data_cache.base.errors import UserError
from data_cache.base.files import flush_to_disk, path_exists, read_regular, remove_temporary_files, write_atomically

log = logging.getLogger(__name__)

FLUSHED = "flushed"  # file beside the table: its newest version that is on the disk
ENDS = {".manifest": b"LANC", ".lance": b"LANC", ".idx": b"LANC", ".arrow": b"ARROW1"}  # of whole files, by suffix
HIGHEST = 2**64 - 1  # minus a version is the name of its manifest
SET_ASIDE = ".torn"  # suffix of a manifest that is not used


def manifests(table: Path) -> list[Path]:
    """Return the manifests of a table, the newest version first; none if it is no table."""
    return sorted((table / "_versions").glob("*.manifest"))


def flush_version(table: Path, version: int, flushed: set[Path]) -> set[Path]:
    """Flush a version to the disk: the files and folders that are not yet `flushed`; return all files.

    No other process may do so at the same time. Raises OSError or UserError if it fails.
    """
    files = {path for path in table.rglob("*") if path.is_file()}
    new = files - flushed
    above = table.parent.parent
    folders = {parent for path in new for parent in path.parents if parent.is_relative_to(above)}
    for path in (*sorted(new), *sorted(folders)):
        flush_to_disk(path)
    remove_temporary_files(table.with_name(FLUSHED))
    write_atomically(table.with_name(FLUSHED), str(version).encode())
    return files


def set_aside_torn_versions(table: Path) -> None:
    """Set the newest versions aside, with a warning, while a power failure left their files empty or cut off.

    Versions that were flushed stay: only changes are lost of which nobody was told that they are done. Raises UserError
    if none was flushed.
    """
    flushed = _flushed_version(table.with_name(FLUSHED))
    newer = [path for path in manifests(table) if _version(path) > flushed]
    if not newer:
        return
    torn = [path for path in table.rglob("*") if _is_torn(path)]  # later than `newer`, which may still be written to
    for manifest in newer:
        if not any(_is_of(path, manifest) for path in torn):
            return
        if manifest == manifests(table)[-1]:
            raise UserError("a power failure damaged it before it was saved")
        log.warning(f"{manifest}: a power failure damaged this last change; it is set aside and the one before is used")
        manifest.rename(manifest.with_name(manifest.name + SET_ASIDE))


def _version(manifest: Path) -> int:
    return HIGHEST - int(manifest.stem)


def _flushed_version(path: Path) -> int:
    """Return the version in the file `FLUSHED`, 0 if it is missing. Raises OSError or ValueError."""
    return int(read_regular(path)) if path_exists(path) else 0


def _is_torn(path: Path) -> bool:
    """Return whether a file is empty or cut off."""
    end = ENDS.get(path.suffix)
    if end is None or not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(end)))
        return file.read() != end


def _is_of(path: Path, manifest: Path) -> bool:
    """Return whether a file is one of the version of `manifest`, or is `manifest`."""
    return path == manifest or (path.suffix != ".manifest" and _name_in_manifests(path) in manifest.read_bytes())


def _name_in_manifests(path: Path) -> bytes:
    """Return the bytes by which manifests, which are protocol buffers, name a file: they are long enough to be its own.

    A file of data has its name there, an index the number that its folder is named by, and a file of deletions the
    last of the three numbers in its name.
    """
    if path.parent.parent.name == "_indices":
        return UUID(path.parent.name).bytes
    if path.parent.name == "_deletions":
        return _varint(int(path.stem.split("-")[2]))
    return path.name.encode()


def _varint(number: int) -> bytes:
    """Return a number as protocol buffers write it: seven bits in a byte, the lowest first.

    >>> _varint(300)
    b'\\xac\\x02'
    """
    low, high = number & 0x7F, number >> 7
    return bytes([low]) if not high else bytes([low | 0x80]) + _varint(high)
