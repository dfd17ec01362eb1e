"""Details of images: rows of text that go where their images go."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import random_entries
from helpers.places.stored import named
from vehicle_reid.gallery.entries import Entries


def test_details_follow_their_images() -> None:
    entries = named(["a", "b", "c"], vehicle=["7", "", "9"])
    assert entries.columns == ("vehicle",)
    assert entries.take(np.array([2, 0])[::-1]).details["vehicle"].tolist() == ["7", "9"]
    assert entries.without(["b"]).details["vehicle"].tolist() == ["7", "9"]
    assert [*entries.without(["b"]).details.index] == [0, 1]


def test_missing_columns_become_empty_text() -> None:
    first, second = named(["a", "b"], vehicle=["7", "8"]), named(["c"], colour=["red"])
    second = replace(second, ids=first.ids[-1:] + 1)
    joined = first.followed_by(second)
    assert joined.details.to_dict("list") == {"vehicle": ["7", "8", ""], "colour": ["", "", "red"]}
    without_rows = first.take(np.arange(0)).followed_by(second)
    assert without_rows.details.to_dict("list") == {"vehicle": [""], "colour": ["red"]}
    plain = random_entries(3)
    assert plain.columns == () and len(plain.details) == 3
    later = replace(plain, names=("x", "y", "z"), ids=plain.ids + 100)
    assert plain.followed_by(later).details.shape == (6, 0)
    assert Entries.empty(8, 2).followed_by(plain).details.shape == (3, 0)


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"vehicle": ["a"]}, "details: 1 rows for 2 images"),
        ({"vehicle": ["a", 7]}, "column vehicle: 7 is not text on one line"),
        ({"vehicle": ["a", None]}, "column vehicle: None is not text"),
        ({"vehicle": ["a", "b\nc"]}, "is not text on one line"),
        ({"vehicle": ["a", "\udcff"]}, "is not text on one line"),
        ({"a b": ["a", "b"]}, "column 'a b': use letters, digits and _"),
        ({"_distance": ["a", "b"]}, "column '_distance': use letters"),
        ({3: ["a", "b"]}, "column 3: use letters"),
        ({"Camera": ["a", "b"]}, "column Camera: the gallery has id, name, camera, .* itself"),
        ({"query_index": ["a", "b"]}, "column query_index: the gallery has .* itself"),
        ({"time": ["a", "b"], "Time": ["a", "b"]}, "columns time, Time: two of them"),
    ],
)
def test_invalid_details_are_refused(details: dict[str, list[object]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        replace(random_entries(2), details=pd.DataFrame(details, dtype=object))
