"""Whether a part cache is what it says: sealed and in order, of the names in its fingerprint, and of a data set's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_cache.base.errors import UserError, printable
from data_cache.base.files import sha256_of_names
from data_cache.base.progress import track
from data_cache.datasets.catalogue import KNOWN
from data_cache.datasets.dataset import Dataset
from data_cache.images.loading import ImageError, image_size
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, PartBoxes, read_parts, require_fingerprint
from data_cache.parts.names import PART_NAMES

NAMED = 3  # names that a message shows of each kind


@dataclass(frozen=True)
class Comparison:
    """Names that set a cache and a data set apart: `missing` in the cache, `extra` in it, of another size, unreadable.

    Images that failed in stage one have no size and are not compared.
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed_size: tuple[str, ...]
    unreadable: tuple[str, ...]

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the count and the first names of each kind."""
        return {kind: {"count": len(names), "first": list(names[:NAMED])} for kind, names in vars(self).items()}


@dataclass(frozen=True)
class Verification:
    """What came of looking at one file: sound where there is no fault; a remark does not spoil it."""

    path: Path
    images: int = 0
    parts: int = 0
    empty: int = 0
    failed: int = 0
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    comparison: Comparison | None = None

    @property
    def sound(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def line(self) -> str:
        """Return the result as one line."""
        if self.faults:
            return printable(f"{self.path}: {'; '.join([*self.faults, *self.remarks])}")
        counts = f"{self.images} images, {self.parts} parts, {self.empty} empty, {self.failed} failed"
        return printable("; ".join([f"{self.path}: sound", counts, *self.remarks]))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as printable JSON values."""
        return {
            **{"path": str(self.path), "sound": self.sound},
            **{name: getattr(self, name) for name in ("images", "parts", "empty", "failed")},
            **{"faults": list(self.faults), "remarks": list(self.remarks)},
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
        }


def verify_cache(path: Path, dataset: Dataset | None = None) -> Verification:
    """Read a part cache and check what its fingerprint says of it, and its names and sizes against a data set's.

    Never raises for a bad cache: what is wrong with it, one that cannot be read included, stands in `faults`.
    """
    try:
        parts = read_parts(path)
    except UserError as error:
        return Verification(path, faults=(str(error).removeprefix(f"{path}: "),))
    faults, remarks = fingerprint_faults(parts), []
    comparison = None if dataset is None else compare(parts, dataset)
    if comparison is not None and dataset is not None:
        faults += first_of(comparison.missing, f"images of {dataset.name} are not in it")
        faults += first_of(comparison.changed_size, "images have another size now")
        faults += first_of(comparison.unreadable, "images cannot be read now")
        remarks += first_of(comparison.extra, f"images are not in {dataset.name}")
    return Verification(
        path=path,
        images=len(parts.names),
        parts=int((parts.labels >= 0).sum()),
        empty=int((parts.status == STATUS_EMPTY).sum()),
        failed=int((parts.status == STATUS_FAILED).sum()),
        faults=tuple(faults),
        remarks=tuple(remarks),
        comparison=comparison,
    )


def fingerprint_faults(parts: PartBoxes) -> list[str]:
    """Return where a cache is not what its fingerprint says; what the fingerprint is silent about is not checked.

    A cache of stage one, which names no `source`, has the sixteen parts; an imported one may have others.
    """
    told, places = parts.fingerprint, parts.labels.shape[1]
    found = []
    if "names_sha256" in told and told["names_sha256"] != sha256_of_names(list(parts.names)):
        found.append("its names are not those of its fingerprint (a shard, or a changed cache)")
    if "top_k" in told and told["top_k"] != places:
        found.append(f"it has {places} places an image, its fingerprint says top_k = {told['top_k']}")
    strange = [name for name in parts.part_names if name not in PART_NAMES]
    if strange and "source" not in told:
        found.append(f"unknown part {strange[0]!r}")
    if len(set(parts.part_names)) != len(parts.part_names):
        found.append("a part name stands twice")
    return found


def compare(parts: PartBoxes, dataset: Dataset) -> Comparison:
    """Return what sets the cache's names and sizes apart from those of a data set; reads the pictures' headers."""
    missing, extra = differing_names(parts.names, dataset)
    left_out = set(extra)
    rows = [row for row in np.flatnonzero(parts.status != STATUS_FAILED) if parts.names[row] not in left_out]
    changed, unreadable = [], []
    for row in track(rows, "comparing sizes", len(rows)):
        name = parts.names[row]
        try:
            if image_size(dataset.path(name)) != tuple(parts.image_size[row].tolist()):
                changed.append(name)
        except ImageError:  # told by name, with the others
            unreadable.append(name)
    return Comparison(missing, extra, tuple(changed), tuple(unreadable))


def require_data_set(parts: PartBoxes, dataset: Dataset, path: Path) -> None:
    """Raise UserError where a cache was made of another data set; two CSVs may well list the same images."""
    made_of = parts.fingerprint.get("dataset")
    if made_of in KNOWN and dataset.name in KNOWN:
        remedy = f"run `python cli.py detect --dataset {dataset.name}`, or name another cache by --parts"
        require_fingerprint({"dataset": made_of}, {"dataset": dataset.name}, path, remedy)


def differing_names(names: Sequence[str], dataset: Dataset) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that only the data set has, and those that only `names` has, each sorted."""
    held, wanted = set(names), set(dataset.table["name"])
    return tuple(sorted(wanted - held)), tuple(sorted(held - wanted))


def first_of(names: Sequence[str], what: str) -> list[str]:
    """Return one line that counts `names` and gives the first of them; none where there is no name."""
    return [f"{len(names)} {what}, first {', '.join(names[:NAMED])}"] if names else []
