"""The reader of VRIC."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.problems import list_problems
from data_cache.datasets.vric import read_vric
from helpers.toy.lists import VRIC, Form, in_every_form, write_lists


@in_every_form
def test_table_and_split(tmp_path: Path, form: Form) -> None:
    write_lists(tmp_path / "VRIC", VRIC, form)
    dataset = load_dataset("vric", tmp_path)
    assert dataset.table["name"].tolist() == [
        "train_images/0000001.jpg", "train_images/0000002.jpg", "probe_images/0000003.jpg", "probe_images/0000004.jpg",
        "gallery_images/0000005.jpg", "gallery_images/0000006.jpg",
    ]  # fmt: skip
    assert dataset.table["camera_id"].tolist() == [2, 3, 60, 5, 7, 6]
    vehicles = dataset.table["vehicle_id"].tolist()
    assert vehicles[2:4] == vehicles[4:6]
    assert not set(vehicles[:2]) & set(vehicles[2:])  # vehicle 1 of training is not vehicle 1 of the test
    assert list_problems(dataset).errors == ()
    assert not dataset.protocol("test").same_camera_is_junk


def test_invalid_camera_is_reported_with_its_entry(tmp_path: Path) -> None:
    write_lists(tmp_path, VRIC | {"vric_probe.txt": ["0000003.jpg 1 60", "0000004.jpg 2 two"]})
    with pytest.raises(UserError, match=r"vric_probe\.txt, entry 2: 'two' is not a camera number"):
        read_vric(tmp_path)


@pytest.mark.parametrize("path", VRIC)
def test_names_are_validated_and_kept_once(tmp_path: Path, path: str) -> None:
    write_lists(tmp_path, VRIC | {path: [*VRIC[path], "../0000009.jpg 1 1"]})
    with pytest.raises(UserError, match=rf"{path}, entry 3: '\.\./0000009\.jpg' is not a relative path below"):
        read_vric(tmp_path)
    write_lists(tmp_path, VRIC | {path: [*VRIC[path], VRIC[path][0]]})
    parsed = read_vric(tmp_path)
    assert parsed.repeated == (f"{path}, entry 3: {VRIC[path][0].split()[0]}",)
    assert len(parsed.table) == 6
