"""The reader of VERI-Wild: every dialect of its lists, cameras from its table, and the real lists of its small test."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from toy_lists import Form, in_every_form, lay, names_of, records

from data_cache.datasets import faults, load_dataset, remarks
from data_cache.errors import UserError
from data_cache.readers import read_veriwild

REAL_LISTS = Path(__file__).parents[2] / "shared/data/veri-wild-lists"
DIALECTS: dict[str, Callable[[str], str]] = {
    "vehicle/image": lambda key: key,
    "vehicle/image.jpg": lambda key: f"{key}.jpg",
    "vehicle/image.jpg label camera": lambda key: f"{key}.jpg 0 23",
}
INFO = [
    "id/image;Camera ID;Time;Model;Type;Color",
    "00001/000001;81;2018-03-11 10:05:18;Audi;SUV;white",
    "00001/000002;82;2018-03-11 10:05:18;Audi;SUV;white",
    "00007/000011;5;;;;",
    "00007/000012;6;;;;",
    "00007/000013;5;;;;",
    "00008/000021;9;;;;",
    "00008/000022;8;;;;",
]


def veriwild(dialect: Callable[[str], str]) -> dict[str, Sequence[str]]:
    """Return VERI-Wild's lists; image 12 is a query of the small test and a gallery image of the medium one."""
    lists = {
        "train_list": ["00001/000001", "00001/000002"],
        "test_3000": ["00007/000011", "00007/000013"],
        "test_3000_query": ["00007/000012"],
        "test_5000": ["00007/000012", "00007/000013", "00008/000022"],
        "test_5000_query": ["00007/000011", "00008/000021"],
    }
    return {f"train_test_split/{name}.txt": [dialect(key) for key in keys] for name, keys in lists.items()}


@in_every_form
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
@pytest.mark.parametrize("place", ["train_test_split/vehicle_info.txt", "vehicle_info.txt"])
def test_veriwild(tmp_path: Path, form: Form, dialect: Callable[[str], str], place: str) -> None:
    lay(tmp_path / "VERI-WILD", veriwild(dialect) | {place: INFO}, form)
    dataset = load_dataset("veriwild", tmp_path)
    cameras = {line.split(";")[0]: int(line.split(";")[1]) for line in INFO[1:]}
    assert {name: camera for name, _, camera, _ in records(dataset.table)} == {
        f"images/{key}.jpg": camera for key, camera in cameras.items()
    }
    assert all(vehicle == name.split("/")[1] for name, vehicle, _, _ in records(dataset.table))
    assert sorted(dataset.table["name"][dataset.table["split"] == "train"]) == [
        "images/00001/000001.jpg", "images/00001/000002.jpg"
    ]  # fmt: skip
    assert list(dataset.splits) == ["small", "medium"]
    assert faults(dataset) == []
    assert dataset.protocol("small").same_camera_is_junk


def test_a_query_of_one_size_of_veriwild_may_be_gallery_of_another(tmp_path: Path) -> None:
    lay(tmp_path / "veri-wild", veriwild(DIALECTS["vehicle/image"]) | {"vehicle_info.txt": INFO})
    dataset = load_dataset("veriwild", tmp_path)
    for split, query, gallery in (
        ("small", ["00007/000012"], ["00007/000011", "00007/000013"]),
        ("medium", ["00007/000011", "00008/000021"], ["00007/000012", "00007/000013", "00008/000022"]),
    ):
        wanted = tuple({f"images/{key}.jpg" for key in keys} for keys in (query, gallery))
        assert names_of(dataset, split) == wanted


def test_a_test_list_of_veriwild_that_repeats_its_queries_gives_the_same_gallery(tmp_path: Path) -> None:
    lists = veriwild(DIALECTS["vehicle/image"])
    lay(tmp_path / "a" / "VERI-Wild", lists | {"vehicle_info.txt": INFO})
    for size in ("3000", "5000"):
        whole, query = f"train_test_split/test_{size}.txt", f"train_test_split/test_{size}_query.txt"
        lists[whole] = [*lists[whole], *lists[query]]
    lay(tmp_path / "b" / "VERI-Wild", lists | {"vehicle_info.txt": INFO})
    first, second = (load_dataset("veriwild", tmp_path / place) for place in ("a", "b"))
    for split in ("small", "medium"):
        assert names_of(first, split) == names_of(second, split)


