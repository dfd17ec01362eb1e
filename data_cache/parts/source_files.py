"""Whether images still are the ones that something was made of, told by the sizes of their files in bytes.

So a copy of a data set is the same, and looking costs no reading; a picture replaced by one of the very same size in
bytes goes unseen.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_cache.base.files import sha256_of_bytes, sha256_of_names
from data_cache.parts.cache import STATUS_FAILED, PartBoxes

WHOLE = 2**256  # what a hash and a sum of hashes are numbers below
FILES = "files_sha256"  # in the fingerprint of a part cache, beside what the run that made it was told


def sha256_of_sizes(root: Path, names: Sequence[str]) -> str | None:
    """Return the SHA-256 of the sizes in bytes of the files `names` below `root`; None where one is missing."""
    try:
        return sha256_of_names([(root / name).stat().st_size for name in names])
    except OSError:
        return None


def with_files(parts: PartBoxes, root: Path) -> PartBoxes:
    """Return `parts` telling in its fingerprint which files below `root` it was made of; nothing where one is missing.

    Images that failed are left out, so that they can be mended.
    """
    return _telling(parts, _total(parts, root))


def with_files_of(parts: PartBoxes, pieces: Sequence[PartBoxes]) -> PartBoxes:
    """Return `parts` telling the files of the `pieces` it was joined of, which share none; nothing if one is silent."""
    told = [_told(piece) for piece in pieces]
    known = [number for number in told if number is not None]
    return _telling(parts, sum(known) if len(known) == len(told) else None)


def made_by(parts: PartBoxes) -> dict[str, Any]:
    """Return the fingerprint without what `with_files` put in."""
    return {name: value for name, value in parts.fingerprint.items() if name != FILES}


def files_replaced(parts: PartBoxes, root: Path) -> bool:
    """Whether an image of `parts` was replaced since; False where the cache does not tell, or a file is missing now."""
    told = _told(parts)
    found = None if told is None else _total(parts, root)
    return found is not None and found % WHOLE != told


def _telling(parts: PartBoxes, total: int | None) -> PartBoxes:
    told = {} if total is None else {FILES: f"{total % WHOLE:064x}"}
    return replace(parts, fingerprint={**made_by(parts), **told})


def _told(parts: PartBoxes) -> int | None:
    told = parts.fingerprint.get(FILES)
    return int(told, 16) if isinstance(told, str) and re.fullmatch("[0-9a-f]{64}", told) else None


def _total(parts: PartBoxes, root: Path) -> int | None:
    """Return the sum of a hash of each file: caches are joined, and folders put before names, without looking again."""
    total = 0
    for name, status in zip(parts.names, parts.status, strict=True):
        if status != STATUS_FAILED:
            try:
                size = (root / name).stat().st_size
            except OSError:
                return None
            total += int(sha256_of_bytes(f"{PurePosixPath(name).name}:{size}".encode()), 16)
    return total
