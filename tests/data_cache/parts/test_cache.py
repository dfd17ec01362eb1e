"""The part cache: round trip, documented layout, damage, and violations of its contract."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

import data_cache.parts.cache
from data_cache.base.errors import UserError
from data_cache.parts.cache import (
    ARRAYS,
    SEAL_SIZE,
    STATUS_EMPTY,
    STATUS_FAILED,
    STATUS_FOUND,
    PartBoxes,
    _seal,
    empty_cache,
    encode_parts,
    read_parts,
    write_parts,
)
from data_cache.parts.names import PART_NAMES
from helpers.parts import MakeParts


def changed(parts: PartBoxes, **arrays: tuple[Any, Any]) -> PartBoxes:
    """Return `parts` with one element of each named array set: name=(index, value)."""
    copies = {}
    for name, (index, value) in arrays.items():
        copies[name] = getattr(parts, name).copy()
        copies[name][index] = value
    return dataclasses.replace(parts, **copies)


@pytest.mark.parametrize(("count", "slots"), [(1, 1), (6, 3), (40, 16)])
def test_written_cache_is_read_back(tmp_path: Path, make_parts: MakeParts, count: int, slots: int) -> None:
    parts = make_parts(count, slots)
    write_parts(tmp_path / "parts.h5", parts)
    found = read_parts(tmp_path / "parts.h5")
    assert all(np.array_equal(getattr(found, name), getattr(parts, name)) for name in ARRAYS)
    assert encode_parts(found) == encode_parts(parts)  # and the same types, names and attributes
    assert list(tmp_path.iterdir()) == [tmp_path / "parts.h5"]


def test_file_has_the_documented_layout(tmp_path: Path, make_parts: MakeParts) -> None:
    write_parts(tmp_path / "parts.h5", make_parts(6, 3))
    shapes = {
        "name": (6,), "image_size": (6, 2), "boxes": (6, 3, 4), "scores": (6, 3), "labels": (6, 3), "status": (6,),
        "failure": (6,),
    }  # fmt: skip
    types = {"image_size": "int32", "boxes": "float32", "scores": "float32", "labels": "int8", "status": "uint8"}
    with h5py.File(tmp_path / "parts.h5", "r") as file:
        assert {name: file[name].shape for name in file} == shapes
        assert {name: str(file[name].dtype) for name in types} == types
        assert all(file[name].fletcher32 for name in file)
        assert [file[name].asstr()[0] for name in ("name", "failure")] == ["images/ü 0000.jpg", "damaged image (½)"]
        assert file.attrs["schema"] == 1
        assert json.loads(file.attrs["part_names"]) == list(PART_NAMES)
        assert json.loads(file.attrs["fingerprint"])["detector"] == "toy"


def test_equal_parts_give_equal_bytes(make_parts: MakeParts) -> None:
    parts = make_parts()
    reordered = dataclasses.replace(parts, fingerprint=dict(reversed(parts.fingerprint.items())))
    assert encode_parts(parts) == encode_parts(make_parts()) == encode_parts(reordered)
    assert encode_parts(parts) != encode_parts(make_parts(seed=1))
    assert encode_parts(parts) != encode_parts(make_parts(detector="other"))


def test_every_damage_is_detected(tmp_path: Path, make_parts: MakeParts) -> None:
    path, valid = tmp_path / "parts.h5", encode_parts(make_parts())
    damaged = [valid[:length] for length in range(0, len(valid), 97)] + [valid[:-1], valid + b"\0"]
    for index in range(0, len(valid), 41):
        flipped = bytearray(valid)
        flipped[index] ^= 1 << (index % 8)
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"parts\.h5: damaged part cache .*run `python cli.py detect` again"):
            read_parts(path)


def test_other_files_are_refused(tmp_path: Path, make_parts: MakeParts, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["boxes"] = np.zeros((2, 3, 4))
    with h5py.File(tmp_path / "sealed.h5", "w", userblock_size=SEAL_SIZE) as file:
        file.attrs["schema"] = 1
    content = (tmp_path / "sealed.h5").read_bytes()[SEAL_SIZE:]
    (tmp_path / "sealed.h5").write_bytes(_seal(content) + content)
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "zeros.h5").write_bytes(b"\0" * 600)
    for name in ("sealed.h5", "empty.h5", "zeros.h5"):
        with pytest.raises(UserError, match=f"{name}: damaged part cache .*; delete it and run"):
            read_parts(tmp_path / name)
    (tmp_path / "text.h5").write_text("hello")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    for name in ("other.h5", "text.h5", "photo.jpg"):
        with pytest.raises(UserError, match=f"{name}: not a part cache; name one, or make one with `[^`]*detect`$"):
            read_parts(tmp_path / name)
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(UserError, match=r"folder\.h5: cannot be read \(Is a directory\)$"):
        read_parts(tmp_path / "folder.h5")
    with pytest.raises(UserError, match=r"absent\.h5: no such part cache; make it with"):
        read_parts(tmp_path / "absent.h5")
    monkeypatch.setattr(data_cache.parts.cache, "SCHEMA", 2)
    write_parts(tmp_path / "newer.h5", make_parts())
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"newer\.h5: part cache of schema 2, this version reads 1"):
        read_parts(tmp_path / "newer.h5")


# In make_parts(6, 3): row 0 failed, row 1 has one part, row 2 two, row 3 three, row 4 none, row 5 one.
@pytest.mark.parametrize(
    ("change", "row", "reason"),
    [
        ({"boxes": ((2, 1, 0), np.nan)}, 2, "a box is not finite"),
        ({"boxes": ((2, 1, 3), np.inf)}, 2, "a box is not finite"),
        ({"boxes": ((3, 0, 0), -0.5)}, 3, "outside its image"),
        ({"boxes": ((3, 2, 2), 100.01)}, 3, "outside its image"),
        ({"boxes": ((3, 2, 3), 90.01)}, 3, "outside its image"),
        ({"boxes": ((3, 2, 2), 0)}, 3, "has no area"),
        ({"boxes": ((1, 0), (5, 5, 5, 9))}, 1, "has no area"),
        ({"image_size": (3, (30, 30))}, 3, "outside its image"),
        ({"scores": ((3, 2), np.nan)}, 3, r"a score is not in \[0, 1\]"),
        ({"scores": ((3, 0), 1.01)}, 3, r"a score is not in \[0, 1\]"),
        ({"scores": ((1, 0), -0.01)}, 1, r"a score is not in \[0, 1\]"),
        ({"scores": (3, (0.2, 0.3, 0.1))}, 3, "the scores are not descending"),
        ({"labels": ((3, 1), 16)}, 3, "a label is unknown"),
        ({"labels": ((1, 1), -2)}, 1, "a label is unknown"),
        ({"labels": ((3, 1), -1), "boxes": ((3, 1), 0), "scores": ((3, slice(1, 3)), 0)}, 3, "precedes a box"),
        ({"boxes": ((1, 2, 0), 1)}, 1, "an empty slot holds"),
        ({"boxes": ((1, 2, 0), np.nan)}, 1, "an empty slot holds"),
        ({"scores": ((1, 1), 0.01)}, 1, "an empty slot holds"),
        ({"status": (1, STATUS_EMPTY)}, 1, "status and boxes disagree"),
        ({"status": (4, STATUS_FOUND)}, 4, "status and boxes disagree"),
        ({"status": (0, STATUS_FOUND)}, 0, "status and boxes disagree"),
        ({"status": (4, 3)}, 4, "the status is unknown"),
        ({"status": (4, STATUS_FAILED)}, 4, "status and failure disagree"),
        ({"status": (0, STATUS_EMPTY)}, 0, "status and failure disagree"),
    ],
)
def test_contract_violation_names_the_image(
    make_parts: MakeParts, change: dict[str, tuple[Any, Any]], row: int, reason: str
) -> None:
    with pytest.raises(UserError, match=rf"images/ü {row:04d}\.jpg: .*{reason}"):
        changed(make_parts(), **change)


def test_boxes_may_touch_the_border_and_scores_may_be_equal(make_parts: MakeParts) -> None:
    changed(make_parts(), boxes=((3, 0), (0, 0, 100, 90)), scores=(3, (0.5, 0.5, 0.5)))


@pytest.mark.parametrize("name", ["image_size", "boxes", "scores", "status", "names", "failure"])
def test_arrays_of_different_lengths_are_refused(make_parts: MakeParts, name: str) -> None:
    parts = make_parts()
    with pytest.raises(UserError, match="part cache: "):
        dataclasses.replace(parts, **{name: getattr(parts, name)[:-1]})


def test_names_must_be_sorted_and_unique(make_parts: MakeParts) -> None:
    parts = make_parts()
    first, second, *others = parts.names
    for names in ((second, first, *others), (first, first, *others)):
        with pytest.raises(UserError, match="not sorted and unique"):
            dataclasses.replace(parts, names=names)


def test_rows_are_found_by_name(make_parts: MakeParts) -> None:
    parts = make_parts()
    wanted = ["images/ü 0004.jpg", "images/ü 0000.jpg", "images/ü 0004.jpg"]
    assert [parts.names[row] for row in parts.rows(wanted)] == wanted
    assert parts.rows([]).shape == (0,)
    with pytest.raises(UserError, match=r"2 images are not in it, first absent\.jpg; run"):
        parts.rows(["absent.jpg", wanted[0], "more.jpg"])


def test_empty_cache_has_a_row_per_name_and_no_boxes() -> None:
    parts = empty_cache(["a", "b"])
    assert parts.names == ("a", "b") and parts.boxes.shape == (2, 0, 4)
    assert parts.status.tolist() == [STATUS_EMPTY] * 2
    assert parts.rows(["b"]).tolist() == [1]
