"""Merging part caches of one detector, of several folders or from several machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sha256_of_names
from data_cache.parts.cache import ARRAYS, PartBoxes, read_parts
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.source_files import FILES_KEY, run_fingerprint, with_joined_files_hash

IMAGE_KEYS = ("dataset", "names_sha256", FILES_KEY)  # of a fingerprint; all other keys describe the detector
REMEDY = "only caches of the same detector can be merged"


@dataclass(frozen=True)
class Source:
    """A cache to merge, and the prefix of its names (empty, or ending with a slash)."""

    path: Path
    prefix: str = ""


def parse_source(text: str) -> Source:
    """Parse `FILE` or `PREFIX=FILE`, split at the first "=" unless a file of the whole name exists.

    Raises UserError for a prefix outside the data set's folder.

    >>> parse_source("east=east/parts.h5").prefix
    'east/'
    """
    prefix, equals, file = text.partition("=")
    if not equals or path_exists(Path(text)):
        return Source(Path(text))
    pure = PurePosixPath(prefix)
    if pure.is_absolute() or ".." in pure.parts or "\\" in prefix or not file:
        raise UserError(f"{text}: write it as PREFIX=FILE, with PREFIX a folder below the data set's")
    return Source(Path(file), f"{pure}/" if pure.parts else "")


def merge_caches(sources: Sequence[Source], dataset: str | None = None) -> PartBoxes:
    """Return the cache of all images of `sources`, sorted by name, for `dataset` or the one that they share.

    An image that failed in one of them and not in another is that of the other; one that failed everywhere has the
    reason of the first. Raises UserError if the caches were made by different detectors, if they disagree about an
    image, or if they belong to several data sets and `dataset` is None.
    """
    caches = [read_parts(source.path) for source in sources]
    for source, cache in zip(sources, caches, strict=True):
        require_fingerprint(_detector(cache), _detector(caches[0]), source.path, REMEDY)
    arrays = {name: np.concatenate([getattr(cache, name) for cache in caches]) for name in ARRAYS}
    names = [source.prefix + name for source, cache in zip(sources, caches, strict=True) for name in cache.names]
    failure = [reason for cache in caches for reason in cache.failure]
    origin = [source.path for source, cache in zip(sources, caches, strict=True) for _ in cache.names]
    rows: list[int] = []
    for row in sorted(range(len(names)), key=lambda row: names[row]):  # stable: the first file's row is kept
        if not rows or names[row] != names[rows[-1]]:
            rows.append(row)
            continue
        if failure[row]:  # the reasons of two failures may differ, as by the folder in which the image lay
            continue
        if failure[rows[-1]]:
            rows[-1] = row
            continue
        if not all(np.array_equal(array[row], array[rows[-1]]) for array in arrays.values()):
            raise UserError(
                f"{names[row]} is in {origin[rows[-1]]} and, with other content, in {origin[row]}; "
                "put PREFIX= before one of them, or leave one out"
            )
    kept = tuple(names[row] for row in rows)
    merged = PartBoxes(
        names=kept,
        failure=tuple(failure[row] for row in rows),
        part_names=caches[0].part_names,
        fingerprint=_merged_fingerprint(caches, dataset, kept),
        **{name: array[rows] for name, array in arrays.items()},
    )
    return with_joined_files_hash(merged, caches) if len(kept) == len(names) else merged


def _detector(parts: PartBoxes) -> dict[str, Any]:
    detector = {key: value for key, value in parts.fingerprint.items() if key not in IMAGE_KEYS}
    return detector | {"part_names": list(parts.part_names), "top_k": parts.labels.shape[1]}


def _merged_fingerprint(caches: Sequence[PartBoxes], dataset: str | None, names: tuple[str, ...]) -> dict[str, Any]:
    datasets = list(dict.fromkeys(cache.fingerprint.get("dataset") for cache in caches))
    if dataset is None and len(datasets) > 1:
        raise UserError(f"the caches belong to several data sets ({', '.join(map(str, datasets))}); choose --dataset")
    chosen = dataset if dataset is not None else datasets[0]
    return {**run_fingerprint(caches[0]), "dataset": chosen, "names_sha256": sha256_of_names(list(names))}
