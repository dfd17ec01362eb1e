"""Data sets: found in any of their folders, refused in one clear line, and every fault of a table found."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import dataset_label, load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.findings import faults, findings
from data_cache.datasets.protocols import fixed_split
from data_cache.images.loading import ImageError

COLUMNS = ["name", "vehicle_id", "camera_id", "split"]
Row = tuple[str, str, int, str]
SOUND: list[Row] = [
    ("a.jpg", "1", 1, "train"),
    ("b.jpg", "1", 2, "train"),
    ("c.jpg", "2", 1, "query"),
    ("d.jpg", "2", 2, "gallery"),
    ("e.jpg", "2", 1, "gallery"),
    ("f.jpg", "3", 1, "gallery"),
]


def dataset(rows: list[Row], *, same_camera_is_junk: bool = True) -> Dataset:
    """Return a data set with one test, `test`."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Dataset("toy", Path("root"), table, {"test": fixed_split(table, same_camera_is_junk=same_camera_is_junk)})


def write_csv(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines))
    return path


def test_names_are_sorted_and_lie_below_the_root() -> None:
    found = dataset(list(reversed(SOUND)))
    assert found.names() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    assert found.path("a.jpg") == Path("root/a.jpg")
    for name in ("../a.jpg", "/a.jpg"):
        with pytest.raises(ImageError):
            found.path(name)


def test_an_image_listed_twice_is_refused() -> None:
    with pytest.raises(UserError, match=r"root: 2 images are listed twice, first a\.jpg"):
        dataset([*SOUND, *SOUND[:2]])


def test_entries_that_a_list_repeats_are_a_fault() -> None:
    found = dataclasses.replace(dataset(SOUND), repeated=("t.txt, entry 2: a", "t.txt, entry 3: b"))
    assert faults(found) == ["2 images are listed again, first in t.txt, entry 2: a; remove the line"]


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(UserError, match="unknown split 'Query'; a split is one of train, query, gallery, test"):
        dataset([*SOUND, ("g.jpg", "3", 1, "Query")])


def test_a_protocol_is_found_by_its_name() -> None:
    found = dataset(SOUND)
    assert found.default_split() == "test"
    assert found.protocol("test").trials[0].query.tolist() == [2]
    with pytest.raises(UserError, match="unknown split of toy tset; did you mean test"):
        found.protocol("tset")
    with pytest.raises(UserError, match="nothing to evaluate"):
        Dataset("toy", Path("root"), found.table, {}).default_split()


def test_a_sound_set_has_no_faults() -> None:
    found = findings(dataset(SOUND))
    assert (found.shared, found.unmatched, found.faults, found.remarks) == ((), {}, (), ())
    assert faults(dataset(SOUND)) == []


def test_vehicles_in_training_and_test_are_found() -> None:
    for split in ("query", "gallery", "test"):
        rows = [*SOUND, ("g.jpg", "1", 7, split), ("h.jpg", "1", 8, "gallery")]
        assert faults(dataset(rows)) == ["1 vehicles are in both train and test, first 1"]
        assert findings(dataset(rows)).shared == ("1",)


def test_a_picture_listed_for_its_parts_alone_may_be_of_a_trained_vehicle() -> None:
    assert faults(dataset([*SOUND, ("g.jpg", "1", 7, "test")])) == []


@pytest.mark.parametrize("part", ["query", "gallery"])
def test_an_empty_part_is_found(part: str) -> None:
    found = faults(dataset([row for row in SOUND if row[3] != part]))
    assert f"test: no {part} images" in found


def test_a_test_without_any_match_is_a_fault() -> None:
    rows = [row for row in SOUND if row[0] != "d.jpg"]  # leaves the query's vehicle by its own camera only
    assert faults(dataset(rows)) == ["test: 1 of 1 queries have no match, first c.jpg"]
    assert faults(dataset(rows, same_camera_is_junk=False)) == []


def test_single_queries_without_a_match_are_faults_of_a_users_set_and_remarks_of_a_released_one() -> None:
    rows = [*SOUND, ("g.jpg", "3", 1, "query"), ("h.jpg", "4", 1, "query"), ("i.jpg", "3", 2, "query")]  # i has f
    own, released = dataset(rows), dataclasses.replace(dataset(rows), released=True)
    line = "test: 2 of 4 queries have no match, first g.jpg"
    assert (findings(own).faults, findings(own).remarks) == ((line,), ())
    remark = "test: 2 queries have no match and do not count, first g.jpg"
    assert (findings(released).faults, findings(released).remarks) == ((), (remark,))
    assert findings(own).unmatched == findings(released).unmatched == {"test": ("g.jpg", "h.jpg")}
    assert faults(dataset(rows, same_camera_is_junk=False)) == ["test: 1 of 4 queries have no match, first h.jpg"]


