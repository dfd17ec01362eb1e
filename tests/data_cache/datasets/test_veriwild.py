"""The reader of VERI-Wild: both dialects of its lists, its table of cameras, models and colours, and real lists."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.problems import list_problems
from data_cache.datasets.veriwild import read_veriwild
from helpers.paths import ROOT
from helpers.toy.lists import (
    OTHER_NAMES,
    VERIWILD_INFO,
    Form,
    in_every_form,
    table_rows,
    trial_names,
    veriwild,
    write_lists,
)

REAL_LISTS = ROOT.parent / "shared/data/veri-wild-lists"
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
    """Return a line of the second dialect with the image's camera; labels are ignored."""
    return f"{image}.jpg 99 {CAMERAS[image]}"


def assert_toy_dataset(root: Path) -> None:
    """Assert that the data set below `root` is the toy one, however it was written."""
    dataset = load_dataset("veriwild", root)
    assert {name: camera for name, _, camera, _ in table_rows(dataset.table)} == {
        f"images/{image}.jpg": camera for image, camera in CAMERAS.items()
    }
    assert all(vehicle == name.split("/")[1] for name, vehicle, _, _ in table_rows(dataset.table))
    assert set(dataset.table["name"][dataset.table["split"] == "train"]) == TRAINED
    assert {split: trial_names(dataset, split) for split in dataset.splits} == TESTED
    assert list(dataset.splits) == ["small", "medium"]
    assert list_problems(dataset).errors == ()
    assert dataset.protocol("small").same_camera_is_junk


@in_every_form
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("info", ["train_test_split/vehicle_info.txt", "vehicle_info.txt"])
def test_dialects_with_a_table(tmp_path: Path, form: Form, dialect: Callable[[str], str], info: str) -> None:
    """All cameras come from vehicle_info.txt if it exists, whatever the lists say."""
    write_lists(tmp_path / "VERI-WILD", veriwild(dialect) | {info: VERIWILD_INFO}, form)
    assert_toy_dataset(tmp_path)


@in_every_form
@pytest.mark.parametrize("names", [{}, OTHER_NAMES], ids=["train_list", "train_list_start0"])
def test_lists_with_cameras_need_no_table(tmp_path: Path, form: Form, names: dict[str, str]) -> None:
    write_lists(tmp_path / "VERI-Wild", veriwild(with_camera, names), form)
    assert_toy_dataset(tmp_path)
    assert list(load_dataset("veriwild", tmp_path).table.columns) == ["name", "vehicle_id", "camera_id", "split"]


@pytest.mark.parametrize("dialect", [str, with_camera])
def test_first_dialect_is_preferred(tmp_path: Path, dialect: Callable[[str], str]) -> None:
    wrong = {name: ["00099/000099.jpg 0 1"] for name in veriwild(names=OTHER_NAMES)}
    write_lists(tmp_path / "VERI-Wild", wrong | veriwild(dialect) | {"vehicle_info.txt": VERIWILD_INFO})
    assert_toy_dataset(tmp_path)


def test_each_size_may_use_either_dialect(tmp_path: Path) -> None:
    lists = veriwild(with_camera)
    for kind in ("", "_query"):
        lists[f"train_test_split/test_5000_id{kind}.txt"] = lists.pop(f"train_test_split/test_5000{kind}.txt")
    write_lists(tmp_path / "VERI-Wild", lists)
    assert_toy_dataset(tmp_path)


@pytest.mark.parametrize("folder", ["", "train_test_split/"])
def test_table_values_become_columns(tmp_path: Path, folder: str) -> None:
    write_lists(tmp_path, veriwild() | {f"{folder}vehicle_info.txt": VERIWILD_INFO})
    table = read_veriwild(tmp_path).table.set_index("name")
    columns = ["time", "model", "type", "colour"]
    assert list(table.columns) == ["vehicle_id", "camera_id", "split", *columns]
    values = {name: tuple(table.loc[f"images/{name}.jpg", columns]) for name in CAMERAS}
    assert values == {
        "00001/000001": ("2018-03-11 10:05:18", "Audi", "SUV", "white"),
        "00001/000002": ("2018-03-11 10:05:18", "Audi", "SUV", "white"),
        "00007/000011": ("2018-03-12 07:00:00", "BAIC Weiwang", "business purpose vehicle/MPV", ""),
        "00007/000012": ("", "", "", ""),
        "00007/000013": ("", "", "", "red"),
        "00008/000021": ("", "", "", ""),
        "00008/000022": ("", "", "", ""),
    }


def test_columns_are_found_by_heading(tmp_path: Path) -> None:
    moved = ["ID/Image ; Colour;x;CAMERA id;Model", *(f"{image};red;?;{camera}" for image, camera in CAMERAS.items())]
    write_lists(tmp_path / "VERI-Wild", veriwild() | {"vehicle_info.txt": moved})
    assert_toy_dataset(tmp_path)
    table = load_dataset("veriwild", tmp_path).table
    assert set(table["colour"]) == {"red"} and set(table["model"]) == {""}
    assert list(table.columns[4:]) == ["colour", "model"]


