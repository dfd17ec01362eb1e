"""`Dataset`: validation, paths and protocols."""

from pathlib import Path

import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import COLUMNS, Dataset
from data_cache.datasets.protocols import fixed_split
from data_cache.images.loading import ImageError

ROWS = [
    ("b.jpg", "1", 2, "train"),
    ("a.jpg", "1", 1, "train"),
    ("c.jpg", "2", 1, "query"),
    ("d.jpg", "2", 2, "gallery"),
]


def dataset(rows: list[tuple[str, str, int, str]]) -> Dataset:
    table = pd.DataFrame(rows, columns=COLUMNS)
    return Dataset("toy", Path("root"), table, {"test": fixed_split(table, same_camera_is_junk=True)})


def test_names_are_sorted_and_paths_below_the_root() -> None:
    toy = dataset(ROWS)
    assert toy.names() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert toy.path("a.jpg") == Path("root/a.jpg")
    for name in ("../a.jpg", "/a.jpg"):
        with pytest.raises(ImageError):
            toy.path(name)


def test_duplicate_images_and_unknown_splits_are_refused() -> None:
    with pytest.raises(UserError, match=r"root: 2 images are listed twice, first b\.jpg"):
        dataset([*ROWS, *ROWS[:2]])
    with pytest.raises(UserError, match="unknown split 'Query'; use one of train, query, gallery, test"):
        dataset([*ROWS, ("g.jpg", "3", 1, "Query")])


def test_protocol_by_name() -> None:
    toy = dataset(ROWS)
    assert toy.default_split() == "test"
    assert toy.protocol("test").trials[0].query.tolist() == [2]
    with pytest.raises(UserError, match="unknown split of toy tset; did you mean test"):
        toy.protocol("tset")
    with pytest.raises(UserError, match="nothing to evaluate"):
        Dataset("toy", Path("root"), toy.table, {}).default_split()
