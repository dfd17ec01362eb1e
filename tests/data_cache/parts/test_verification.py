"""Verification of a part cache: its file, its fingerprint, and the images of a data set."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from data_cache.base.files import sha256_of_names
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes, write_parts
from data_cache.parts.packing import FlatBoxes, ImageEntry, pack_boxes
from data_cache.parts.verification import compare, count_line, differing_names, fingerprint_errors, verify_cache
from helpers.parts import MakeParts, MakePictures, sliced


def with_fingerprint(parts: PartBoxes, **values: Any) -> PartBoxes:
    return dataclasses.replace(parts, fingerprint={**parts.fingerprint, **values})


def dataset(root: Path, names: list[str]) -> Dataset:
    table = pd.DataFrame({"name": names, "vehicle_id": "1", "camera_id": -1, "split": "train"})
    return Dataset("pictures", root, table, {})


def cache_of(sizes: dict[str, tuple[int, int]], failed: tuple[str, ...] = ()) -> PartBoxes:
    entries = [ImageEntry(name, *size, "damaged" if name in failed else "") for name, size in sizes.items()]
    none = FlatBoxes(
        np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    )
    return pack_boxes(entries, none, top_k=2, part_names=("wheel",), fingerprint={})


def test_valid_cache_is_counted(tmp_path: Path, make_parts: MakeParts) -> None:
    parts = make_parts(8, 3)  # 0 failed, 1 + 2 + 3 parts, none, 1 + 2 + 3 parts
    write_parts(tmp_path / "parts.h5", parts)
    result = verify_cache(tmp_path / "parts.h5")
    assert result.valid and result.line().endswith("parts.h5: valid; 8 images, 12 boxes, 1 empty, 1 failed")
    assert result.to_dict() == {
        **{"path": str(tmp_path / "parts.h5"), "valid": True, "images": 8, "parts": 12, "empty": 1, "failed": 1},
        **{"errors": [], "notes": [], "comparison": None},
    }


def test_missing_or_damaged_cache_is_an_error_in_the_result(tmp_path: Path, make_parts: MakeParts) -> None:
    path = tmp_path / "parts.h5"
    assert verify_cache(path).line() == f"{path}: no such part cache; make it with `python cli.py detect`"
    write_parts(path, make_parts())
    path.write_bytes(path.read_bytes()[:-7])
    result = verify_cache(path)
    assert not result.valid and result.line().startswith(f"{path}: damaged part cache")


def test_fingerprint_must_match_names_and_slots(make_parts: MakeParts) -> None:
    parts = make_parts(6, 3)
    named = with_fingerprint(parts, names_sha256=sha256_of_names(list(parts.names)))
    assert fingerprint_errors(parts) == fingerprint_errors(named) == []
    (error,) = fingerprint_errors(sliced(named, slice(0, 3)))
    assert error.startswith("its names do not match its fingerprint (a shard")
    assert fingerprint_errors(with_fingerprint(named, top_k=4)) == [
        "it has 3 slots per image, its fingerprint says top_k = 4"
    ]
    assert len(fingerprint_errors(with_fingerprint(sliced(named, slice(0, 3)), top_k=4))) == 2


def test_part_names_must_be_known_unless_imported(make_parts: MakeParts) -> None:
    parts = dataclasses.replace(make_parts(), part_names=tuple(f"part {number}" for number in range(16)))
    assert fingerprint_errors(parts) == ["unknown part 'part 0'"]
    assert fingerprint_errors(with_fingerprint(parts, source="coco")) == []
    duplicate = dataclasses.replace(parts, part_names=("wheel",) * 16)
    assert fingerprint_errors(duplicate) == ["it has duplicate part names"]


def test_names_and_sizes_are_compared_with_the_images(tmp_path: Path, make_pictures: MakePictures) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    make_pictures(tmp_path, names)  # all of 12 x 8
    Image.new("RGB", (8, 12)).save(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "d.jpg").unlink()
    parts = cache_of(dict.fromkeys([*names[:5], "more.jpg"], (12, 8)), failed=("e.jpg",))
    comparison = compare(parts, dataset(tmp_path, names))
    assert comparison.missing == ("f.jpg",)
    assert comparison.extra == ("more.jpg",)
    assert comparison.changed_size == ("b.jpg",)
    assert comparison.unreadable == ("c.jpg", "d.jpg")
    assert comparison.to_dict()["unreadable"] == {"count": 2, "first": ["c.jpg", "d.jpg"]}


def test_missing_and_changed_images_are_errors_and_extra_ones_notes(
    tmp_path: Path, make_pictures: MakePictures
) -> None:
    make_pictures(tmp_path, ["a.jpg", "b.jpg"])
    note = "1 images are not in pictures, first more.jpg"
    write_parts(tmp_path / "parts.h5", cache_of({"a.jpg": (8, 12), "more.jpg": (1, 1)}))
    invalid = verify_cache(tmp_path / "parts.h5", dataset(tmp_path, ["a.jpg", "b.jpg"]))
    assert invalid.errors == (
        "1 images of pictures are not in it, first b.jpg",
        "1 images have another size now, first a.jpg",
    )
    assert invalid.notes == (note,)
    assert invalid.line().endswith(f"{invalid.errors[1]}; {note}")
    write_parts(tmp_path / "parts.h5", cache_of({"a.jpg": (12, 8), "more.jpg": (1, 1)}))
    valid = verify_cache(tmp_path / "parts.h5", dataset(tmp_path, ["a.jpg"]))
    assert valid.valid and valid.line().endswith(f"2 empty, 0 failed; {note}")


def test_differing_names_and_their_summary() -> None:
    assert differing_names(("a", "c"), dataset(Path(), ["b", "a"])) == (("b",), ("c",))
    assert count_line(["a", "b", "c", "d"], "names") == ["4 names, first a, b, c"]
    assert count_line([], "names") == []