@pytest.mark.parametrize("columns", [["time", "model", "type", "colour"], ["model", "type", "colour"]])
def test_table_without_headings_has_the_released_order(tmp_path: Path, columns: list[str]) -> None:
    lines = [";".join([image, str(camera), *columns]) for image, camera in CAMERAS.items()]
    write_lists(tmp_path / "VERI-Wild", veriwild() | {"vehicle_info.txt": lines})
    assert_toy_dataset(tmp_path)
    table = load_dataset("veriwild", tmp_path).table
    assert {column: set(table[column]) for column in table.columns[4:]} == {column: {column} for column in columns}


def test_queries_repeated_in_the_gallery_list_are_removed_from_the_gallery(tmp_path: Path) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    for size in ("3000", "5000"):
        whole, query = f"train_test_split/test_{size}.txt", f"train_test_split/test_{size}_query.txt"
        lists[whole] = [*lists[whole], *lists[query]]
    write_lists(tmp_path / "VERI-Wild", lists)
    assert_toy_dataset(tmp_path)


def test_image_in_training_and_test_is_refused(tmp_path: Path) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    path = "train_test_split/train_list.txt"
    write_lists(tmp_path / "veriwild", lists | {path: [*lists[path], "00007/000011.jpg"]})  # in the second dialect
    with pytest.raises(UserError, match="listed twice, first images/00007/000011"):
        load_dataset("veriwild", tmp_path)


@pytest.mark.parametrize("name", ["train_list", "test_3000", "test_5000_query"])
def test_repeated_image_is_kept_once_and_an_error(tmp_path: Path, name: str) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    path = f"train_test_split/{name}.txt"
    again = f"{lists[path][0]}.jpg"  # in the second dialect
    write_lists(tmp_path / "veriwild", lists | {path: [*lists[path], again]})
    dataset = load_dataset("veriwild", tmp_path)
    assert len(dataset.table) == 7
    entry = f"{name}.txt, entry {len(lists[path]) + 1}: {again}"
    assert list_problems(dataset).errors == (f"1 images are listed again, first in {entry}; remove the line",)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (VERIWILD_INFO[:-1], r"no camera for 00008/000022, neither in vehicle_info\.txt nor in its list"),
        ([*VERIWILD_INFO, "00009/000031"], "entry 8: '' is not a camera number"),
        ([*VERIWILD_INFO, "00009/000031;north;;;;"], "entry 8: 'north' is not a camera number"),
        (["id/image;Time;Model", "00001/000001;noon;Audi"], "no column has the heading `Camera ID`"),
        ([], "no camera for 00001/000001"),
        (None, "no camera for 00001/000001"),
    ],
)
def test_missing_or_invalid_cameras_are_reported(tmp_path: Path, info: Sequence[str] | None, reason: str) -> None:
    lists = veriwild()
    write_lists(tmp_path, lists if info is None else lists | {"vehicle_info.txt": info})
    with pytest.raises(UserError, match=reason):
        read_veriwild(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("00007/000099.jpg 0 north", "'north' is not a camera number"),
        ("000011.jpg 0 5", "'000011.jpg' is not vehicle/image"),
        ("00007/a/000011.jpg 0 5", "is not vehicle/image"),
        ("00007/.jpg 0 5", "is not vehicle/image"),
        ("/00007/000011.jpg 0 5", "is not a relative path below"),
        ("../000011.jpg 0 5", "is not a relative path below"),
        ("..\\000011.jpg 0 5", "is not a relative path below"),
    ],
)
@pytest.mark.parametrize("name", ["train_list", "test_3000", "test_3000_query"])
def test_invalid_line_is_reported_with_its_entry(tmp_path: Path, line: str, reason: str, name: str) -> None:
    lists = veriwild(with_camera)
    path = f"train_test_split/{name}.txt"
    write_lists(tmp_path, lists | {path: [*lists[path], line]})
    with pytest.raises(UserError, match=rf"{name}\.txt, entry {len(lists[path]) + 1}: .*{reason}"):
        read_veriwild(tmp_path)


def test_line_without_a_camera_is_reported(tmp_path: Path) -> None:
    lists = veriwild(with_camera) | {"train_test_split/test_3000_query.txt": ["00007/000099.jpg 0"]}
    with pytest.raises(UserError, match="no camera for 00007/000099"):
        read_veriwild(write_lists(tmp_path, lists))


def test_model_names_may_have_any_encoding(tmp_path: Path) -> None:
    write_lists(tmp_path, veriwild())
    for encoding in ("gb2312", "utf-8", "utf-8-sig"):
        (tmp_path / "vehicle_info.txt").write_bytes("\n".join(VERIWILD_INFO).replace("Audi", "大众").encode(encoding))
        assert read_veriwild(tmp_path).table["model"].tolist()[:2] == ["大众", "大众"]
    (tmp_path / "vehicle_info.txt").write_bytes("\n".join(VERIWILD_INFO).encode().replace(b"Audi", b"\xff"))
    assert len(read_veriwild(tmp_path).table) == 7


