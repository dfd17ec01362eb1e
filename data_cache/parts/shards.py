"""Resumable writing of a part cache: shards of consecutive names, each written atomically, then merged."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data_cache.base.errors import UserError
from data_cache.base.files import remove_temporary_files, temporary_files_of
from data_cache.base.locks import run_lock
from data_cache.base.remote.addresses import Location
from data_cache.parts.cache import ARRAYS, PartBoxes, read_parts, write_parts
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.source_files import files_replaced, run_fingerprint, with_joined_files_hash

log = logging.getLogger(__name__)


def plan_shards(names: Sequence[str], size: int) -> list[Sequence[str]]:
    """Split the sorted names into shards of `size`; the last may be smaller."""
    return [names[start : start + size] for start in range(0, len(names), size)]


def shards_folder(output: Path) -> Path:
    """Return the folder of the shards of `output` until they are merged."""
    return output.with_name(output.name + ".shards")


def shard_path(output: Path, index: int) -> Path:
    """Return the path of a shard."""
    return shards_folder(output) / f"{index:06d}.h5"


@contextmanager
def output_lock(output: Path) -> Iterator[None]:
    """Lock `output` against runs that write its shards, while it is written whole; shards of a stopped run remain.

    Raises UserError if such a run is active.
    """
    try:
        with run_lock(shards_folder(output)):
            yield
    finally:
        with suppress(OSError):  # not empty: it has shards, or another run's lock
            shards_folder(output).rmdir()


def shard_is_finished(path: Path, names: Sequence[str], fingerprint: Mapping[str, Any], root: Location) -> bool:
    """Return whether `path` is a valid shard of exactly these names, whose images below `root` were not replaced.

    Logs the reason if a damaged or outdated shard must be made again. Raises UserError if another detector wrote it.
    """
    if not path.exists():
        return False
    try:
        shard = read_parts(path)
    except UserError as error:
        log.info(f"{error}; this shard is made again")
        return False
    require_fingerprint(run_fingerprint(shard), fingerprint, path.parent)
    if list(shard.names) != list(names):
        return False
    if files_replaced(shard, root):
        log.info(f"{path}: some of its images were replaced; this shard is made again")
        return False
    return True


def merge_shards(shards: Sequence[Path], output: Path) -> PartBoxes:
    """Join finished shards into `output` and remove their folder.

    Raises UserError if one is missing, damaged or by another detector.
    """
    pieces = [read_parts(path) for path in shards]
    for path, piece in zip(shards, pieces, strict=True):
        require_fingerprint(run_fingerprint(piece), run_fingerprint(pieces[0]), path)
    joined = replace(
        pieces[0],
        names=tuple(name for piece in pieces for name in piece.names),
        failure=tuple(reason for piece in pieces for reason in piece.failure),
        **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in ARRAYS},
    )
    parts = with_joined_files_hash(joined, pieces)
    write_parts(output, parts)
    remove_leftovers(output)
    return parts


def remove_leftovers(output: Path) -> None:
    """Remove the shards of a finished cache, and temporary files of killed runs."""
    shutil.rmtree(shards_folder(output), ignore_errors=True)
    remove_temporary_files(output)


def has_leftovers(output: Path) -> bool:
    """Return whether `remove_leftovers` would find anything, of a killed or an active run."""
    return shards_folder(output).exists() or bool(temporary_files_of(output))
