"""`Choices`: what the images of a gallery can be filtered by on the page; only what occurs is offered."""

from typing import NamedTuple

import numpy as np

from reid.report.html import in_order
from vehicle_reid.gallery.entries import ENROLLED_BY
from vehicle_reid.gallery.filters import is_time
from vehicle_reid.gallery.store import Store
from vehicle_reid.images import UNKNOWN_CAMERA
from vehicle_reid.web.api.answers import LISTED_BY, SEARCHED_BY

MOST_VALUES = 100  # in a list; a value of a column with more is typed
TIME = "time"


class Column(NamedTuple):
    """A column of the details: its name, and its values in order; none if there are more than MOST_VALUES."""

    name: str
    values: tuple[str, ...]


class Choices(NamedTuple):
    """The known cameras, ascending; the first and the last time; and the other columns.

    The times are None if no image has one that can be searched by.
    """

    cameras: tuple[int, ...]
    times: tuple[str, str] | None
    columns: tuple[Column, ...]


def read_choices(store: Store) -> Choices:
    """Return the choices of a gallery. A column whose name is a parameter of the API cannot be filtered by."""
    times = set(filter(is_time, _values(store, TIME))) if TIME in store.header.columns else set()
    names = [name for name in store.header.columns if name not in {TIME, ENROLLED_BY, *SEARCHED_BY, *LISTED_BY}]
    values = {name: _values(store, name) for name in names}
    return Choices(
        known_cameras(store),
        (min(times), max(times)) if times else None,
        tuple(
            Column(name, tuple(in_order(found)) if len(found) <= MOST_VALUES else ())
            for name, found in values.items()
            if found
        ),
    )


def known_cameras(store: Store) -> tuple[int, ...]:
    """Return the known cameras of a gallery, ascending."""
    cameras = np.unique(store.read(["camera"])["camera"])
    return tuple(cameras[cameras != UNKNOWN_CAMERA].tolist())


def _values(store: Store, column: str) -> set[str]:
    """Return the different values of a column of the details, without the unknown one."""
    return set(store.read([column])[column].tolist()) - {""}
