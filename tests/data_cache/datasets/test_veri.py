"""The reader of VeRi-776: names, tracks, and labels in an encoding that Python's XML parser does not support."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.datasets.problems import list_problems
from data_cache.datasets.veri import read_veri
from helpers.toy.lists import VERI, VERI_TRACKS, Form, in_every_form, table_rows, write_lists


@in_every_form
def test_table_and_split(tmp_path: Path, form: Form) -> None:
    parsed = read_veri(write_lists(tmp_path, VERI, form))
    assert table_rows(parsed.table) == [
        ("image_train/0001_c001_00016450_0.jpg", "0001", 1, "train"),
        ("image_train/0001_c002_00016460_0.jpg", "0001", 2, "train"),
        ("image_query/0002_c002_00030600_0.jpg", "0002", 2, "query"),
        ("image_query/0776_c007_00000600_0.jpg", "0776", 7, "query"),
        ("image_test/0776_c007_00000600_0.jpg", "0776", 7, "gallery"),
        ("image_test/0002_c002_00030600_0.jpg", "0002", 2, "gallery"),
        ("image_test/0002_c014_00030630_1.jpg", "0002", 14, "gallery"),
        ("image_test/0776_c009_00000700_0.jpg", "0776", 9, "gallery"),
        ("image_test/0002_c002_00030605_0.jpg", "0002", 2, "gallery"),
        ("image_test/0776_c009_00000705_0.jpg", "0776", 9, "gallery"),
    ]
    assert list(parsed.table.columns) == ["name", "vehicle_id", "camera_id", "split"]
    assert list(parsed.splits) == ["test"]
    protocol = parsed.splits["test"].protocol("test", 1, 0)
    assert protocol.same_camera_is_junk
    assert protocol.trials[0].query.tolist() == [2, 3]
    assert protocol.trials[0].gallery.tolist() == [4, 5, 6, 7, 8, 9]  # in the order of name_test.txt


@pytest.mark.parametrize("name", ["0001.jpg", "0001_c001_00016450_0.png", "image_train/0001_c001_00016450_0.jpg"])
def test_other_file_names_are_refused(tmp_path: Path, name: str) -> None:
    write_lists(tmp_path, VERI | {"name_test.txt": [*VERI["name_test.txt"], name]})
    with pytest.raises(UserError, match=r"name_test\.txt, entry 7: .*is not a VeRi file name"):
        read_veri(tmp_path)


@pytest.mark.parametrize("path", VERI)
def test_names_are_validated_and_repeated_ones_reported(tmp_path: Path, path: str) -> None:
    count = len(VERI[path]) + 1
    write_lists(tmp_path / "VeRi", VERI | {path: [*VERI[path], "/0001_c001_00016450_0.jpg"]})
    with pytest.raises(UserError, match=rf"{path}, entry {count}: .* is not a relative path below"):
        load_dataset("veri", tmp_path)
    write_lists(tmp_path / "VeRi", VERI | {path: [*VERI[path], VERI[path][0]]})
    assert list_problems(load_dataset("veri", tmp_path)).errors == (
        f"1 images are listed again, first in {path}, entry {count}: {VERI[path][0]}; remove the line",
    )


def with_tracks(root: Path, lines: list[str], form: Form | None = None) -> Dataset:
    lists = VERI | {"test_track.txt": lines}
    write_lists(root / "VeRi", lists) if form is None else write_lists(root / "VeRi", lists, form)
    return load_dataset("veri", root)


def tracks_of(dataset: Dataset) -> list[list[str]]:
    """Return the images of each track of the split `track`."""
    trial = dataset.protocol("track").trials[0]
    assert trial.tracks is not None
    stops = [*trial.tracks.tolist()[1:], len(trial.gallery)]
    names = dataset.table["name"].iloc[trial.gallery].tolist()
    return [names[start:stop] for start, stop in zip(trial.tracks.tolist(), stops, strict=True)]


@in_every_form
def test_tracks_are_ranked_for_the_same_queries(tmp_path: Path, form: Form) -> None:
    dataset = with_tracks(tmp_path, VERI_TRACKS, form)
    assert tracks_of(dataset) == [[f"image_test/{name}" for name in line.split()] for line in VERI_TRACKS]
    assert (list(dataset.splits), dataset.default_split()) == (["track", "test"], "test")
    track, test = dataset.protocol("track"), dataset.protocol("test")
    assert track.same_camera_is_junk
    assert track.trials[0].query.tolist() == test.trials[0].query.tolist()
    assert test.trials[0].tracks is None
    assert list_problems(dataset).errors == ()


@pytest.mark.parametrize("track_name", [lambda line: f"{line[:9]}_t00030600", lambda line: line.split()[0]])
def test_line_may_start_with_the_name_of_its_track(tmp_path: Path, track_name: Callable[[str], str]) -> None:
    named = [f"{track_name(line)} {line}" for line in VERI_TRACKS]
    assert tracks_of(with_tracks(tmp_path / "a", named)) == tracks_of(with_tracks(tmp_path / "b", VERI_TRACKS))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0002_c002_t00030600", "the track has no image"),
        ("0002_c002_00030600_0.jpg 0776_c002_00000600_0.jpg", "vehicle 0002 by camera 002, vehicle 0776 by camera 002"),
        ("0002_c002_00030600_0.jpg 0002_c014_00030630_1.jpg", "vehicle 0002 by camera 002, vehicle 0002 by camera 014"),
        ("a b 0002_c002_00030600_0.jpg", "'b' is not a VeRi file name"),
        ("0002_c002_00030600_0.jpg ../0002_c002_00030605_0.jpg", "is not a VeRi file name"),
        ("0002_c002_00030600_0.jpg 0002_c002_00099999_0.jpg", r"0002_c002_00099999_0\.jpg is not in name_test\.txt"),
        ("0001_c001_00016450_0.jpg", r"0001_c001_00016450_0\.jpg is not in name_test\.txt"),  # a training image
    ],
)
def test_invalid_track_is_reported_with_its_entry(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"test_track\.txt, entry 2: .*{reason}"):
        with_tracks(tmp_path, [VERI_TRACKS[0], line])


def test_empty_track_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test_track\.txt: lists no track"):
        with_tracks(tmp_path, [])


HEAD = '<?xml version="1.0" encoding="gb2312"?>'


def item(name: str, colour: object, kind: object) -> str:
    return f'<Item imageName="{name}" vehicleID="0001" cameraID="c001" colorID="{colour}" typeID="{kind}"/>'


def labels(items: list[str], head: str = HEAD, note: str = "") -> str:
    return f'{head}<TrainingImages Version="1.0">{note}<Items number="9">{"".join(items)}</Items></TrainingImages>'


TRAIN, QUERY, GALLERY = (VERI[f"name_{part}.txt"] for part in ("train", "query", "test"))
TRAIN_LABEL = labels([item(TRAIN[0], 1, 4), item(TRAIN[1], 2, 0)], note="<!-- 车辆 -->")
TEST_LABEL = labels([item(GALLERY[0], 5, 3), item(GALLERY[1], " 10 ", 12), item("0999_c001_00000000_0.jpg", 1, 1)])


def veri_with(root: Path, files: dict[str, bytes]) -> Path:
    write_lists(root, VERI)
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


def test_colours_and_types_become_columns(tmp_path: Path) -> None:
    files = {"train_label.xml": TRAIN_LABEL.encode("gb2312"), "test_label.xml": TEST_LABEL.encode("gb2312")}
    table = read_veri(veri_with(tmp_path, files)).table
    # training, then the queries (the second and the first of the gallery), then the gallery
    assert table["colour"].tolist() == ["1", "2", "10", "5", "5", "10", "", "", "", ""]
    assert table["type"].tolist() == ["4", "", "12", "3", "3", "12", "", "", "", ""]  # 0 is no type


def test_lists_give_names_to_colours_and_types(tmp_path: Path) -> None:
    files = {"train_label.xml": TRAIN_LABEL.encode("gb2312")}
    files |= {"list_color.txt": b"1 yellow\r\n2\tlight  blue ", "list_type.txt": "no\n4 轿车".encode("gb2312")}
    table = read_veri(veri_with(tmp_path, files)).table
    assert table["colour"].tolist()[:3] == ["yellow", "light  blue", ""]
    assert table["type"].tolist()[:3] == ["轿车", "", ""]


def test_undecodable_bytes_in_labels_are_replaced(tmp_path: Path) -> None:
    files = {"train_label.xml": TRAIN_LABEL.encode("gb2312").replace("车".encode("gb2312"), b"\xff\xff")}
    assert read_veri(veri_with(tmp_path, files)).table["colour"].tolist()[:2] == ["1", "2"]


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY c SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (labels([item("&c;", 1, 1)], HEAD + LAUGHS), "declares a document type or entities"),
        (labels([item("&c;", 1, 1)], HEAD + OUTSIDE), "declares a document type or entities"),
        (TRAIN_LABEL[:-20], "not XML"),
        (labels([], HEAD.replace("gb2312", "nonsense")), "cannot be decoded"),
        ("", "not XML"),
    ],
)
@pytest.mark.parametrize("name", ["train_label.xml", "test_label.xml"])
def test_hostile_or_broken_label_file_is_refused(tmp_path: Path, text: str, reason: str, name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: {reason}.*remove it") as caught:
        read_veri(veri_with(tmp_path, {name: text.encode("gb2312")}))
    assert str(caught.value).isprintable()
