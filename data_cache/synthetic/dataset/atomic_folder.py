"""A folder that appears complete or not at all: written beside its target and renamed when it is finished."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `path` on success and is removed on failure.

    It is created in `.NAME.unfinished` beside `path`, where a second run is refused and leftovers of a killed run are
    removed. Raises UserError, before anything is created, unless `path` is absent or an empty folder.
    """
    target = path.resolve()  # a symbolic link is kept
    unfinished = _unfinished(target)
    tree = unfinished / f"tree-{os.getpid()}"  # workers of a killed run may still write to theirs for a moment
    with _lock(unfinished):
        _remove_empty(path, target)
        _clear(unfinished)
        try:
            with _os_error_as_user_error(tree):
                tree.mkdir()
            yield tree
            with _os_error_as_user_error(target):  # also if it is no longer absent or empty
                tree.rename(target)
        finally:
            _clear(unfinished)


def remove_leftovers(path: Path) -> None:
    """Remove what a run left that was killed after `path` was complete, unless another run is at work."""
    unfinished = _unfinished(path.resolve())
    if unfinished.exists():
        with suppress(UserError), _lock(unfinished):
            _clear(unfinished)


@contextmanager
def _lock(unfinished: Path) -> Iterator[None]:
    """Lock the folder, and remove it afterwards unless another run uses it."""
    try:
        with run_lock(unfinished):
            yield
    finally:
        with suppress(OSError):
            unfinished.rmdir()


def _unfinished(target: Path) -> Path:
    return target.parent / f".{target.name}.unfinished"


def _clear(unfinished: Path) -> None:
    for tree in unfinished.glob("tree-*"):
        shutil.rmtree(tree, ignore_errors=True)


def _remove_empty(path: Path, target: Path) -> None:
    """Remove the target if it is an empty folder. Raises UserError now, not after rendering, if it is anything else."""
    try:
        if target.exists():
            target.rmdir()
    except OSError as error:
        raise UserError(
            f"{path}: neither empty nor a finished synthetic data set ({error.strerror}); nothing there was changed; "
            "move it away or choose another --data-root"
        ) from error


@contextmanager
def _os_error_as_user_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot be created ({error.strerror}); nothing there was changed") from error
