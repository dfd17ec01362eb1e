"""Resumable writing of a part cache: shards of consecutive names, each put down whole, then merged into one file."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import remove_strays, strays_of
from data_cache.base.locks import run_lock
from data_cache.parts.cache import PartBoxes, join_parts, read_parts, require_fingerprint, write_parts
from data_cache.parts.source_files import files_replaced, made_by, with_files_of

log = logging.getLogger(__name__)


def plan_shards(names: Sequence[str], size: int) -> list[Sequence[str]]:
    """Cut the sorted names into runs of `size`; the plan depends on nothing else."""
    return [names[start : start + size] for start in range(0, len(names), size)]


def shards_folder(output: Path) -> Path:
    """Return the folder that holds the shards of `output` until they are merged."""
    return output.with_name(output.name + ".shards")


@contextmanager
def alone_on(output: Path) -> Iterator[None]:
    """Hold the lock of those who make shards of `output`, for one who writes it whole. Raises UserError as they do.

    Shards of a stopped run stay.
    """
    try:
        with run_lock(shards_folder(output)):
            yield
    finally:
        with suppress(OSError):  # it holds shards, or another run's lock
            shards_folder(output).rmdir()


def shard_path(output: Path, index: int) -> Path:
    """Return where the shard of that number lies, whichever process writes it."""
    return shards_folder(output) / f"{index:06d}.h5"


def shard_is_finished(path: Path, names: Sequence[str], fingerprint: Mapping[str, Any], root: Path) -> bool:
    """Whether `path` holds exactly these names and verifies, and their files below `root` are still the same.

    A damaged shard, and one whose images were replaced, is named and made again. Raises UserError where another
    detector wrote it.
    """
    if not path.exists():
        return False
    try:
        shard = read_parts(path)
    except UserError as error:
        log.info(f"{error}; this shard is made again")
        return False
    require_fingerprint(made_by(shard), fingerprint, path.parent)
    if list(shard.names) != list(names):
        return False
    if files_replaced(shard, root):
        log.info(f"{path}: images of it have been replaced since; this shard is made again")
        return False
    return True


def merge_shards(shards: Sequence[Path], output: Path) -> PartBoxes:
    """Join finished shards into `output`, then remove their folder. Raises UserError for a missing or damaged one."""
    pieces = [read_parts(path) for path in shards]
    parts = with_files_of(join_parts([replace(piece, fingerprint=made_by(piece)) for piece in pieces]), pieces)
    write_parts(output, parts)
    clear_up(output)
    return parts


def clear_up(output: Path) -> None:
    """Remove what the making of a finished cache left: its shards, and temporary files of killed runs."""
    shutil.rmtree(shards_folder(output), ignore_errors=True)
    remove_strays(output)


def has_leftovers(output: Path) -> bool:
    """Whether `clear_up` would find anything, of a run that was killed or of one that is at work."""
    return shards_folder(output).exists() or bool(strays_of(output))