def test_missing_query_list_is_named(tmp_path: Path) -> None:
    lists = veriwild() | {"vehicle_info.txt": VERIWILD_INFO}
    del lists["train_test_split/test_5000_query.txt"]
    with pytest.raises(UserError, match=r"test_5000_query\.txt"):
        read_veriwild(write_lists(tmp_path, lists))


def test_empty_lists_are_read(tmp_path: Path) -> None:
    lists = {name: [] for name in veriwild()}
    assert len(read_veriwild(write_lists(tmp_path, lists)).table) == 0


@pytest.mark.parametrize("lines", [veriwild(), veriwild(with_camera)], ids=["without cameras", "with cameras"])
def test_info_lists_give_what_the_table_lacks(tmp_path: Path, lines: dict[str, Sequence[str]]) -> None:
    """The table, if there is one, counts for the images that it has, then the info lists."""
    info = {line.split(";")[0]: line for line in VERIWILD_INFO[1:]}
    short = [f"{image};{CAMERAS[image]};BAIC;SUV;" for image in CAMERAS]  # no time, as in the released ones
    write_lists(tmp_path / "VERI-Wild", lines | {"train_test_split/test_5000_id_query_info.txt": short[4:]})
    write_lists(tmp_path / "VERI-Wild", {"train_test_split/train_list_info.txt": short[:4]})
    assert_toy_dataset(tmp_path)
    assert set(load_dataset("veriwild", tmp_path).table["model"]) == {"BAIC"}
    table = ["id/image;Camera ID;Model", f"00001/000001;{CAMERAS['00001/000001']};Audi"]
    write_lists(tmp_path / "VERI-Wild", {"train_test_split/vehicle_info.txt": table})
    assert_toy_dataset(tmp_path)
    models = load_dataset("veriwild", tmp_path).table.set_index("name")["model"].to_dict()
    assert models == {f"images/{image}.jpg": "Audi" if image == "00001/000001" else "BAIC" for image in info}


@pytest.mark.skipif(not REAL_LISTS.is_dir(), reason=f"the lists of VERI-Wild are not at {REAL_LISTS}")
@pytest.mark.parametrize("dialect", ["with a table", "with info lists", "with cameras"])
def test_real_small_test(tmp_path: Path, dialect: str) -> None:
    """The real lists with tables `vehicle/image;camera;model;type;colour`, or rewritten in the second dialect.

    The train list is not there: such a copy can be evaluated.
    """
    info = [
        line
        for name in ("test_3000_info.txt", "test_3000_query_info.txt")
        for line in (REAL_LISTS / name).read_text().split("\n")
        if line
    ]
    cameras = {line.split(";")[0]: int(line.split(";")[1]) for line in info}
    query, gallery = ((REAL_LISTS / f"test_3000{kind}.txt").read_text().split() for kind in ("_query", ""))
    root = tmp_path / "VERI-Wild"
    (root / "train_test_split").mkdir(parents=True)
    for kind, images in (("_query", query), ("", gallery)):
        if dialect == "with a table":
            shutil.copy(REAL_LISTS / f"test_3000{kind}.txt", root / "train_test_split")
            write_lists(root, {"vehicle_info.txt": info})
        elif dialect == "with info lists":
            for name in (f"test_3000{kind}.txt", f"test_3000{kind}_info.txt"):
                write_lists(root, {f"train_test_split/{name}": (REAL_LISTS / name).read_text().split("\n")})
        else:
            lines = [f"{image}.jpg 0 {cameras[image]}" for image in images]
            write_lists(root, {f"train_test_split/test_3000_id{kind}.txt": lines})
    dataset = load_dataset("veriwild", tmp_path)
    trial = dataset.protocol("small").trials[0]
    assert (len(trial.query), len(trial.gallery), len(dataset.table)) == (3000, 38861, 41861)
    assert dataset.table["vehicle_id"].nunique() == dataset.table["vehicle_id"].iloc[trial.query].nunique() == 3000
    assert {name: camera for name, _, camera, _ in table_rows(dataset.table)} == {
        f"images/{image}.jpg": camera for image, camera in cameras.items()
    }
    assert dataset.no_training == "no train list (train_test_split/train_list.txt)"
    if dialect != "with cameras":
        colours = {line.split(";")[0]: line.split(";")[4] for line in info}
        assert dict(zip(dataset.table["name"].str[7:-4], dataset.table["colour"], strict=True)) == colours
    cameras_of_vehicle: dict[str, set[int]] = defaultdict(set)
    for image in gallery:
        cameras_of_vehicle[image.split("/")[0]].add(cameras[image])
    unmatched = [image for image in query if not cameras_of_vehicle[image.split("/")[0]] - {cameras[image]}]
    assert len(unmatched) == 12  # seen by one camera only
    problems = list_problems(dataset)
    assert problems.errors == ()
    assert problems.warnings == (f"small: 12 queries have no match and do not count, first images/{unmatched[0]}.jpg",)
