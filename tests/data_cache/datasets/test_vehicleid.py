"""The reader of VehicleID."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.problems import list_problems
from data_cache.datasets.vehicleid import read_vehicleid
from helpers.toy.lists import VEHICLEID, Form, in_every_form, table_rows, write_lists


@in_every_form
def test_table_and_splits(tmp_path: Path, form: Form) -> None:
    write_lists(tmp_path / "VehicleID_V1.0", VEHICLEID, form)
    dataset = load_dataset("vehicleid", tmp_path)
    assert table_rows(dataset.table) == [
        ("image/0212502.jpg", "8096", -1, "train"),
        ("image/0212503.jpg", "8096", -1, "train"),
        ("image/0000009.jpg", "21", -1, "train"),
        ("image/0000001.jpg", "20", -1, "test"),
        ("image/0000002.jpg", "20", -1, "test"),
        ("image/0000003.jpg", "30", -1, "test"),
        ("image/0000004.jpg", "40", -1, "test"),
    ]
    assert list(dataset.table.columns) == ["name", "vehicle_id", "camera_id", "split"]
    assert list(dataset.splits) == ["small", "medium"]
    assert list_problems(dataset).errors == ()
    for split, others in (("small", {"image/0000003.jpg"}), ("medium", {"image/0000003.jpg", "image/0000004.jpg"})):
        drawn = set()
        for trial in dataset.protocol(split).trials:
            query, gallery = (set(dataset.table["name"].iloc[rows]) for rows in (trial.query, trial.gallery))
            assert gallery - query == gallery >= others
            assert query | gallery == {"image/0000001.jpg", "image/0000002.jpg"} | others
            drawn |= gallery - others
        assert drawn == {"image/0000001.jpg", "image/0000002.jpg"}  # each in some draw


@in_every_form
def test_attributes_become_columns(tmp_path: Path, form: Form) -> None:
    attributes = {"attribute/model_attr.txt": ["8096 249", "20 0", "99 3"], "attribute/color_attr.txt": ["30 6"]}
    table = read_vehicleid(write_lists(tmp_path, VEHICLEID | attributes, form)).table
    assert table["model"].tolist() == ["249", "249", "", "0", "0", "", ""]
    assert table["colour"].tolist() == ["", "", "", "", "", "6", ""]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("train_list", "0000003 99"),  # in training and test
        ("test_list_800", "0000004 41"),  # with another vehicle than in the longer list
    ],
)
def test_contradictory_lists_are_refused(tmp_path: Path, name: str, line: str) -> None:
    path = f"train_test_split/{name}.txt"
    write_lists(tmp_path / "vehicleid", VEHICLEID | {path: [*VEHICLEID[path], line]})
    with pytest.raises(UserError, match=f"listed twice, first image/{line.split()[0]}"):
        load_dataset("vehicleid", tmp_path)


@pytest.mark.parametrize("name", ["train_list", "test_list_800", "test_list_1600"])
@pytest.mark.parametrize("vehicle", ["", "7"])  # the same line again, or with another vehicle
def test_repeated_image_is_kept_once_and_an_error(tmp_path: Path, name: str, vehicle: str) -> None:
    path = f"train_test_split/{name}.txt"
    first = VEHICLEID[path][0]
    line = f"{first.split()[0]} {vehicle}" if vehicle else first
    write_lists(tmp_path / "vehicleid", VEHICLEID | {path: [*VEHICLEID[path], line]})
    dataset = load_dataset("vehicleid", tmp_path)
    entry = f"{name}.txt, entry {len(VEHICLEID[path]) + 1}: {first.split()[0]}"
    assert dataset.repeated == (entry,)
    assert list_problems(dataset).errors == (f"1 images are listed again, first in {entry}; remove the line",)
    assert table_rows(dataset.table) == table_rows(read_vehicleid(write_lists(tmp_path / "b", VEHICLEID)).table)


@pytest.mark.parametrize(
    ("name", "lines"),
    [("attribute/color_attr.txt", ["30 6", "31"]), ("train_test_split/test_list_800.txt", ["0000001 20", "0000002"])],
)
def test_short_line_is_reported_with_its_entry(tmp_path: Path, name: str, lines: list[str]) -> None:
    write_lists(tmp_path, VEHICLEID | {name: lines})
    with pytest.raises(UserError, match=rf"{Path(name).name}, entry 2: 2 fields are needed, 1 found"):
        read_vehicleid(tmp_path)


@pytest.mark.parametrize("path", VEHICLEID)
def test_name_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    """The check precedes the prefix `image/`, which would make an absolute name relative."""
    write_lists(tmp_path, VEHICLEID | {path: [*VEHICLEID[path], "/etc/passwd 20"]})
    entry = f"{Path(path).name}, entry {len(VEHICLEID[path]) + 1}"
    with pytest.raises(UserError, match=rf"{entry}: .* relative path below"):
        read_vehicleid(tmp_path)