FOLDERS = {
    "veri": ("VeRi",),
    "vehicleid": ("VehicleID_V1.0", "PKU-VehicleID", "VehicleID"),
    "vric": ("VRIC",),
    "veriwild": ("VERI-Wild", "VERIWild"),
    "synthetic": ("synthetic",),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_missing_set_is_one_line_with_places_and_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        load_dataset(name, tmp_path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(str(tmp_path / folder) in message for folder in FOLDERS[name]) and "(in any case)" in message
    if name == "synthetic":
        assert "python cli.py synth" in message
    else:
        assert "https://" in message and "DATASET=synthetic needs no data" in message


@pytest.mark.parametrize("change", [str, str.lower, str.upper, str.title, str.swapcase])
@pytest.mark.parametrize(("name", "folder"), [(name, folder) for name, all_ in FOLDERS.items() for folder in all_])
def test_a_folder_of_a_set_is_looked_into_in_any_case(
    tmp_path: Path, name: str, folder: str, change: Callable[[str], str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / change(folder)).mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path / change(folder)}[/:]"):
        load_dataset(name, tmp_path)


def test_of_several_folders_the_first_name_counts_and_of_one_name_the_case_as_given(tmp_path: Path) -> None:
    for folder in ("veriwild", "VERIWild", "veri-wild", "VERI-WILD", "VERI-Wild"):  # each goes before those so far
        (tmp_path / folder).mkdir()
        with pytest.raises(UserError, match=rf"{tmp_path / folder}/train_test_split"):
            load_dataset("veriwild", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "VERI").write_text("")  # no folder
    with pytest.raises(UserError, match="data set veri is not there"):
        load_dataset("veri", tmp_path / "a")


def test_an_unknown_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown data set verri; did you mean veri\?"):
        load_dataset("verri", Path("data"))
    with pytest.raises(UserError, match="unknown data set VeRi776"):
        load_dataset("VeRi776", Path("data"))


def test_a_csv_is_a_data_set(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "elsewhere" / "mine.csv", SOUND)
    found = load_dataset(str(csv), tmp_path)
    assert (found.name, found.root, dataset_label(str(csv))) == ("mine", tmp_path, "mine")
    assert list(found.table[COLUMNS].itertuples(index=False, name=None)) == SOUND
    assert faults(found) == []
    assert found.protocol("test").same_camera_is_junk


def test_folder_means_images_csv_below_the_root(tmp_path: Path) -> None:
    write_csv(tmp_path / "images.csv", SOUND)
    found = load_dataset("folder", tmp_path)
    assert (found.name, found.root, len(found.table)) == ("folder", tmp_path, len(SOUND))


def test_a_csv_without_cameras_has_no_junk(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("name,vehicle_id,camera_id,split\nq.jpg,1,,query\ng.jpg,1,,gallery\n")
    found = load_dataset("folder", tmp_path)
    assert found.table["camera_id"].tolist() == [-1, -1]
    assert not found.protocol("test").same_camera_is_junk
    assert faults(found) == []


def test_a_csv_for_training_only_has_no_test(tmp_path: Path) -> None:
    found = load_dataset(str(write_csv(tmp_path / "t.csv", SOUND[:2])), tmp_path)
    assert not found.splits
    assert faults(found) == []


def synthetic(root: Path, vehicles: int) -> None:
    """Write the files of a rendered set: vehicles v00 to v(n-1), a query and two gallery images each."""
    rows: list[Row] = [("images/t.jpg", "t", 1, "train")]
    for number in range(vehicles):
        for camera, split in ((1, "query"), (2, "gallery"), (3, "gallery")):
            rows.append((f"images/{number}-{camera}.jpg", f"v{number:02d}", camera, split))
    write_csv(root / "synthetic" / "images.csv", rows)
    (root / "synthetic" / "synthetic.json").write_text(json.dumps({}))


@pytest.mark.parametrize(("vehicles", "sizes"), [(9, (3, 6, 9)), (10, (3, 6, 10)), (2, (1, 1, 2)), (1, (1, 1, 1))])
def test_sizes_of_the_synthetic_test_are_nested(tmp_path: Path, vehicles: int, sizes: tuple[int, ...]) -> None:
    synthetic(tmp_path, vehicles)
    found = load_dataset("synthetic", tmp_path)
    assert list(found.splits) == ["small", "medium", "large"]
    assert faults(found) == []
    chosen = []
    for split, size in zip(found.splits, sizes, strict=True):
        trial = found.protocol(split).trials[0]
        assert (len(trial.query), len(trial.gallery)) == (size, 2 * size)
        chosen.append(set(found.table["vehicle_id"].iloc[trial.query]))
        assert chosen[-1] == set(found.table["vehicle_id"].iloc[trial.gallery])
    assert chosen[0] <= chosen[1] <= chosen[2]


def test_a_synthetic_set_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    synthetic(tmp_path, 3)
    (tmp_path / "synthetic" / "synthetic.json").unlink()
    with pytest.raises(UserError, match="no finished synthetic data set; make it with"):
        load_dataset("synthetic", tmp_path)
