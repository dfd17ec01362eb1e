"""Merging: any division of a cache merges to the whole; caches of different detectors are refused."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_names
from data_cache.parts.cache import ARRAYS, STATUS_FAILED, PartBoxes, encode_parts, write_parts
from data_cache.parts.merging import Source, merge_caches, parse_source
from helpers.parts import MakeParts, sliced


def detected(parts: PartBoxes, dataset: str | None = "set") -> PartBoxes:
    """Return `parts` with the fingerprint of stage one."""
    names = {"dataset": dataset, "names_sha256": sha256_of_names(list(parts.names))}
    return dataclasses.replace(parts, fingerprint={**parts.fingerprint, **names})


def picked(parts: PartBoxes, rows: list[int]) -> PartBoxes:
    found = [sliced(parts, slice(row, row + 1)) for row in rows]
    names = ("image_size", "boxes", "scores", "labels", "status")
    arrays = {name: np.concatenate([getattr(piece, name) for piece in found]) for name in names}
    return dataclasses.replace(
        parts, names=tuple(p.names[0] for p in found), failure=tuple(p.failure[0] for p in found), **arrays
    )


def merged(folder: Path, pieces: list[PartBoxes], prefixes: list[str] | None = None, **options: Any) -> PartBoxes:
    sources = []
    for number, piece in enumerate(pieces):
        write_parts(folder / f"{number}.h5", piece)
        sources.append(Source(folder / f"{number}.h5", prefixes[number] if prefixes else ""))
    return merge_caches(sources, **options)


@pytest.mark.parametrize("seed", range(5))
def test_any_division_merges_to_the_whole(tmp_path: Path, make_parts: MakeParts, seed: int) -> None:
    whole = detected(make_parts(23, 4))
    random = np.random.default_rng(seed)
    piece_of = random.integers(0, 3, 23)
    again = set(random.choice(23, 5, replace=False).tolist())  # rows that a second piece has too
    pieces = [
        detected(picked(whole, [row for row in range(23) if piece_of[row] == number or (number == 0 and row in again)]))
        for number in range(3)
    ]
    assert encode_parts(merged(tmp_path, pieces)) == encode_parts(whole)


def test_prefixes_separate_equal_names(tmp_path: Path, make_parts: MakeParts) -> None:
    east, west = detected(make_parts(4, 2), "east"), detected(make_parts(4, 2, seed=1), "west")
    found = merged(tmp_path, [west, east], ["west/", "east/"], dataset="both")
    assert found.names == tuple(f"{folder}/{name}" for folder in ("east", "west") for name in east.names)
    assert np.array_equal(found.boxes, np.concatenate([east.boxes, west.boxes]))
    assert found.failure == east.failure + west.failure
    assert found.fingerprint == {
        **east.fingerprint,
        "dataset": "both",
        "names_sha256": sha256_of_names(list(found.names)),
    }


def test_image_with_different_content_in_two_caches_is_refused(tmp_path: Path, make_parts: MakeParts) -> None:
    first = detected(make_parts(4, 2))
    for change in (
        {"image_size": first.image_size + np.array([[0, 0], [1, 0], [0, 0], [0, 0]], np.int32)},
        {"scores": first.scores / np.float32(2)},
    ):
        with pytest.raises(UserError, match=r"images/ü 000\d\.jpg is in .*0\.h5 and, with other content, in .*1\.h5"):
            merged(tmp_path, [first, dataclasses.replace(first, **change)])


def test_an_image_that_failed_in_one_cache_is_that_of_another(tmp_path: Path, make_parts: MakeParts) -> None:
    whole = detected(make_parts(4, 2))
    failed = [row for row in range(4) if whole.failure[row]]
    found = [row for row in range(4) if not whole.failure[row]]
    assert failed and found
    other = dataclasses.replace(whole, failure=tuple(reason and f"/mnt/{reason}" for reason in whole.failure))
    assert merged(tmp_path, [whole, other]).failure == whole.failure
    assert merged(tmp_path, [other, whole]).failure == other.failure
    changes = {name: getattr(whole, name).copy() for name in ARRAYS}
    for name, empty in (("image_size", 0), ("boxes", 0), ("scores", 0), ("labels", -1), ("status", STATUS_FAILED)):
        changes[name][found[0]] = empty
    reasons = tuple("no such file" if row == found[0] else whole.failure[row] for row in range(4))
    broken = dataclasses.replace(whole, failure=reasons, **changes)
    for pieces in ([whole, broken], [broken, whole]):
        assert encode_parts(merged(tmp_path, pieces)) == encode_parts(whole)


def test_caches_of_other_detectors_are_refused(tmp_path: Path, make_parts: MakeParts) -> None:
    first = detected(make_parts(4, 2))
    for other, difference in (
        (detected(make_parts(4, 2, detector="other")), "detector = other, this run needs toy"),
        (dataclasses.replace(first, part_names=tuple(f"part {number}" for number in range(16))), "part_names"),
        (dataclasses.replace(detected(make_parts(4, 3)), fingerprint=first.fingerprint), "top_k = 3, this run needs 2"),
    ):
        with pytest.raises(UserError, match=rf"1\.h5: made with {difference}.*; only caches"):
            merged(tmp_path, [first, other])


def test_data_set_is_the_shared_or_the_given_one(tmp_path: Path, make_parts: MakeParts) -> None:
    whole = detected(make_parts(4, 2))
    pieces = [detected(sliced(whole, slice(0, 2)), "one"), detected(sliced(whole, slice(2, 4)), "two")]
    with pytest.raises(UserError, match=r"several data sets \(one, two\); choose --dataset"):
        merged(tmp_path, pieces)
    assert merged(tmp_path, pieces, dataset="three").fingerprint["dataset"] == "three"
    assert merged(tmp_path, [pieces[0]]).fingerprint == pieces[0].fingerprint


def test_prefixes_are_parsed(tmp_path: Path) -> None:
    assert parse_source("a/parts.h5") == Source(Path("a/parts.h5"))
    assert parse_source("east=a/parts.h5") == Source(Path("a/parts.h5"), "east/")
    assert parse_source("east/1/=a=b.h5") == Source(Path("a=b.h5"), "east/1/")
    assert parse_source("=a=b.h5") == Source(Path("a=b.h5"))
    (tmp_path / "rate=1.h5").write_text("")
    assert parse_source(str(tmp_path / "rate=1.h5")) == Source(tmp_path / "rate=1.h5")
    for text in ("/east=p.h5", "../east=p.h5", "a/../../b=p.h5", "east=", "a\\b=p.h5"):
        with pytest.raises(UserError, match="write it as PREFIX=FILE"):
            parse_source(text)
