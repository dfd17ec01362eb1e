"""Copies without training images: read, checked and evaluated as the whole data set is, and not trained on."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from data_cache.check.check import check_dataset
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from helpers.parts import MakePictures
from helpers.places.reid import Place, assert_error
from helpers.toy.lists import BENCHMARKS, make_unique, trial_names, write_lists
from helpers.toy.vehicles import Toy

TRAIN_LISTS = {
    "veri": "name_train.txt",
    "vehicleid": "train_test_split/train_list.txt",
    "vric": "vric_train.txt",
    "veriwild": "train_test_split/train_list.txt",
}
CSV = ["name,vehicle_id,camera_id,split", "t/a.jpg,1,1,train", "t/b.jpg,1,2,train", "q/c.jpg,2,1,query"]
CSV += ["t/d.jpg,2,2,gallery"]
NAMES = [*BENCHMARKS, "folder"]


def written(root: Path, name: str, make_pictures: MakePictures) -> Dataset:
    """Return a small data set, complete."""
    folder, lists = BENCHMARKS.get(name, ("", {"images.csv": CSV}))
    write_lists(root / folder, lists)
    dataset = load_dataset(name, root)
    make_pictures(dataset.root, dataset.names())
    make_unique(dataset.root, dataset.names())
    return dataset


def without_training_list(dataset: Dataset) -> None:
    if dataset.name == "folder":
        write_lists(dataset.root, {"images.csv": [line for line in CSV if not line.endswith("train")]})
    else:
        (dataset.root / TRAIN_LISTS[dataset.name]).unlink()


def without_training_images(dataset: Dataset) -> None:
    for name in dataset.table["name"][dataset.table["split"] == "train"]:
        (dataset.root / name).unlink()


def rows_of_tests(dataset: Dataset) -> list[tuple[object, ...]]:
    table = dataset.table[dataset.table["split"] != "train"]
    return sorted(table.itertuples(index=False, name=None))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("remove", [without_training_list, without_training_images])
def test_a_copy_without_training_is_the_whole_without_its_training_images(
    tmp_path: Path, make_pictures: MakePictures, name: str, remove: object
) -> None:
    whole = written(tmp_path, name, make_pictures)
    assert whole.no_training == ""
    assert callable(remove)
    remove(whole)
    copy = load_dataset(name, tmp_path)
    assert rows_of_tests(copy) == rows_of_tests(whole) and not (copy.table["split"] == "train").any()
    assert list(copy.splits) == list(whole.splits)
    for split in copy.splits:
        assert trial_names(copy, split) == trial_names(whole, split)
        ours, theirs = copy.protocol(split).trials, whole.protocol(split).trials
        for one, other in zip(ours, theirs, strict=True):
            assert [*copy.table["name"].iloc[one.gallery]] == [*whole.table["name"].iloc[other.gallery]]
            assert [*(one.tracks if one.tracks is not None else ())] == [
                *(other.tracks if other.tracks is not None else ())
            ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("remove", [without_training_list, without_training_images])
def test_check_says_so_in_a_note(tmp_path: Path, make_pictures: MakePictures, name: str, remove: object) -> None:
    whole = written(tmp_path, name, make_pictures)
    assert callable(remove)
    remove(whole)
    checked = check_dataset(load_dataset(name, tmp_path))
    assert checked.errors == ()
    assert not any(line.startswith(("train:", "all:")) for line in checked.warnings)
    expected = {
        ("folder", without_training_list): "no image has the split train: evaluation only",
        (name, without_training_images): f"none of the {(whole.table['split'] == 'train').sum()} training images ",
    }.get((name, remove), "no train list (")
    note = checked.notes[0]
    assert note.startswith(expected) and note.endswith(": evaluation only")
    assert checked.to_dict()["evaluation_only"] == note.removesuffix(": evaluation only")
    with pytest.raises(UserError, match=f"^{whole.root}: nothing to train on, only to evaluate: "):
        checked.dataset.require_training_images()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_without_any_list_the_list_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / BENCHMARKS[name][0]).mkdir()
    with pytest.raises(UserError, match="list file cannot be read"):
        load_dataset(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_images_that_are_all_missing_stay_in_the_table(tmp_path: Path, make_pictures: MakePictures, name: str) -> None:
    """A data set whose images are still to come is checked against its sizes."""
    whole = written(tmp_path, name, make_pictures)
    for image in whole.names():
        (whole.root / image).unlink()
    bare = load_dataset(name, tmp_path)
    assert bare.table.equals(whole.table) and bare.no_training == ""
    assert f"{len(bare.table)} of {len(bare.table)} images are missing" in "; ".join(check_dataset(bare).errors)


@pytest.mark.parametrize("name", NAMES)
def test_some_training_images_are_an_incomplete_data_set(
    tmp_path: Path, make_pictures: MakePictures, name: str
) -> None:
    whole = written(tmp_path, name, make_pictures)
    (whole.root / whole.table["name"][whole.table["split"] == "train"].iloc[0]).unlink()
    partial = load_dataset(name, tmp_path)
    assert partial.table.equals(whole.table) and partial.no_training == ""
    assert "1 of" in check_dataset(partial).errors[0]


@pytest.mark.usefixtures("tiny_network")
def test_evaluate_gives_the_same_scores_and_train_says_what_is_missing(own_toy: Toy, tmp_path: Path) -> None:
    place = Place(own_toy, tmp_path / "runs")
    place.train("--recipe", "pgan", "--set", "vehicles_per_batch=3")
    whole = place("evaluate", "--json")
    shutil.rmtree(tmp_path / "runs/folder/pgan/test")
    without_training_images(own_toy.dataset)
    copy = place("evaluate", "--json")
    assert whole.exit_code == copy.exit_code == 0, copy.output
    scores, scores_of_copy = (json.loads(result.stdout) for result in (whole, copy))
    assert scores["scores"] == scores_of_copy["scores"]
    (tmp_path / "runs/folder/parts.h5").unlink()
    result = place("train", "--recipe", "pgan")
    missing = "nothing to train on, only to evaluate: none of the 12 training images exists, first images/00-0.jpg"
    assert_error(result, 1, f"{own_toy.dataset.root}: {missing}")


def test_the_command_check_ends_with_0(tmp_path: Path, make_pictures: MakePictures) -> None:
    without_training_list(written(tmp_path, "veri", make_pictures))
    result = CliRunner().invoke(main, ["check", "--dataset", "veri", "--data-root", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "no train list (name_train.txt): evaluation only" in result.stdout
