"""Readers of VeRi-776, VehicleID and VRIC: small trees in the official layouts, with every form of their lists."""

from pathlib import Path

import pytest
from toy_lists import Form, in_every_form, lay, records

from data_cache.datasets import faults, load_dataset
from data_cache.errors import UserError
from data_cache.readers import list_lines, read_vehicleid, read_veri, read_vric


@in_every_form
def test_list_lines_by_hand(tmp_path: Path, form: Form) -> None:
    lay(tmp_path, {"list.txt": ["a.jpg 1 2", "ü.jpg\t3"]}, form)
    assert list_lines(tmp_path / "list.txt") == [["a.jpg", "1", "2"], ["ü.jpg", "3"]]


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfd")
    for name in ("bytes.txt", "absent.txt", "."):
        with pytest.raises(UserError, match="list file cannot be read"):
            list_lines(tmp_path / name)


VERI = {
    "name_train.txt": ["0001_c001_00016450_0.jpg", "0001_c002_00016460_0.jpg"],
    "name_query.txt": ["0002_c002_00030600_0.jpg"],
    "name_test.txt": ["0776_c007_00000600_0.jpg", "0002_c002_00030600_0.jpg", "0002_c014_00030630_1.jpg"],
}


@in_every_form
def test_veri(tmp_path: Path, form: Form) -> None:
    table, splits = read_veri(lay(tmp_path, VERI, form))
    assert records(table) == [
        ("image_train/0001_c001_00016450_0.jpg", "0001", 1, "train"),
        ("image_train/0001_c002_00016460_0.jpg", "0001", 2, "train"),
        ("image_query/0002_c002_00030600_0.jpg", "0002", 2, "query"),
        ("image_test/0776_c007_00000600_0.jpg", "0776", 7, "gallery"),
        ("image_test/0002_c002_00030600_0.jpg", "0002", 2, "gallery"),
        ("image_test/0002_c014_00030630_1.jpg", "0002", 14, "gallery"),
    ]
    protocol = splits["test"].protocol("test", 1, 0)
    assert protocol.same_camera_is_junk
    assert protocol.trials[0].query.tolist() == [2]
    assert protocol.trials[0].gallery.tolist() == [3, 4, 5]  # in the order of name_test.txt, as gt_index.txt counts


@pytest.mark.parametrize("name", ["0001.jpg", "0001_c001_00016450_0.png", "image_train/0001_c001_00016450_0.jpg"])
def test_a_name_that_is_not_veris_is_refused(tmp_path: Path, name: str) -> None:
    lay(tmp_path, VERI | {"name_test.txt": [*VERI["name_test.txt"], name]})
    with pytest.raises(UserError, match=r"name_test\.txt: .*is no VeRi file name"):
        read_veri(tmp_path)


VEHICLEID = {
    "train_test_split/train_list.txt": ["0212502 8096", "0212503 8096", "0000009 21"],
    "train_test_split/test_list_800.txt": ["0000001 20", "0000002 20", "0000003 30"],
    "train_test_split/test_list_1600.txt": ["0000001 20", "0000002 20", "0000003 30", "0000004 40"],
}


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


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("train_list", "0212502 8096"),  # twice in a list
        ("train_list", "0000003 99"),  # in training and in the test
        ("test_list_800", "0000004 41"),  # another vehicle than in the longer list
    ],
)
def test_an_image_of_vehicleid_that_is_listed_twice_is_found(tmp_path: Path, name: str, line: str) -> None:
    path = f"train_test_split/{name}.txt"
    lay(tmp_path / "vehicleid", VEHICLEID | {path: [*VEHICLEID[path], line]})
    with pytest.raises(UserError, match=f"listed twice, first image/{line.split()[0]}"):
        load_dataset("vehicleid", tmp_path)


def test_a_short_line_is_named_with_its_place(tmp_path: Path) -> None:
    lay(tmp_path, VEHICLEID | {"train_test_split/test_list_800.txt": ["0000001 20", "0000002"]})
    with pytest.raises(UserError, match=r"test_list_800\.txt, entry 2: 2 fields are needed, 1 found"):
        read_vehicleid(tmp_path)


def test_without_its_training_list_vehicleid_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train_list\.txt"):
        read_vehicleid(tmp_path)


VRIC = {
    "vric_train.txt": ["0000001.jpg 1 2", "0000002.jpg 1 3"],
    "vric_probe.txt": ["0000003.jpg 1 60", "0000004.jpg 2 5"],
    "vric_gallery.txt": ["0000005.jpg 1 7", "0000006.jpg 2 6"],
}


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
