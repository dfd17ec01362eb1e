"""Loading by name: folders in any case, user CSVs, the rendered data set, and errors with remedies."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import SOURCES, dataset_label, load_dataset
from data_cache.datasets.problems import list_problems
from helpers.toy.lists import table_rows

Row = tuple[str, str, int, str]
ROWS: list[Row] = [
    ("a.jpg", "1", 1, "train"),
    ("b.jpg", "1", 2, "train"),
    ("c.jpg", "2", 1, "query"),
    ("d.jpg", "2", 2, "gallery"),
]


def write_csv(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["name,vehicle_id,camera_id,split", *(",".join(map(str, row)) for row in rows)]))
    return path


@pytest.mark.parametrize("name", SOURCES)
def test_missing_data_set_is_one_line_with_folders_and_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        load_dataset(name, tmp_path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(str(tmp_path / folder) in message for folder in SOURCES[name].folders) and "(in any case)" in message
    if name == "synthetic":
        assert "python cli.py synth" in message
    else:
        assert "https://" in message and "DATASET=synthetic needs no data" in message


@pytest.mark.parametrize("change", [str, str.lower, str.upper, str.title, str.swapcase])
@pytest.mark.parametrize(
    ("name", "folder"), [(name, folder) for name, source in SOURCES.items() for folder in source.folders]
)
def test_folder_is_found_in_any_case(tmp_path: Path, name: str, folder: str, change: Callable[[str], str]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / change(folder)).mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path / change(folder)}[/:]"):
        load_dataset(name, tmp_path)


def test_first_folder_name_and_exact_case_are_preferred(tmp_path: Path) -> None:
    for folder in ("veriwild", "VERIWild", "veri-wild", "VERI-WILD", "VERI-Wild"):  # each preferred to those before
        (tmp_path / folder).mkdir()
        with pytest.raises(UserError, match=rf"{tmp_path / folder}/train_test_split"):
            load_dataset("veriwild", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "VERI").write_text("")  # not a folder
    with pytest.raises(UserError, match="data set veri not found"):
        load_dataset("veri", tmp_path / "a")


@pytest.mark.parametrize("folder", ["VeRi_with_plate", "VeRi-776", "veri 776", "VeRi776", "VERI_WITH_PLATE"])
def test_usual_names_of_the_folder_are_known(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path / folder}[/:]"):
        load_dataset("veri", tmp_path)


def test_folders_with_nearly_the_name_are_told(tmp_path: Path) -> None:
    for folder in ("VeRi-776-images", "VERI-Wild", "photos"):
        (tmp_path / folder).mkdir()
    with pytest.raises(UserError, match=r"in any case\); VeRi-776-images is there: rename it if it is meant; ask"):
        load_dataset("veri", tmp_path)


def test_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"unknown data set verri; did you mean veri\?"):
        load_dataset("verri", Path("data"))


def test_csv_is_a_data_set(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "elsewhere" / "mine.csv", ROWS)
    dataset = load_dataset(str(csv), tmp_path)
    assert (dataset.name, dataset.root, dataset_label(str(csv))) == ("mine", tmp_path, "mine")
    assert table_rows(dataset.table) == ROWS
    assert list_problems(dataset).errors == ()
    assert dataset.protocol("test").same_camera_is_junk


def test_folder_is_images_csv_below_the_root_and_without_cameras_has_no_junk(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("name,vehicle_id,camera_id,split\nq.jpg,1,,query\ng.jpg,1,,gallery\n")
    dataset = load_dataset("folder", tmp_path)
    assert (dataset.name, dataset.root) == ("folder", tmp_path)
    assert dataset.table["camera_id"].tolist() == [-1, -1]
    assert not dataset.protocol("test").same_camera_is_junk
    assert list_problems(dataset).errors == ()


def test_csv_for_training_only_has_no_test(tmp_path: Path) -> None:
    dataset = load_dataset(str(write_csv(tmp_path / "t.csv", ROWS[:2])), tmp_path)
    assert not dataset.splits
    assert list_problems(dataset).errors == ()


def write_synthetic_lists(root: Path, vehicles: int) -> None:
    """Write the lists of a rendered data set with test vehicles v00, v01, ...: a query and two gallery images each."""
    rows: list[Row] = [("images/t.jpg", "t", 1, "train")]
    for number in range(vehicles):
        for camera, split in ((1, "query"), (2, "gallery"), (3, "gallery")):
            rows.append((f"images/{number}-{camera}.jpg", f"v{number:02d}", camera, split))
    write_csv(root / "synthetic" / "images.csv", rows)
    (root / "synthetic" / "synthetic.json").write_text(json.dumps({}))


@pytest.mark.parametrize(("vehicles", "sizes"), [(9, (3, 6, 9)), (10, (3, 6, 10)), (2, (1, 1, 2)), (1, (1, 1, 1))])
def test_synthetic_tests_are_nested(tmp_path: Path, vehicles: int, sizes: tuple[int, ...]) -> None:
    write_synthetic_lists(tmp_path, vehicles)
    dataset = load_dataset("synthetic", tmp_path)
    assert list(dataset.splits) == ["small", "medium", "large"]
    assert list_problems(dataset).errors == ()
    tested = []
    for split, size in zip(dataset.splits, sizes, strict=True):
        trial = dataset.protocol(split).trials[0]
        assert (len(trial.query), len(trial.gallery)) == (size, 2 * size)
        tested.append(set(dataset.table["vehicle_id"].iloc[trial.query]))
        assert tested[-1] == set(dataset.table["vehicle_id"].iloc[trial.gallery])
    assert tested[0] <= tested[1] <= tested[2]


def test_unfinished_synthetic_data_set_is_refused(tmp_path: Path) -> None:
    write_synthetic_lists(tmp_path, 3)
    (tmp_path / "synthetic" / "synthetic.json").unlink()
    with pytest.raises(UserError, match="no finished synthetic data set; make it with"):
        load_dataset("synthetic", tmp_path)