@pytest.mark.parametrize("line", ["00001/000001", "00007/000011"])
def test_an_image_of_veriwild_that_is_listed_twice_is_found(tmp_path: Path, line: str) -> None:
    lists = veriwild(DIALECTS["vehicle/image"]) | {"vehicle_info.txt": INFO}
    path = "train_test_split/train_list.txt"
    lay(tmp_path / "veriwild", lists | {path: [*lists[path], line + ".jpg"]})  # in the other dialect
    with pytest.raises(UserError, match=f"listed twice, first images/{line}"):
        load_dataset("veriwild", tmp_path)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (INFO[:-1], "tells no camera for 00008/000022"),
        ([*INFO, "00009/000031"], "entry 8: '' is no camera number"),
        ([*INFO, "00009/000031;north;;;;"], "entry 8: 'north' is no camera number"),
        ([], "tells no camera for 00001/000001"),
        (None, r"vehicle_info\.txt is missing"),
    ],
)
def test_cameras_of_veriwild_that_are_missing_or_broken_are_named(
    tmp_path: Path, info: Sequence[str] | None, reason: str
) -> None:
    lists = veriwild(DIALECTS["vehicle/image"])
    lay(tmp_path, lists if info is None else lists | {"vehicle_info.txt": info})
    with pytest.raises(UserError, match=reason):
        read_veriwild(tmp_path)


def test_models_of_veriwild_in_any_encoding_do_not_matter(tmp_path: Path) -> None:
    lay(tmp_path, veriwild(DIALECTS["vehicle/image"]))
    (tmp_path / "vehicle_info.txt").write_bytes("\n".join(INFO).replace("Audi", "大众").encode("gb2312"))
    assert len(read_veriwild(tmp_path)[0]) == 7


def test_a_size_of_veriwild_without_its_queries_is_named(tmp_path: Path) -> None:
    lists = veriwild(DIALECTS["vehicle/image"]) | {"vehicle_info.txt": INFO}
    del lists["train_test_split/test_5000_query.txt"]
    with pytest.raises(UserError, match=r"test_5000_query\.txt"):
        read_veriwild(lay(tmp_path, lists))


@pytest.mark.skipif(not REAL_LISTS.is_dir(), reason=f"the lists of VERI-Wild are not at {REAL_LISTS}")
def test_the_real_small_test_of_veriwild(tmp_path: Path) -> None:
    told = {}  # image -> camera, from lines `vehicle/image;camera;model;type;colour`
    for name in ("test_3000_info.txt", "test_3000_query_info.txt"):
        lines = (REAL_LISTS / name).read_text().split("\n")
        told.update({line.split(";")[0]: int(line.split(";")[1]) for line in lines if line})
    root = tmp_path / "VERI-Wild"
    info = [INFO[0], *(f"{key};{camera};2018-03-11 10:05:18;;;" for key, camera in told.items())]
    lay(root, {"vehicle_info.txt": info, "train_test_split/train_list.txt": []})
    for name in ("test_3000.txt", "test_3000_query.txt"):
        (root / "train_test_split" / name).write_bytes((REAL_LISTS / name).read_bytes())
    dataset = load_dataset("veriwild", tmp_path)
    trial = dataset.protocol("small").trials[0]
    assert (len(trial.query), len(trial.gallery), len(dataset.table)) == (3000, 38861, 41861)
    assert dataset.table["vehicle_id"].nunique() == dataset.table["vehicle_id"].iloc[trial.query].nunique() == 3000
    assert {name: camera for name, _, camera, _ in records(dataset.table)} == {
        f"images/{key}.jpg": camera for key, camera in told.items()
    }
    assert faults(dataset) == []
    gallery = {(key.split("/")[0], told[key]) for key in (REAL_LISTS / "test_3000.txt").read_text().split()}
    lonely = [
        key
        for key in (REAL_LISTS / "test_3000_query.txt").read_text().split()
        if not any((key.split("/")[0], camera) in gallery for camera in set(told.values()) - {told[key]})
    ]
    assert len(lonely) == 12  # seen by one camera only
    assert remarks(dataset) == [f"small: 12 queries have no match and do not count, first images/{lonely[0]}.jpg"]
