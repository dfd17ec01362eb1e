"""Verification of a part cache: its file and fingerprint, and its names and sizes against a data set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_cache.base.errors import UserError, printable
from data_cache.base.files import sha256_of_names
from data_cache.base.options import remedy_command
from data_cache.base.progress import track
from data_cache.datasets.catalogue import KNOWN
from data_cache.datasets.dataset import Dataset
from data_cache.images.loading import ImageError, image_size
from data_cache.parts.cache import STATUS_FAILED, PartBoxes, read_parts
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.names import PART_NAMES

NAMES_SHOWN = 3  # in a message


@dataclass(frozen=True)
class Comparison:
    """Names that differ between a cache and a data set: missing or extra in the cache, of another size, unreadable.

    Images that failed in stage one have no size and are not compared.
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed_size: tuple[str, ...]
    unreadable: tuple[str, ...]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the count and the first names of each kind."""
        return {kind: counted(names) for kind, names in vars(self).items()}


@dataclass(frozen=True)
class Verification:
    """The result for one file: it is valid if there are no errors."""

    path: Path
    counts: Counter[str] = field(default_factory=Counter)  # as PartBoxes.counts; all 0 if it cannot be read
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    comparison: Comparison | None = None

    @property
    def valid(self) -> bool:
        """Whether there are no errors."""
        return not self.errors

    def line(self) -> str:
        """Return the result as one line."""
        if self.errors:
            return printable(f"{self.path}: {'; '.join([*self.errors, *self.notes])}")
        counts = "{images} images, {boxes} boxes, {empty} empty, {failed} failed".format_map(self.counts)
        return printable("; ".join([f"{self.path}: valid", counts, *self.notes]))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            **{"path": str(self.path), "valid": self.valid},
            **{"images": self.counts["images"], "parts": self.counts["boxes"]},
            **{state: self.counts[state] for state in ("empty", "failed")},
            **{"errors": list(self.errors), "notes": list(self.notes)},
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
        }


def verify_cache(path: Path, dataset: Dataset | None = None) -> Verification:
    """Read a part cache and check it against its fingerprint, and against the names and image sizes of a data set.

    A cache that cannot be read is an error in the result, not an exception.
    """
    try:
        parts = read_parts(path)
    except UserError as error:
        return Verification(path, errors=(str(error).removeprefix(f"{path}: "),))
    errors, notes = fingerprint_errors(parts), []
    comparison = None if dataset is None else compare(parts, dataset)
    if comparison is not None and dataset is not None:
        errors += count_line(comparison.missing, f"images of {dataset.name} are not in it")
        errors += count_line(comparison.changed_size, "images have another size now")
        errors += count_line(comparison.unreadable, "images cannot be read now")
        notes += count_line(comparison.extra, f"images are not in {dataset.name}")
    return Verification(path, Counter(parts.counts()), tuple(errors), tuple(notes), comparison)


def fingerprint_errors(parts: PartBoxes) -> list[str]:
    """Return where a cache contradicts its fingerprint; keys that the fingerprint lacks are not checked.

    A cache of stage one, which has no `source`, has the sixteen parts; an imported one may have others.
    """
    fingerprint, slots = parts.fingerprint, parts.labels.shape[1]
    errors = []
    if "names_sha256" in fingerprint and fingerprint["names_sha256"] != sha256_of_names(list(parts.names)):
        errors.append("its names do not match its fingerprint (a shard, or a changed cache)")
    if "top_k" in fingerprint and fingerprint["top_k"] != slots:
        errors.append(f"it has {slots} slots per image, its fingerprint says top_k = {fingerprint['top_k']}")
    unknown = [name for name in parts.part_names if name not in PART_NAMES]
    if unknown and "source" not in fingerprint:
        errors.append(f"unknown part {unknown[0]!r}")
    if len(set(parts.part_names)) != len(parts.part_names):
        errors.append("it has duplicate part names")
    return errors


def compare(parts: PartBoxes, dataset: Dataset) -> Comparison:
    """Compare names and image sizes of a cache with a data set, reading the headers of its image files."""
    missing, extra = differing_names(parts.names, dataset)
    skipped = set(extra)
    rows = [row for row in np.flatnonzero(parts.status != STATUS_FAILED) if parts.names[row] not in skipped]
    changed, unreadable = [], []
    for row in track(rows, "comparing sizes", len(rows)):
        name = parts.names[row]
        try:
            if image_size(dataset.path(name), turned=parts.turned) != tuple(parts.image_size[row].tolist()):
                changed.append(name)
        except ImageError:
            unreadable.append(name)
    return Comparison(missing, extra, tuple(changed), tuple(unreadable))


def require_dataset(parts: PartBoxes, dataset: Dataset, path: Path) -> None:
    """Raise UserError if a cache was made for another known data set; two CSV files may list the same images."""
    made_for = parts.fingerprint.get("dataset")
    if made_for in KNOWN and dataset.name in KNOWN:
        remedy = f"run {remedy_command('detect', dataset.option)}, or choose another cache with --parts"
        require_fingerprint({"dataset": made_for}, {"dataset": dataset.name}, path, remedy)


def differing_names(names: Sequence[str], dataset: Dataset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that only the data set has, and those that only `names` has, each sorted."""
    present, wanted = set(names), set(dataset.table["name"])
    return tuple(sorted(wanted - present)), tuple(sorted(present - wanted))


def counted(names: Sequence[Any]) -> dict[str, Any]:
    """Return the number of `names` and the first of them as JSON values."""
    return {"count": len(names), "first": list(names[:NAMES_SHOWN])}


def count_notes(counts: Mapping[str, int]) -> list[str]:
    """Return a line with the count for every text whose count is not 0."""
    return [f"{count} {what}" for what, count in counts.items() if count]


def count_line(names: Sequence[str], what: str) -> list[str]:
    """Return one line with the number of `names` and the first of them, or no line if there are none."""
    return [f"{len(names)} {what}, first {', '.join(names[:NAMES_SHOWN])}"] if names else []
