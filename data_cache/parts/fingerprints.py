"""Fingerprints: JSON that says what a file was made from, compared before the file is reused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError, printable


def require_fingerprint(
    found: object,
    wanted: Mapping[str, Any],
    path: Path | str,
    remedy: str = "delete it, or choose another file with --output",
) -> None:
    """Raise UserError with the first difference and the remedy if `path` was not made from what this run needs."""
    if not isinstance(found, Mapping):  # JSON from a file may be anything
        raise UserError(f"{path}: damaged, its fingerprint is not an object; {remedy}")
    difference = first_difference(found, wanted)
    if difference is not None:
        key, there, here = difference
        raise UserError(
            f"{path}: made with {printable(key)} = {printable(there)}, this run needs {printable(here)}; {remedy}"
        )


def first_difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return (dotted key, found, wanted) of the first value that differs, in key order; None if all agree.

    A missing value equals None, so that older files without a key stay valid.

    >>> first_difference({"recipe": {"epochs": 9, "seed": 0}}, {"recipe": {"seed": 0, "epochs": 16}})
    ('recipe.epochs', 9, 16)
    """
    for key in sorted({*found, *wanted}):
        there, here = found.get(key), wanted.get(key)
        if there == here:
            continue
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            within = first_difference(there, here)
            if within is None:
                continue
            return f"{key}.{within[0]}", *within[1:]
        return key, there, here
    return None
