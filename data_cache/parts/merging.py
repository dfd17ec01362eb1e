"""Part caches of several folders or several machines, made by one detector, joined to one."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from data_cache.base.errors import UserError
from data_cache.base.files import is_there, sha256_of_names
from data_cache.parts.cache import ARRAYS, PartBoxes, read_parts, require_fingerprint
from data_cache.parts.source_files import FILES, made_by, with_files_of

OF_THE_IMAGES = ("dataset", "names_sha256", FILES)  # in a fingerprint: what may differ between caches of one detector
REMEDY = "only caches that one detector made can be merged"


@dataclass(frozen=True)
class Source:
    """A cache to merge, and what is put before its names ("" or ending with a slash)."""

    path: Path
    prefix: str = ""


def parse_source(text: str) -> Source:
    """Read `FILE` or `PREFIX=FILE`; the first "=" divides, except where a file of the whole name exists.

    Raises UserError for a prefix that would lead out of the data set's folder.

    >>> parse_source("east=east/parts.h5").prefix
    'east/'
    """
    prefix, equals, file = text.partition("=")
    if not equals or is_there(Path(text)):
        return Source(Path(text))
    pure = PurePosixPath(prefix)
    if pure.is_absolute() or ".." in pure.parts or "\\" in prefix or not file:
        raise UserError(f"{text}: write it as PREFIX=FILE, with PREFIX a folder below the data set's")
    return Source(Path(file), f"{pure}/" if pure.parts else "")


def merge_caches(sources: Sequence[Source], dataset: str | None = None) -> PartBoxes:
    """Return the cache of all images of `sources`, sorted by name, for `dataset`, or for the one they share.

    Raises UserError where their fingerprints differ in more than the images, where an image is in two of them with
    other content, or where they are of several data sets and none is named.
    """
    caches = [_prefixed(read_parts(source.path), source.prefix) for source in sources]
    _require_one_detector(sources, caches)
    joined = {name: np.concatenate([getattr(cache, name) for cache in caches]) for name in ARRAYS}
    names = [name for cache in caches for name in cache.names]
    failure = [reason for cache in caches for reason in cache.failure]
    origin = [source.path for source, cache in zip(sources, caches, strict=True) for _ in cache.names]
    rows: list[int] = []
    for row in sorted(range(len(names)), key=lambda row: names[row]):  # a stable sort: the first file's row stays
        if rows and names[row] == names[rows[-1]]:
            same = all(np.array_equal(joined[name][row], joined[name][rows[-1]]) for name in ARRAYS)
            if not same or failure[row] != failure[rows[-1]]:
                raise UserError(
                    f"{names[row]} is in {origin[rows[-1]]} and, with other content, in {origin[row]}; "
                    "put PREFIX= before one of them, or leave one out"
                )
        else:
            rows.append(row)
    kept = tuple(names[row] for row in rows)
    merged = PartBoxes(
        names=kept,
        failure=tuple(failure[row] for row in rows),
        part_names=caches[0].part_names,
        fingerprint=_merged_fingerprint(caches, dataset, kept),
        **{name: array[rows] for name, array in joined.items()},
    )
    return with_files_of(merged, caches) if len(kept) == len(names) else merged


def _prefixed(parts: PartBoxes, prefix: str) -> PartBoxes:
    return dataclasses.replace(parts, names=tuple(prefix + name for name in parts.names))


def _require_one_detector(sources: Sequence[Source], caches: Sequence[PartBoxes]) -> None:
    first = caches[0]
    for source, cache in zip(sources, caches, strict=True):
        require_fingerprint(_maker(cache), _maker(first), source.path, REMEDY)
        if cache.labels.shape[1] != first.labels.shape[1]:
            raise UserError(
                f"{source.path}: {cache.labels.shape[1]} places an image, {sources[0].path} has "
                f"{first.labels.shape[1]}; {REMEDY}"
            )


def _maker(parts: PartBoxes) -> dict[str, Any]:
    made = {name: value for name, value in parts.fingerprint.items() if name not in OF_THE_IMAGES}
    return made | {"part_names": list(parts.part_names)}


def _merged_fingerprint(caches: Sequence[PartBoxes], dataset: str | None, names: tuple[str, ...]) -> dict[str, Any]:
    datasets = list(dict.fromkeys(cache.fingerprint.get("dataset") for cache in caches))
    if dataset is None and len(datasets) > 1:
        raise UserError(f"these are caches of several data sets ({', '.join(map(str, datasets))}); name one: --dataset")
    named = dataset if dataset is not None else datasets[0]
    return {**made_by(caches[0]), "dataset": named, "names_sha256": sha256_of_names(list(names))}
