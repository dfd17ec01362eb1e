"""A folder that is whole or absent: made beside its place, and put there by one rename."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `place` on success and is removed on failure.

    It is made in `.NAME.unfinished` beside `place`, where a second run is refused and what a killed one left is
    removed. Raises UserError, before anything is made, unless `place` is absent or an empty folder: whatever lies there
    is not touched.
    """
    target = place.resolve()  # a link stays a link
    workshop = _workshop(target)
    tree = workshop / f"tree-{os.getpid()}"  # no other run's, whose processes may outlive it for a moment
    try:
        with run_lock(workshop):
            _make_room(place, target)
            _clear(workshop)
            try:
                _make(tree)
                yield tree
                _put(tree, target)
            finally:
                _clear(workshop)
    finally:
        with suppress(OSError):  # another run has begun there
            workshop.rmdir()


def clear_up_leftovers(place: Path) -> None:
    """Remove what a run left that was killed when `place` was whole; what a run at work has made stays."""
    workshop = _workshop(place.resolve())
    if workshop.exists():
        with suppress(UserError), run_lock(workshop):
            _clear(workshop)
        with suppress(OSError):  # another run is at work there
            workshop.rmdir()


def _workshop(target: Path) -> Path:
    return target.parent / f".{target.name}.unfinished"


def _clear(workshop: Path) -> None:
    for left in workshop.glob("tree-*"):
        shutil.rmtree(left, ignore_errors=True)


def _make_room(place: Path, target: Path) -> None:
    """Remove an empty folder: the system removes no other, and tells at once where a rename would fail at the end."""
    try:
        if target.exists():
            target.rmdir()
    except OSError as error:
        raise UserError(
            f"{place}: neither empty nor a finished synthetic data set ({error.strerror}); nothing there was touched: "
            "move it away or choose another --data-root"
        ) from error


def _make(tree: Path) -> None:
    try:
        tree.mkdir()
    except OSError as error:
        raise UserError(f"{tree}: cannot be made ({error.strerror}); delete {tree.parent}") from error


def _put(tree: Path, target: Path) -> None:
    try:
        tree.rename(target)  # refused by the system where files came to lie meanwhile
    except OSError as error:
        raise UserError(f"{target}: cannot be put in place ({error.strerror}); nothing there was touched") from error
