"""Readers of VehicleID and VRIC: small trees in the official layouts, with every form of their lists."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.findings import faults
from data_cache.datasets.vehicleid import read_vehicleid
from data_cache.datasets.vric import read_vric
from helpers.toy.lists import VEHICLEID, VRIC, Form, in_every_form, lay, records


@in_every_form
def test_vehicleid(tmp_path: Path, form: Form) -> None:
    lay(tmp_path / "VehicleID_V1.0", VEHICLEID, form)
    dataset = load_dataset("vehicleid", tmp_path)
    assert records(dataset.table) == [
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
    assert faults(dataset) == []
    for split, others in (("small", {"image/0000003.jpg"}), ("medium", {"image/0000003.jpg", "image/0000004.jpg"})):
        seen = set()
        for trial in dataset.protocol(split).trials:
            query, gallery = (set(dataset.table["name"].iloc[rows]) for rows in (trial.query, trial.gallery))
            assert gallery - query == gallery >= others
            assert query | gallery == {"image/0000001.jpg", "image/0000002.jpg"} | others
            seen |= gallery - others
        assert seen == {"image/0000001.jpg", "image/0000002.jpg"}  # either is drawn at some time


@in_every_form
def test_the_attributes_of_vehicleid_become_columns(tmp_path: Path, form: Form) -> None:
    attributes = {"attribute/model_attr.txt": ["8096 249", "20 0", "99 3"], "attribute/color_attr.txt": ["30 6"]}
    table = read_vehicleid(lay(tmp_path, VEHICLEID | attributes, form)).table
    assert table["model"].tolist() == ["249", "249", "", "0", "0", "", ""]
    assert table["colour"].tolist() == ["", "", "", "", "", "6", ""]


def test_a_broken_attribute_of_vehicleid_is_named(tmp_path: Path) -> None:
    lay(tmp_path, VEHICLEID | {"attribute/color_attr.txt": ["30 6", "31"]})
    with pytest.raises(UserError, match=r"color_attr\.txt, entry 2: 2 fields are needed, 1 found"):
        read_vehicleid(tmp_path)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("train_list", "0000003 99"),  # in training and in the test
        ("test_list_800", "0000004 41"),  # another vehicle than in the longer list
    ],
)
def test_an_image_of_vehicleid_that_two_lists_contradict_is_refused(tmp_path: Path, name: str, line: str) -> None:
    path = f"train_test_split/{name}.txt"
    lay(tmp_path / "vehicleid", VEHICLEID | {path: [*VEHICLEID[path], line]})
    with pytest.raises(UserError, match=f"listed twice, first image/{line.split()[0]}"):
        load_dataset("vehicleid", tmp_path)


@pytest.mark.parametrize("name", ["train_list", "test_list_800", "test_list_1600"])
@pytest.mark.parametrize("vehicle", ["", "7"])  # the same again, or of another vehicle
def test_an_image_that_a_list_of_vehicleid_repeats_counts_once_and_is_a_fault(
    tmp_path: Path, name: str, vehicle: str
) -> None:
    path = f"train_test_split/{name}.txt"
    first = VEHICLEID[path][0]
    line = f"{first.split()[0]} {vehicle}" if vehicle else first
    lay(tmp_path / "vehicleid", VEHICLEID | {path: [*VEHICLEID[path], line]})
    dataset = load_dataset("vehicleid", tmp_path)
    place = f"{name}.txt, entry {len(VEHICLEID[path]) + 1}: {first.split()[0]}"
    assert dataset.repeated == (place,)
    assert faults(dataset) == [f"1 images are listed again, first in {place}; remove the line"]
    assert records(dataset.table) == records(read_vehicleid(lay(tmp_path / "b", VEHICLEID)).table)


def test_a_short_line_is_named_with_its_place(tmp_path: Path) -> None:
    lay(tmp_path, VEHICLEID | {"train_test_split/test_list_800.txt": ["0000001 20", "0000002"]})
    with pytest.raises(UserError, match=r"test_list_800\.txt, entry 2: 2 fields are needed, 1 found"):
        read_vehicleid(tmp_path)


def test_without_its_training_list_vehicleid_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_list\.txt"):
        read_vehicleid(tmp_path)


@pytest.mark.parametrize("path", VEHICLEID)
@pytest.mark.parametrize("name", ["/etc/passwd", "../../0000001", "a\\b", "a\0b"])
def test_a_name_of_vehicleid_that_leads_out_is_refused(tmp_path: Path, path: str, name: str) -> None:
    """Before a folder is put in front, which would make an absolute name a relative one."""
    lay(tmp_path, VEHICLEID | {path: [*VEHICLEID[path], f"{name} 20"]})
    with pytest.raises(
        UserError, match=rf"{Path(path).name}, entry {len(VEHICLEID[path]) + 1}: .* relative path below"
    ):
        read_vehicleid(tmp_path)


@in_every_form
def test_vric(tmp_path: Path, form: Form) -> None:
    lay(tmp_path / "VRIC", VRIC, form)
    dataset = load_dataset("vric", tmp_path)
    assert [record[0] for record in records(dataset.table)] == [
        "train_images/0000001.jpg", "train_images/0000002.jpg", "probe_images/0000003.jpg", "probe_images/0000004.jpg",
        "gallery_images/0000005.jpg", "gallery_images/0000006.jpg",
    ]  # fmt: skip
    assert dataset.table["camera_id"].tolist() == [2, 3, 60, 5, 7, 6]
    vehicles = dataset.table["vehicle_id"].tolist()
    assert vehicles[2:4] == vehicles[4:6]
    assert not set(vehicles[:2]) & set(vehicles[2:])  # vehicle 1 of training is not vehicle 1 of the test
    assert faults(dataset) == []
    assert not dataset.protocol("test").same_camera_is_junk


@pytest.mark.parametrize("camera", ["two", "-1", "1.5"])
def test_a_camera_that_is_no_number_is_named(tmp_path: Path, camera: str) -> None:
    lay(tmp_path, VRIC | {"vric_probe.txt": ["0000003.jpg 1 60", f"0000004.jpg 2 {camera}"]})
    with pytest.raises(UserError, match=rf"vric_probe\.txt, entry 2: '{camera}' is no camera number"):
        read_vric(tmp_path)


@pytest.mark.parametrize("path", VRIC)
def test_names_of_vric_are_looked_at(tmp_path: Path, path: str) -> None:
    lay(tmp_path, VRIC | {path: [*VRIC[path], "../0000009.jpg 1 1"]})
    with pytest.raises(UserError, match=rf"{path}, entry 3: '\.\./0000009\.jpg' is not a relative path below"):
        read_vric(tmp_path)
    lay(tmp_path, VRIC | {path: [*VRIC[path], VRIC[path][0]]})
    found = read_vric(tmp_path)
    assert found.repeated == (f"{path}, entry 3: {VRIC[path][0].split()[0]}",)
    assert len(found.table) == 6
