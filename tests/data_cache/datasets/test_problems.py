"""Problems in the lists of a data set."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from data_cache.datasets.dataset import COLUMNS, Dataset, unknown_vehicle
from data_cache.datasets.problems import has_match, list_problems
from data_cache.datasets.protocols import fixed_split

Row = tuple[str, str, int, str]
VALID: list[Row] = [
    ("a.jpg", "1", 1, "train"),
    ("b.jpg", "1", 2, "train"),
    ("c.jpg", "2", 1, "query"),
    ("d.jpg", "2", 2, "gallery"),
    ("e.jpg", "2", 1, "gallery"),
    ("f.jpg", "3", 1, "gallery"),
]


def dataset(rows: list[Row], *, same_camera_is_junk: bool = True) -> Dataset:
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Dataset("toy", Path("root"), table, {"test": fixed_split(table, same_camera_is_junk=same_camera_is_junk)})


def errors(rows: list[Row], *, same_camera_is_junk: bool = True) -> list[str]:
    return list(list_problems(dataset(rows, same_camera_is_junk=same_camera_is_junk)).errors)


def test_valid_lists_have_no_problems() -> None:
    problems = list_problems(dataset(VALID))
    assert (problems.shared_vehicles, problems.unmatched_queries) == ((), {})
    assert (problems.errors, problems.warnings) == ((), ())


def test_repeated_entries_are_an_error() -> None:
    repeated = dataclasses.replace(dataset(VALID), repeated=("t.txt, entry 2: a", "t.txt, entry 3: b"))
    assert list_problems(repeated).errors == ("2 images are listed again, first in t.txt, entry 2: a; remove the line",)


def test_a_test_has_a_match_if_any_query_has_one() -> None:
    unknown = [("c.jpg", unknown_vehicle(2), 1, "query"), ("d.jpg", unknown_vehicle(3), 2, "gallery")]
    junk = [("c.jpg", "2", 1, "query"), ("e.jpg", "2", 1, "gallery")]
    assert not has_match(dataset(unknown), "test") and not has_match(dataset(junk), "test")
    assert has_match(dataset([*unknown, ("x.jpg", "2", 1, "query"), ("e.jpg", "2", 2, "gallery")]), "test")
    assert has_match(dataset(junk, same_camera_is_junk=False), "test") and has_match(dataset(VALID), "test")


@pytest.mark.parametrize("split", ["query", "gallery", "test"])
def test_vehicles_in_training_and_test_are_an_error(split: str) -> None:
    problems = list_problems(dataset([*VALID, ("g.jpg", "1", 7, split), ("h.jpg", "1", 8, "gallery")]))
    assert problems.errors == ("1 vehicles are in both train and test, first 1",)
    assert problems.shared_vehicles == ("1",)


def test_image_listed_only_for_its_parts_may_show_a_training_vehicle() -> None:
    assert errors([*VALID, ("g.jpg", "1", 7, "test")]) == []


def test_training_vehicles_with_one_image_are_a_warning() -> None:
    problems = list_problems(dataset([*VALID, ("g.jpg", "8", 1, "train"), ("h.jpg", "9", 1, "train")]))
    vehicles = len({row[1] for row in VALID if row[3] == "train"}) + 2
    assert problems.warnings == (f"train: 2 of {vehicles} vehicles have one image, and no match to learn from",)


@pytest.mark.parametrize("part", ["query", "gallery"])
def test_empty_query_or_gallery_is_an_error(part: str) -> None:
    assert f"test: no {part} images" in errors([row for row in VALID if row[3] != part])


def test_test_without_any_match_is_an_error() -> None:
    rows = [row for row in VALID if row[0] != "d.jpg"]  # the vehicle's other images are by the query's camera
    assert errors(rows) == ["test: 1 of 1 queries have no match, first c.jpg"]
    assert errors(rows, same_camera_is_junk=False) == []


def test_single_queries_without_a_match_are_warnings() -> None:
    rows = [*VALID, ("g.jpg", "3", 1, "query"), ("h.jpg", "4", 1, "query"), ("i.jpg", "3", 2, "query")]  # i has f
    own = list_problems(dataset(rows))
    released = list_problems(dataclasses.replace(dataset(rows), released=True))
    warning = "test: 2 queries have no match and do not count, first g.jpg"
    assert (own.errors, own.warnings) == (released.errors, released.warnings) == ((), (warning,))
    assert own.unmatched_queries == released.unmatched_queries == {"test": ("g.jpg", "h.jpg")}
    without_junk = list_problems(dataset(rows, same_camera_is_junk=False))
    assert without_junk.warnings == ("test: 1 queries have no match and do not count, first h.jpg",)


def test_queries_of_unknown_vehicles_are_a_warning_and_the_others_count() -> None:
    unknown = [("x.jpg", "unknown-9", 1, "query"), ("y.jpg", "unknown-10", 2, "gallery")]
    problems = list_problems(dataset([*VALID, *unknown]))
    assert problems.errors == () and problems.unmatched_queries == {}
    assert problems.warnings == ("test: 1 queries are of unknown vehicles; they can be ranked, but not scored",)
    only_unknown = [row for row in VALID if row[3] == "train"] + unknown
    assert list_problems(dataset(only_unknown)).errors == ()
