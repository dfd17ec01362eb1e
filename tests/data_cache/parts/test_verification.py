"""Verifying a part cache: against itself, its fingerprint, and the pictures that it is of."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from data_cache.base.files import sha256_of_names
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes, write_parts
from data_cache.parts.packing import ImageEntry, LooseBoxes, pack_boxes
from data_cache.parts.verification import compare, differing_names, fingerprint_faults, first_of, verify_cache
from helpers.parts import MakeParts, MakePictures, sliced


def with_fingerprint(parts: PartBoxes, **values: Any) -> PartBoxes:
    return dataclasses.replace(parts, fingerprint={**parts.fingerprint, **values})


def dataset(root: Path, names: list[str]) -> Dataset:
    table = pd.DataFrame({"name": names, "vehicle_id": "1", "camera_id": -1, "split": "train"})
    return Dataset("pictures", root, table, {})


def cache_of(sizes: dict[str, tuple[int, int]], failed: tuple[str, ...] = ()) -> PartBoxes:
    import numpy as np

    entries = [ImageEntry(name, *size, "damaged" if name in failed else "") for name, size in sizes.items()]
    none = LooseBoxes(
        np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    )
    return pack_boxes(entries, none, places=2, part_names=("wheel",), fingerprint={})


def test_a_sound_cache_is_counted(tmp_path: Path, make_parts: MakeParts) -> None:
    parts = make_parts(8, 3)  # 0 failed, 1 + 2 + 3 parts, none, 1 + 2 + 3 parts
    write_parts(tmp_path / "parts.h5", parts)
    found = verify_cache(tmp_path / "parts.h5")
    assert found.sound and found.line().endswith("parts.h5: sound; 8 images, 12 parts, 1 empty, 1 failed")
    assert found.to_dict() == {
        **{"path": str(tmp_path / "parts.h5"), "sound": True, "images": 8, "parts": 12, "empty": 1, "failed": 1},
        **{"faults": [], "remarks": [], "comparison": None},
    }


def test_a_damaged_or_missing_cache_is_a_fault_and_no_exception(tmp_path: Path, make_parts: MakeParts) -> None:
    path = tmp_path / "parts.h5"
    assert verify_cache(path).line() == f"{path}: no part cache there; make it with `python cli.py detect`"
    write_parts(path, make_parts())
    path.write_bytes(path.read_bytes()[:-7])
    found = verify_cache(path)
    assert not found.sound and found.line().startswith(f"{path}: damaged part cache")


def test_a_fingerprint_must_tell_the_names_and_places(make_parts: MakeParts) -> None:
    parts = make_parts(6, 3)
    told = with_fingerprint(parts, names_sha256=sha256_of_names(list(parts.names)))
    assert fingerprint_faults(parts) == fingerprint_faults(told) == []
    (shard,) = fingerprint_faults(sliced(told, slice(0, 3)))
    assert shard.startswith("its names are not those of its fingerprint (a shard")
    assert fingerprint_faults(with_fingerprint(told, top_k=4)) == [
        "it has 3 places an image, its fingerprint says top_k = 4"
    ]
    assert len(fingerprint_faults(with_fingerprint(sliced(told, slice(0, 3)), top_k=4))) == 2


def test_part_names_must_be_known_unless_the_cache_was_imported(make_parts: MakeParts) -> None:
    parts = dataclasses.replace(make_parts(), part_names=tuple(f"part {number}" for number in range(16)))
    assert fingerprint_faults(parts) == ["unknown part 'part 0'"]
    assert fingerprint_faults(with_fingerprint(parts, source="coco")) == []
    doubled = dataclasses.replace(parts, part_names=("wheel",) * 16)
    assert fingerprint_faults(doubled) == ["a part name stands twice"]


def test_names_and_sizes_are_compared_with_the_pictures(tmp_path: Path, make_pictures: MakePictures) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    make_pictures(tmp_path, names)  # all of 12 x 8
    Image.new("RGB", (8, 12)).save(tmp_path / "b.jpg")
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "d.jpg").unlink()
    parts = cache_of(dict.fromkeys([*names[:5], "more.jpg"], (12, 8)), failed=("e.jpg",))
    found = compare(parts, dataset(tmp_path, names))
    assert found.missing == ("f.jpg",)
    assert found.extra == ("more.jpg",)
    assert found.changed_size == ("b.jpg",)
    assert found.unreadable == ("c.jpg", "d.jpg")
    assert found.to_dict()["unreadable"] == {"count": 2, "first": ["c.jpg", "d.jpg"]}


def test_the_comparison_is_told_and_spoils_the_cache(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["a.jpg", "b.jpg"])
    write_parts(tmp_path / "parts.h5", cache_of({"a.jpg": (8, 12), "more.jpg": (1, 1)}))
    found = verify_cache(tmp_path / "parts.h5", dataset(tmp_path, ["a.jpg", "b.jpg"]))
    assert found.faults == (
        "1 images of pictures are not in it, first b.jpg",
        "1 images have another size now, first a.jpg",
    )
    assert found.remarks == ("1 images are not in pictures, first more.jpg",)
    assert found.line().endswith(f"{found.faults[1]}; {found.remarks[0]}")


def test_images_that_only_the_cache_has_do_not_spoil_it(tmp_path: Path, make_pictures: MakePictures) -> None:
    make_pictures(tmp_path, ["a.jpg"])
    write_parts(tmp_path / "parts.h5", cache_of({"a.jpg": (12, 8), "more.jpg": (1, 1)}))
    found = verify_cache(tmp_path / "parts.h5", dataset(tmp_path, ["a.jpg"]))
    assert found.sound
    assert found.line().endswith("2 empty, 0 failed; 1 images are not in pictures, first more.jpg")


def test_differing_names_are_sets_apart() -> None:
    assert differing_names(("a", "c"), dataset(Path(), ["b", "a"])) == (("b",), ("c",))
    assert first_of(["a", "b", "c", "d"], "names") == ["4 names, first a, b, c"]
    assert first_of([], "names") == []


@pytest.mark.parametrize("place", [0, 100, 600, 2000])
def test_a_flipped_bit_is_a_fault(tmp_path: Path, make_parts: MakeParts, place: int) -> None:
    path = tmp_path / "parts.h5"
    write_parts(path, make_parts())
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 4
    path.write_bytes(damaged)
    assert not verify_cache(path).sound
