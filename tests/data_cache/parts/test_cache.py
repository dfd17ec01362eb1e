"""The part cache: what is written is read, no damage goes unseen, and nothing that breaks the contract is taken."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import data_cache.parts.cache
from data_cache.base.errors import UserError
from data_cache.parts.cache import (
    ARRAYS,
    STATUS_EMPTY,
    STATUS_FAILED,
    STATUS_FOUND,
    PartBoxes,
    encode_parts,
    join_parts,
    no_parts,
    read_parts,
    require_fingerprint,
    write_parts,
)
from data_cache.parts.names import PART_NAMES
from helpers.parts import MakeParts, sliced


def same(first: PartBoxes, second: PartBoxes) -> bool:
    """Whether two caches hold the same values of the same types."""
    plain = ("names", "failure", "part_names", "fingerprint")
    return all(getattr(first, name) == getattr(second, name) for name in plain) and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        and getattr(first, name).dtype == getattr(second, name).dtype
        for name in ARRAYS
    )


def changed(parts: PartBoxes, **arrays: tuple[Any, Any]) -> PartBoxes:
    """Return `parts` with one place of each named array set: name=(place, value)."""
    copies = {}
    for name, (place, value) in arrays.items():
        copies[name] = getattr(parts, name).copy()
        copies[name][place] = value
    return dataclasses.replace(parts, **copies)


@pytest.mark.parametrize(("count", "places"), [(1, 1), (6, 3), (40, 16)])
def test_what_is_written_is_read(tmp_path: Path, make_parts: MakeParts, count: int, places: int) -> None:
    parts = make_parts(count, places)
    write_parts(tmp_path / "parts.h5", parts)
    assert same(read_parts(tmp_path / "parts.h5"), parts)
    assert list(tmp_path.iterdir()) == [tmp_path / "parts.h5"]


def test_any_hdf5_reader_finds_the_documented_layout(tmp_path: Path, make_parts: MakeParts) -> None:
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


def test_the_same_parts_give_the_same_bytes(make_parts: MakeParts) -> None:
    parts = make_parts()
    turned = dataclasses.replace(parts, fingerprint=dict(reversed(parts.fingerprint.items())))
    assert encode_parts(parts) == encode_parts(make_parts()) == encode_parts(turned)
    assert encode_parts(parts) != encode_parts(make_parts(seed=1))
    assert encode_parts(parts) != encode_parts(make_parts(detector="other"))


def test_every_flipped_bit_is_seen(tmp_path: Path, make_parts: MakeParts) -> None:
    path = tmp_path / "parts.h5"
    write_parts(path, make_parts())
    sound = path.read_bytes()
    for place in range(0, len(sound), 41):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"parts\.h5: damaged part cache .*run `python cli.py detect` again"):
            read_parts(path)


def test_a_cut_or_grown_file_is_seen(tmp_path: Path, make_parts: MakeParts) -> None:
    path = tmp_path / "parts.h5"
    sound = encode_parts(make_parts())
    for data in (*(sound[:length] for length in range(0, len(sound), 97)), sound[:-1], sound + b"\0"):
        path.write_bytes(data)
        with pytest.raises(UserError, match="damaged part cache"):
            read_parts(path)


def test_other_files_are_refused(tmp_path: Path, make_parts: MakeParts, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["boxes"] = np.zeros((2, 3, 4))
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "folder.h5").mkdir()
    for name in ("other.h5", "text.h5", "folder.h5"):
        with pytest.raises(UserError, match=f"{name}: damaged part cache"):
            read_parts(tmp_path / name)
    with pytest.raises(UserError, match=r"absent\.h5: no part cache there; make it with"):
        read_parts(tmp_path / "absent.h5")
    monkeypatch.setattr(data_cache.parts.cache, "SCHEMA", 2)
    write_parts(tmp_path / "newer.h5", make_parts())
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"newer\.h5: part cache of schema 2, this version reads 1"):
        read_parts(tmp_path / "newer.h5")


def test_a_sealed_file_without_an_array_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=data_cache.parts.cache.SEAL_SIZE) as file:
        file.attrs["schema"] = 1
    content = buffer.getvalue()[data_cache.parts.cache.SEAL_SIZE :]
    (tmp_path / "parts.h5").write_bytes(data_cache.parts.cache._seal(content) + content)
    with pytest.raises(UserError, match="damaged part cache"):
        read_parts(tmp_path / "parts.h5")


# In make_parts(6, 3): row 0 failed, row 1 has one part, row 2 two, row 3 three, row 4 none, row 5 one.
@pytest.mark.parametrize(
    ("change", "row", "reason"),
    [
        ({"boxes": ((2, 1, 0), np.nan)}, 2, "a box is not finite"),
        ({"boxes": ((2, 1, 3), np.inf)}, 2, "a box is not finite"),
        ({"boxes": ((3, 0, 0), -0.5)}, 3, "outside its image"),
        ({"boxes": ((3, 2, 2), 100.01)}, 3, "outside its image"),
        ({"boxes": ((3, 2, 3), 90.01)}, 3, "outside its image"),
        ({"boxes": ((3, 2, 2), 0)}, 3, "without area"),
        ({"boxes": ((1, 0), (5, 5, 5, 9))}, 1, "without area"),
        ({"image_size": (3, (30, 30))}, 3, "outside its image"),
        ({"scores": ((3, 2), np.nan)}, 3, r"a score is not in \[0, 1\]"),
        ({"scores": ((3, 0), 1.01)}, 3, r"a score is not in \[0, 1\]"),
        ({"scores": ((1, 0), -0.01)}, 1, r"a score is not in \[0, 1\]"),
        ({"scores": (3, (0.2, 0.3, 0.1))}, 3, "the scores do not descend"),
        ({"labels": ((3, 1), 16)}, 3, "a label is unknown"),
        ({"labels": ((1, 1), -2)}, 1, "a label is unknown"),
        ({"labels": ((3, 1), -1), "boxes": ((3, 1), 0), "scores": ((3, slice(1, 3)), 0)}, 3, "stands before a box"),
        ({"boxes": ((1, 2, 0), 1)}, 1, "an empty place holds"),
        ({"boxes": ((1, 2, 0), np.nan)}, 1, "an empty place holds"),
        ({"scores": ((1, 1), 0.01)}, 1, "an empty place holds"),
        ({"status": (1, STATUS_EMPTY)}, 1, "the status and the boxes differ"),
        ({"status": (4, STATUS_FOUND)}, 4, "the status and the boxes differ"),
        ({"status": (0, STATUS_FOUND)}, 0, "the status and the boxes differ"),
        ({"status": (4, 3)}, 4, "the status is unknown"),
        ({"status": (4, STATUS_FAILED)}, 4, "the status and the failure differ"),
        ({"status": (0, STATUS_EMPTY)}, 0, "the status and the failure differ"),
    ],
)
def test_what_breaks_the_contract_is_refused_by_name(
    make_parts: MakeParts, change: dict[str, tuple[Any, Any]], row: int, reason: str
) -> None:
    with pytest.raises(UserError, match=rf"images/ü {row:04d}\.jpg: .*{reason}"):
        changed(make_parts(), **change)


def test_boxes_may_touch_the_border_and_scores_may_be_equal(make_parts: MakeParts) -> None:
    found = changed(make_parts(), boxes=((3, 0), (0, 0, 100, 90)), scores=(3, (0.5, 0.5, 0.5)))
    assert found.scores[3].tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("name", ["image_size", "boxes", "scores", "status", "names", "failure"])
def test_arrays_of_other_lengths_are_refused(make_parts: MakeParts, name: str) -> None:
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


def test_no_parts_has_a_row_for_each_name_and_no_box() -> None:
    parts = no_parts(["a", "b"])
    assert parts.names == ("a", "b")
    assert parts.boxes.shape == (2, 0, 4)
    assert parts.status.tolist() == [STATUS_EMPTY] * 2
    assert parts.rows(["b"]).tolist() == [1]


def test_pieces_join_to_the_whole(make_parts: MakeParts) -> None:
    whole = make_parts(11)
    for size in (1, 4, 11):
        pieces = [sliced(whole, slice(start, start + size)) for start in range(0, 11, size)]
        assert same(join_parts(pieces), whole)
        assert encode_parts(join_parts(pieces)) == encode_parts(whole)


def test_pieces_of_different_detectors_or_in_disorder_do_not_join(make_parts: MakeParts) -> None:
    whole, other = make_parts(10), make_parts(10, detector="other")
    first, second = slice(0, 5), slice(5, 10)
    with pytest.raises(UserError, match="different detectors"):
        join_parts([sliced(whole, first), sliced(other, second)])
    with pytest.raises(UserError, match="not sorted and unique"):
        join_parts([sliced(whole, second), sliced(whole, first)])


def test_a_fingerprint_that_differs_is_shown_with_the_remedy() -> None:
    path = Path("runs/parts.h5")
    made = {"detector": "ssd", "top_k": 16, "versions": {"torch": "2.14"}}
    require_fingerprint(made, dict(reversed(made.items())), path)
    with pytest.raises(UserError) as caught:
        require_fingerprint(made, made | {"top_k": 8}, path)
    assert str(caught.value) == (
        "runs/parts.h5: made with top_k = 16, this run needs 8; delete it, or write to another place with --output"
    )
    require_fingerprint(made, made | {"limit": None, "versions": {"torch": "2.14", "h5py": None}}, path)  # as missing
    for damaged in ([], "made", None, 3):
        with pytest.raises(UserError, match=r"parts\.h5: damaged, it does not tell what made it; do it again"):
            require_fingerprint(damaged, made, path, "do it again")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"seed = None, this run needs 3; do it again"):
        require_fingerprint(made, made | {"seed": 3}, path, "do it again")
    with pytest.raises(UserError, match=r"top_k = 16, this run needs None"):
        require_fingerprint(made, {key: value for key, value in made.items() if key != "top_k"}, path)
