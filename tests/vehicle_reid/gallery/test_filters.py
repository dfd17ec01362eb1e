"""Filters: what the store finds is what a loop over the rows finds, whatever is in the names."""

import string
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_cache.base.errors import UserError
from helpers.places.stored import HOSTILE, named, stored
from vehicle_reid.gallery.filters import EVERY, Filter
from vehicle_reid.gallery.lance import LanceStore

TIMES = ("", "2024-05-01", "2024-05-01T10:00", "2024-05-01T10:30:05.5", "2024-05-02", "2023-12-31T23:59")
COUNT = 60
NAMES = [*HOSTILE, *(f"dir/Image {number}.JPG" for number in range(COUNT - len(HOSTILE)))]
COLOURS = [HOSTILE[row % len(HOSTILE)] if row % 3 else "" for row in range(COUNT)]

cameras = st.lists(st.integers(-1, 2), max_size=3).map(tuple)
names = st.lists(st.sampled_from([*NAMES, "absent", "it''s"]), max_size=8).map(tuple)
texts = st.sampled_from(HOSTILE) | st.text(string.printable, max_size=3)
filters = st.builds(
    Filter,
    cameras=st.none() | cameras,
    without_cameras=cameras,
    names=st.none() | names,
    without=names,
    words=st.just("") | st.sampled_from(["image 1", "IMAGE", "'", "\\", "%", "漢", "ß"]) | texts,
    since=st.none() | st.sampled_from(TIMES) | texts,
    until=st.none() | st.sampled_from(TIMES) | texts,
    equal=st.dictionaries(st.sampled_from(["vehicle", "Colour", "order"]), texts | st.just(""), max_size=2),
    ids=st.none() | st.lists(st.integers(-2, COUNT + 2), max_size=20).map(tuple),
    after=st.none() | st.integers(-1, COUNT),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LanceStore:
    """Images with hostile names, and details in columns that SQL would fold or take for a word of its own."""
    times = [TIMES[row % len(TIMES)] for row in range(COUNT)]
    entries = named(NAMES, vehicle=[str(row % 4) for row in range(COUNT)], time=times, Colour=COLOURS, order=COLOURS)
    return stored(tmp_path_factory.mktemp("filters"), entries)


def meets(row: Mapping[str, Any], where: Filter) -> bool:
    """Return whether an image meets all conditions, from their definitions."""
    return (
        (where.cameras is None or row["camera"] in where.cameras)
        and row["camera"] not in where.without_cameras
        and (where.names is None or row["name"] in where.names)
        and row["name"] not in where.without
        and where.words.lower() in row["name"].lower()
        and (where.since is None or (row["time"] != "" and row["time"] >= where.since))
        and (
            where.until is None
            or (row["time"] != "" and (row["time"] <= where.until or row["time"].startswith(where.until)))
        )
        and all(row[column] == value for column, value in where.equal.items())
        and (where.ids is None or row["id"] in where.ids)
        and (where.after is None or row["id"] > where.after)
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=filters)
def test_the_store_finds_what_a_loop_over_the_rows_finds(store: LanceStore, where: Filter) -> None:
    columns = store.read(["id", "name", "camera", *store.header.columns])
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    wanted = [row["id"] for row in rows if meets(row, where)]
    assert store.read(["id"], where)["id"].tolist() == wanted
    assert store.count(where) == len(wanted)


def test_text_is_quoted_and_an_empty_filter_has_no_condition() -> None:
    assert EVERY.sql(()) == "" == Filter(words="").sql(())
    assert Filter(names=("it's", "a\\b")).sql(()) == "name IN ('it''s', 'a\\b')"
    assert Filter(cameras=()).sql(()) == Filter(ids=()).sql(()) == "false"
    assert Filter(since="x' OR '1'='1").sql(()) == "time <> '' AND time >= 'x'' OR ''1''=''1'"
    assert Filter(equal={"Colour": "red"}, cameras=(2, 3)).sql(["Colour"]) == "camera IN (2, 3) AND `Colour` = 'red'"


@pytest.mark.parametrize("column", ["colour", "crc", "name", "Colour` = '' OR `Colour", ""])
def test_unknown_columns_are_refused_with_those_that_there_are(store: LanceStore, column: str) -> None:
    with pytest.raises(
        UserError, match=r"^the gallery has no column .*; its details are Colour, order, time, vehicle$"
    ):
        store.count(Filter(equal={column: "a"}))
