"""Makers of part caches and pictures, as the fixtures give them, and a slice of a cache."""

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
