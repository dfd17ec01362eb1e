"""The check of a data set: subsets beside their known sizes, and errors with remedies."""

import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from data_cache.check.check import DatasetCheck, Subset, check_dataset, check_table
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.sizes import PAPER, RELEASED, Size
from helpers.parts import MakePictures
from helpers.toy.lists import BENCHMARKS, VERI, make_unique, write_lists


def write_dataset(
    root: Path, name: str, make_pictures: MakePictures, changed: dict[str, Sequence[str]] | None = None
) -> Dataset:
    """Return a small data set in its official layout, with all pictures."""
    folder, lists = BENCHMARKS[name]
    write_lists(root / folder, lists | (changed or {}))
    dataset = load_dataset(name, root)
    make_pictures(dataset.root, dataset.names())
    make_unique(dataset.root, dataset.names())
    return dataset


def sizes_of(check: DatasetCheck) -> dict[str, tuple[int | None, int | None, int | None]]:
    return {part.name: (part.found.images, part.found.vehicles, part.found.cameras) for part in check.subsets}


SIZES = {
    "veri": {
        "train": (2, 1, 2), "track query": (2, 2, 2), "track gallery": (5, 2, 3),
        "test query": (2, 2, 2), "test gallery": (6, 2, 4), "all": (10, 3, 5),
    },
    "vehicleid": {
        "train": (3, 2, 0), "small": (3, 2, 0), "small query": (1, 1, 0), "small gallery": (2, 2, 0),
        "medium": (4, 3, 0), "medium query": (1, 1, 0), "medium gallery": (3, 3, 0), "all": (7, 5, 0),
    },
    "vric": {
        "train": (2, 1, 2), "test": (4, 2, 4), "test query": (2, 2, 2), "test gallery": (2, 2, 2), "all": (6, 3, 6),
    },
    "veriwild": {
        "train": (2, 1, 2), "small": (3, 1, 2), "small query": (1, 1, 1), "small gallery": (2, 1, 1),
        "medium": (5, 2, 4), "medium query": (2, 2, 2), "medium gallery": (3, 2, 3), "all": (7, 3, 6),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", BENCHMARKS)
def test_subsets_of_each_benchmark_are_counted(tmp_path: Path, make_pictures: MakePictures, name: str) -> None:
    check = check_dataset(write_dataset(tmp_path, name, make_pictures))
    assert sizes_of(check) == SIZES[name]
    assert all(part.released == RELEASED[name].get(part.name) for part in check.subsets)
    assert all(part.paper == PAPER[name].get(part.name) for part in check.subsets)
    assert check.errors == ()
    known = {part.name for part in check.subsets if part.released or part.paper}
    assert {line.split(": ")[0] for line in check.warnings} == known  # all differ


@pytest.mark.parametrize("name", BENCHMARKS)
def test_known_sizes_give_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder, lists = BENCHMARKS[name]
    write_lists(tmp_path / folder, lists)
    sizes = {part: Size(*counts) for part, counts in SIZES[name].items()}
    monkeypatch.setitem(RELEASED, name, sizes)
    monkeypatch.setitem(PAPER, name, {part: Size(size.images) for part, size in sizes.items()})
    check = check_dataset(load_dataset(name, tmp_path))
    assert {part.name for part in check.subsets} >= set(sizes)
    assert check.warnings == ()


def test_warning_has_each_count_that_differs() -> None:
    found = Size(41_861, 3_000, 3)
    assert Subset("small", found, Size(41_861, 3_000), Size(41_816, 3_000)).warning() == (
        "small: 41,861 images (paper 41,816)"
    )
    assert Subset("train", found, Size(5, 6, 7), Size(None, 8)).warning() == (
        "train: 41,861 images (released lists 5), 3,000 vehicles (released lists 6, paper 8), "
        "3 cameras (released lists 7)"
    )
    assert Subset("all", found, None, None).warning() is None
    assert Subset("all", found, found, Size()).warning() is None


def test_missing_empty_and_broken_images_are_errors(tmp_path: Path, make_pictures: MakePictures) -> None:
    dataset = write_dataset(tmp_path, "vric", make_pictures)
    for name in ("train_images/0000001.jpg", "train_images/0000002.jpg", "probe_images/0000003.jpg"):
        (dataset.root / name).unlink()
    (dataset.root / "gallery_images/0000005.jpg").write_bytes(b"")
    broken = dataset.root / "gallery_images/0000006.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    missing = (
        "3 of 6 images are missing (1 of 3 folders have no image), first probe_images/0000003.jpg, "
        f"train_images/0000001.jpg, train_images/0000002.jpg; put them below {dataset.root}"
    )
    empty = "1 images are empty files, first gallery_images/0000005.jpg"
    assert check_dataset(dataset).errors == (missing, empty)
    *others, unreadable = check_dataset(dataset, strict=True).errors
    assert others == [missing, empty]
    assert unreadable.startswith(f"1 images cannot be read, first {broken}: damaged image")


def test_incomplete_veriwild_download_has_its_own_remedy(tmp_path: Path, make_pictures: MakePictures) -> None:
    dataset = write_dataset(tmp_path, "veriwild", make_pictures)
    shutil.rmtree(dataset.root / "images/00001")
    (error,) = check_dataset(dataset).errors
    assert error.startswith("2 of 7 images are missing (1 of 3 folders have no image), first images/00001/000001")
    assert "39,385 of the 40,671 folders are unpacked: download all parts and unpack them again" in error


def test_answer_files_of_veri_are_compared(tmp_path: Path, make_pictures: MakePictures) -> None:
    check = check_dataset(write_dataset(tmp_path, "veri", make_pictures))
    assert "gt_index.txt, jk_index.txt: 2 of 2 queries agree" in check.notes
    assert "track gallery: 3 tracks" in check.notes
    check = check_dataset(write_dataset(tmp_path, "veri", make_pictures, {"gt_index.txt": ["3", "4"]}))
    assert "gt_index.txt, jk_index.txt: 1 of 2 queries agree" in check.notes
    assert check.errors == (
        "1 of 2 queries have other answers in gt_index.txt, jk_index.txt, first image_query/0776_c007_00000600_0.jpg",
    )


def test_identical_files_are_an_error_or_in_released_lists_a_note(tmp_path: Path, make_pictures: MakePictures) -> None:
    dataset = write_dataset(tmp_path, "vric", make_pictures)
    shutil.copy(dataset.root / "train_images/0000002.jpg", dataset.root / "gallery_images/0000005.jpg")
    line = "1 training files are identical to a test file, first train_images/0000002.jpg = gallery_images/0000005.jpg"
    for released, strict in ((True, True), (False, True), (True, False)):
        check = check_dataset(dataclasses.replace(dataset, released=released), strict=strict)
        assert (line in check.notes, line in check.errors) == (strict and released, strict and not released)


def test_list_errors_are_included(tmp_path: Path, make_pictures: MakePictures) -> None:
    train = VERI["name_train.txt"]
    changed = {"name_train.txt": [*train, train[0], "0002_c001_00000000_0.jpg"]}
    check = check_dataset(write_dataset(tmp_path, "veri", make_pictures, changed))
    assert check.dataset.repeated == (f"name_train.txt, entry 3: {train[0]}",)
    assert check.lists.shared_vehicles == ("0002",)
    assert check.errors == (
        f"1 images are listed again, first in name_train.txt, entry 3: {train[0]}; remove the line",
        "1 vehicles are in both train and test, first 0002",
    )


def test_summary_has_json_values(tmp_path: Path, make_pictures: MakePictures) -> None:
    dataset = write_dataset(
        tmp_path, "veri", make_pictures, {"name_query.txt": [*VERI["name_query.txt"], "0009_c001_00000000_0.jpg"]}
    )
    (dataset.root / "image_train" / VERI["name_train.txt"][0]).unlink()
    check = check_dataset(dataset, strict=True)
    summary = json.loads(json.dumps(check.to_dict()))
    assert (summary["dataset"], summary["root"], summary["strict"]) == ("veri", str(dataset.root), True)
    assert summary["parts"][0] == {
        "name": "train",
        "found": {"images": 2, "vehicles": 1, "cameras": 2},
        "released": {"images": 37_778, "vehicles": 576, "cameras": 20},
        "paper": {"images": 37_778, "vehicles": 576, "cameras": None},
        "tracks": None,
    }
    assert [part["tracks"] for part in summary["parts"]] == [None, None, 3, None, None, None]
    unmatched = {"count": 1, "first": ["image_query/0009_c001_00000000_0.jpg"]}
    assert summary["queries_without_match"]["test"] == unmatched
    assert summary["missing"] == {
        "count": 1, "first": ["image_train/" + VERI["name_train.txt"][0]], "folders": 3, "folders_without_image": 0
    }  # fmt: skip
    assert summary["same_bytes_in_train_and_test"]["count"] == 0
    assert summary["ground_truth"]["files"] == ["gt_index.txt", "jk_index.txt"]
    assert summary["ground_truth"]["errors"] == [
        "gt_index.txt has 2 lines, not 3",
        "jk_index.txt has 2 lines, not 3",
        "1 of 3 queries have other answers in gt_index.txt, jk_index.txt, first image_query/0009_c001_00000000_0.jpg",
    ]
    assert (summary["warnings"], summary["notes"], summary["errors"]) == tuple(
        list(lines) for lines in (check.warnings, check.notes, check.errors)
    )
    assert check_dataset(dataset).to_dict()["same_bytes_in_train_and_test"] is None  # not checked


def shown(check: DatasetCheck, width: int = 100) -> list[list[str]]:
    """Return the cells of each row of the printed table."""
    console = Console(file=io.StringIO(), width=width)
    console.print(check_table(check))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_table_shows_known_counts_or_same(
    tmp_path: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RELEASED["veriwild"], "small", Size(3, 1))
    monkeypatch.setitem(PAPER["veriwild"], "small", Size(4, 1))
    check = check_dataset(write_dataset(tmp_path, "veriwild", make_pictures))
    rows = {row[0]: row[1:] for row in shown(check)}
    assert rows["small"] == ["3", "1", "2", "same", "4 / 1"]
    assert rows["small query"] == ["1", "1", "1", "3,000 / 3,000", ""]
    assert rows["all"] == ["7", "3", "6", "416,314 / 40,671 / 174", "416,314 / 40,671 / 174"]
    assert list(rows) == list(SIZES["veriwild"])


def test_table_of_an_own_data_set_has_no_known_counts_and_no_markup(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["a"], "vehicle_id": ["1"], "camera_id": [1], "split": ["train"]})
    check = check_dataset(Dataset("toy", tmp_path / "[bold]", table, {}))
    assert shown(check) == [["train", "1", "1", "1"], ["all", "1", "1", "1"]]
    assert "[bold]" in str(check_table(check).title).replace("\\", "")
