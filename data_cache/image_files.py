"""Whether images still are the ones that something was made of, told by the sizes of their files in bytes.

So a copy of a data set is the same, and looking costs no reading; a picture replaced by one of the very same size in
bytes goes unseen.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_cache.files import sha256_of_names
from data_cache.parts import STATUS_FAILED, PartBoxes

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
    told, files = made_by(parts), _sizes(parts, root)
    return replace(parts, fingerprint=told if files is None else {**told, FILES: files})


def made_by(parts: PartBoxes) -> dict[str, Any]:
    """Return the fingerprint without what `with_files` put in."""
    return {name: value for name, value in parts.fingerprint.items() if name != FILES}


def files_replaced(parts: PartBoxes, root: Path) -> bool:
    """Whether an image of `parts` was replaced since; False where the cache does not tell, or a file is missing now."""
    told = parts.fingerprint.get(FILES)
    found = None if told is None else _sizes(parts, root)
    return found is not None and found != told


def _sizes(parts: PartBoxes, root: Path) -> str | None:
    used = [name for name, status in zip(parts.names, parts.status, strict=True) if status != STATUS_FAILED]
    return sha256_of_sizes(root, used)
