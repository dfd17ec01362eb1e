"""The reader of VERI-Wild: both dialects of its lists, and cameras, models and colours from its table."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.findings import faults
from data_cache.datasets.veriwild import read_veriwild
from helpers.toy.lists import OTHER_NAMES, VERIWILD_INFO, Form, in_every_form, lay, names_of, records, veriwild

DIALECTS: dict[str, Callable[[str], str]] = {
    "vehicle/image": str,
    "vehicle/image.jpg": lambda image: f"{image}.jpg",
    "vehicle/image.jpg label camera": lambda image: f"{image}.jpg 0 23",
}
CAMERAS = {line.split(";")[0]: int(line.split(";")[1]) for line in VERIWILD_INFO[1:]}
TRAINED = {"images/00001/000001.jpg", "images/00001/000002.jpg"}
TESTED = {
    "small": ({"images/00007/000012.jpg"}, {"images/00007/000011.jpg", "images/00007/000013.jpg"}),
    "medium": (
        {"images/00007/000011.jpg", "images/00008/000021.jpg"},
        {"images/00007/000012.jpg", "images/00007/000013.jpg", "images/00008/000022.jpg"},
    ),
}


def with_camera(image: str) -> str:
    """Return a line of the second dialect with the camera of vehicle_info.txt; labels do not matter."""
    return f"{image}.jpg 99 {CAMERAS[image]}"


def assert_read(root: Path) -> None:
    """The toy set is what it is, however it is written."""
    dataset = load_dataset("veriwild", root)
    assert {name: camera for name, _, camera, _ in records(dataset.table)} == {
        f"images/{image}.jpg": camera for image, camera in CAMERAS.items()
    }
    assert all(vehicle == name.split("/")[1] for name, vehicle, _, _ in records(dataset.table))
    assert set(dataset.table["name"][dataset.table["split"] == "train"]) == TRAINED
    assert {split: names_of(dataset, split) for split in dataset.splits} == TESTED
    assert list(dataset.splits) == ["small", "medium"]
    assert faults(dataset) == []
    assert dataset.protocol("small").same_camera_is_junk


@in_every_form
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("place", ["train_test_split/vehicle_info.txt", "vehicle_info.txt"])
def test_veriwild(tmp_path: Path, form: Form, dialect: Callable[[str], str], place: str) -> None:
    """Where vehicle_info.txt is there it tells the cameras, whatever the lines say: all come from one place."""
    lay(tmp_path / "VERI-WILD", veriwild(dialect) | {place: VERIWILD_INFO}, form)
    assert_read(tmp_path)


@in_every_form
@pytest.mark.parametrize("names", [{}, OTHER_NAMES], ids=["train_list", "train_list_start0"])
def test_lists_that_tell_the_cameras_need_no_table(tmp_path: Path, form: Form, names: dict[str, str]) -> None:
    lay(tmp_path / "VERI-Wild", veriwild(with_camera, names), form)
    assert_read(tmp_path)
    assert list(load_dataset("veriwild", tmp_path).table.columns) == ["name", "vehicle_id", "camera_id", "split"]


@pytest.mark.parametrize("dialect", [str, with_camera])
def test_of_both_dialects_the_first_is_read(tmp_path: Path, dialect: Callable[[str], str]) -> None:
    wrong = {name: ["00099/000099.jpg 0 1"] for name in veriwild(names=OTHER_NAMES)}
    lay(tmp_path / "VERI-Wild", wrong | veriwild(dialect) | {"vehicle_info.txt": VERIWILD_INFO})
    assert_read(tmp_path)


def test_a_size_may_have_the_names_of_either_dialect(tmp_path: Path) -> None:
    lists = veriwild(with_camera)
    for kind in ("", "_query"):
        lists[f"train_test_split/test_5000_id{kind}.txt"] = lists.pop(f"train_test_split/test_5000{kind}.txt")
    lay(tmp_path / "VERI-Wild", lists)
    assert_read(tmp_path)


@pytest.mark.parametrize("place", ["", "train_test_split/"])
def test_what_the_table_tells_becomes_columns(tmp_path: Path, place: str) -> None:
    lay(tmp_path, veriwild() | {f"{place}vehicle_info.txt": VERIWILD_INFO})
    table = read_veriwild(tmp_path).table.set_index("name")
    columns = ["time", "model", "type", "colour"]
    assert list(table.columns) == ["vehicle_id", "camera_id", "split", *columns]
    told = {name: tuple(table.loc[f"images/{name}.jpg", columns]) for name in CAMERAS}
    assert told == {
        "00001/000001": ("2018-03-11 10:05:18", "Audi", "SUV", "white"),
        "00001/000002": ("2018-03-11 10:05:18", "Audi", "SUV", "white"),
        "00007/000011": ("2018-03-12 07:00:00", "BAIC Weiwang", "business purpose vehicle/MPV", ""),
        "00007/000012": ("", "", "", ""),
        "00007/000013": ("", "", "", "red"),
        "00008/000021": ("", "", "", ""),
        "00008/000022": ("", "", "", ""),
    }


def test_columns_go_by_their_headings(tmp_path: Path) -> None:
    moved = ["ID/Image ; Colour;x;CAMERA id;Model", *(f"{image};red;?;{camera}" for image, camera in CAMERAS.items())]
    lay(tmp_path / "VERI-Wild", veriwild() | {"vehicle_info.txt": moved})
    assert_read(tmp_path)
    table = load_dataset("veriwild", tmp_path).table
    assert set(table["colour"]) == {"red"} and set(table["model"]) == {""}
    assert list(table.columns[4:]) == ["colour", "model"]


@pytest.mark.parametrize("columns", [["time", "model", "type", "colour"], ["model", "type", "colour"]])
def test_a_table_without_headings_has_the_released_order(tmp_path: Path, columns: list[str]) -> None:
    lines = [";".join([image, str(camera), *columns]) for image, camera in CAMERAS.items()]
    lay(tmp_path / "VERI-Wild", veriwild() | {"vehicle_info.txt": lines})
    assert_read(tmp_path)
    table = load_dataset("veriwild", tmp_path).table
    assert {column: set(table[column]) for column in table.columns[4:]} == {column: {column} for column in columns}


def test_a_test_list_of_veriwild_that_repeats_its_queries_gives_the_same_gallery(tmp_path: Path) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    for size in ("3000", "5000"):
        whole, query = f"train_test_split/test_{size}.txt", f"train_test_split/test_{size}_query.txt"
        lists[whole] = [*lists[whole], *lists[query]]
    lay(tmp_path / "VERI-Wild", lists)
    assert_read(tmp_path)


def test_an_image_in_training_and_test_is_refused(tmp_path: Path) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    path = "train_test_split/train_list.txt"
    lay(tmp_path / "veriwild", lists | {path: [*lists[path], "00007/000011.jpg"]})  # in the other dialect
    with pytest.raises(UserError, match="listed twice, first images/00007/000011"):
        load_dataset("veriwild", tmp_path)


@pytest.mark.parametrize("name", ["train_list", "test_3000", "test_5000_query"])
def test_an_image_that_a_list_repeats_counts_once_and_is_a_fault(tmp_path: Path, name: str) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    path = f"train_test_split/{name}.txt"
    again = f"{lists[path][0]}.jpg"  # in the other dialect
    lay(tmp_path / "veriwild", lists | {path: [*lists[path], again]})
    dataset = load_dataset("veriwild", tmp_path)
    assert len(dataset.table) == 7
    place = f"{name}.txt, entry {len(lists[path]) + 1}: {again}"
    assert faults(dataset) == [f"1 images are listed again, first in {place}; remove the line"]


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (VERIWILD_INFO[:-1], r"vehicle_info\.txt is missing or tells no camera for 00008/000022"),
        ([*VERIWILD_INFO, "00009/000031"], "entry 8: '' is no camera number"),
        ([*VERIWILD_INFO, "00009/000031;north;;;;"], "entry 8: 'north' is no camera number"),
        (["id/image;Time;Model", "00001/000001;noon;Audi"], "no column is headed `Camera ID`"),
        ([], "tells no camera for 00001/000001"),
        (None, r"vehicle_info\.txt is missing or tells no camera for 00001/000001"),
    ],
)
def test_cameras_of_veriwild_that_are_missing_or_broken_are_named(
    tmp_path: Path, info: Sequence[str] | None, reason: str
) -> None:
    lists = veriwild()
    lay(tmp_path, lists if info is None else lists | {"vehicle_info.txt": info})
    with pytest.raises(UserError, match=reason):
        read_veriwild(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("00007/000099.jpg 0 north", "'north' is no camera number"),
        ("000011.jpg 0 5", "'000011.jpg' is not vehicle/image"),
        ("00007/a/000011.jpg 0 5", "is not vehicle/image"),
        ("00007/.jpg 0 5", "is not vehicle/image"),
        ("/00007/000011.jpg 0 5", "is not a relative path below"),
        ("../000011.jpg 0 5", "is not a relative path below"),
        ("00007\\000011.jpg 0 5", "is not a relative path below"),
    ],
)
@pytest.mark.parametrize("name", ["train_list", "test_3000", "test_3000_query"])
def test_a_line_that_is_no_image_is_named(tmp_path: Path, line: str, reason: str, name: str) -> None:
    lists = veriwild(with_camera)
    path = f"train_test_split/{name}.txt"
    lay(tmp_path, lists | {path: [*lists[path], line]})
    with pytest.raises(UserError, match=rf"{name}\.txt, entry {len(lists[path]) + 1}: .*{reason}"):
        read_veriwild(tmp_path)


def test_lines_without_a_camera_among_those_with_one_are_named(tmp_path: Path) -> None:
    lists = veriwild(with_camera) | {"train_test_split/test_3000_query.txt": ["00007/000099.jpg 0"]}
    with pytest.raises(UserError, match="tells no camera for 00007/000099, and its list neither"):
        read_veriwild(lay(tmp_path, lists))


def test_models_of_veriwild_in_any_encoding_are_read(tmp_path: Path) -> None:
    lay(tmp_path, veriwild())
    for encoding in ("gb2312", "utf-8", "utf-8-sig"):
        (tmp_path / "vehicle_info.txt").write_bytes("\n".join(VERIWILD_INFO).replace("Audi", "大众").encode(encoding))
        assert read_veriwild(tmp_path).table["model"].tolist()[:2] == ["大众", "大众"]
    (tmp_path / "vehicle_info.txt").write_bytes("\n".join(VERIWILD_INFO).encode().replace(b"Audi", b"\xff"))
    assert len(read_veriwild(tmp_path).table) == 7


def test_a_size_of_veriwild_without_its_queries_is_named(tmp_path: Path) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    del lists["train_test_split/test_5000_query.txt"]
    with pytest.raises(UserError, match=r"test_5000_query\.txt"):
        read_veriwild(lay(tmp_path, lists))


def test_lists_without_an_image_are_read(tmp_path: Path) -> None:
    lists = {name: [] for name in veriwild()}
    assert len(read_veriwild(lay(tmp_path, lists)).table) == 0
