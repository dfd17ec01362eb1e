"""Detecting that images were replaced after something was made from them, by their file sizes.

Sizes are the same for a copy of a data set and need no reading; a replacement of the same size goes unnoticed.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from data_cache.base.files import sha256_of_bytes, sha256_of_names
from data_cache.base.remote.addresses import Address, Location
from data_cache.base.remote.requests import sizes_of_files
from data_cache.parts.cache import STATUS_FAILED, PartBoxes

FILES_KEY = "files_sha256"  # of a part cache's fingerprint; all other keys describe the run that made it
MODULUS = 2**256  # sums of SHA-256 hashes are taken modulo this


def sha256_of_sizes(root: Location, names: Sequence[str]) -> str | None:
    """Return the SHA-256 of the sizes of the files `names` below `root`; None if one is missing."""
    sizes = _file_sizes(root, names)
    return None if sizes is None else sha256_of_names(sizes)


def with_files_hash(parts: PartBoxes, root: Location) -> PartBoxes:
    """Return `parts` with the hash of its image files below `root` in the fingerprint; without it if one is missing.

    Failed images are excluded, so that they can be repaired.
    """
    return _with_sum(parts, _sum_of_hashes(parts, root))


def with_joined_files_hash(parts: PartBoxes, pieces: Sequence[PartBoxes]) -> PartBoxes:
    """Return `parts`, joined from disjoint `pieces`, with their combined files hash; without it if one has none."""
    sums = [_stored_sum(piece) for piece in pieces]
    known = [number for number in sums if number is not None]
    return _with_sum(parts, sum(known) if len(known) == len(sums) else None)


def run_fingerprint(parts: PartBoxes) -> dict[str, Any]:
    """Return the fingerprint without the files hash: the detector and settings that made the cache."""
    return {key: value for key, value in parts.fingerprint.items() if key != FILES_KEY}


def files_replaced(parts: PartBoxes, root: Location) -> bool:
    """Return whether an image was replaced after `parts` was made; False without a files hash or if one is missing."""
    stored = _stored_sum(parts)
    current = None if stored is None else _sum_of_hashes(parts, root)
    return current is not None and current % MODULUS != stored


def _with_sum(parts: PartBoxes, total: int | None) -> PartBoxes:
    files_hash = {} if total is None else {FILES_KEY: f"{total % MODULUS:064x}"}
    return replace(parts, fingerprint={**run_fingerprint(parts), **files_hash})


def _stored_sum(parts: PartBoxes) -> int | None:
    text = parts.fingerprint.get(FILES_KEY)
    return int(text, 16) if isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) else None


def _sum_of_hashes(parts: PartBoxes, root: Location) -> int | None:
    """Return the sum of a hash of each file's base name and size, None if a file is missing.

    A sum can be combined when caches are joined, and base names do not change when a prefix is added.
    """
    names = [name for name, status in zip(parts.names, parts.status, strict=True) if status != STATUS_FAILED]
    sizes = _file_sizes(root, names)
    if sizes is None:
        return None
    texts = (f"{PurePosixPath(name).name}:{size}" for name, size in zip(names, sizes, strict=True))
    return sum(int(sha256_of_bytes(text.encode()), 16) for text in texts)


def _file_sizes(root: Location, names: Sequence[str]) -> list[int] | None:
    """Return the sizes of the files `names` below `root` in bytes; None if one is missing."""
    if isinstance(root, Address):
        found = [size for size in sizes_of_files([root / name for name in names]) if size is not None]
        return found if len(found) == len(names) else None
    try:
        return [(root / name).stat().st_size for name in names]
    except OSError:
        return None
