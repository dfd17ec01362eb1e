"""Types of the `make_parts` and `make_pictures` fixtures, and slices of a part cache."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from data_cache.parts.cache import ARRAYS, PartBoxes

MakeParts = Callable[..., PartBoxes]
MakePictures = Callable[[Path, Sequence[str]], None]


def sliced(parts: PartBoxes, rows: slice) -> PartBoxes:
    """Return the cache of some rows."""
    fields = {name: getattr(parts, name)[rows] for name in (*ARRAYS, "names", "failure")}
    return dataclasses.replace(parts, **fields)
