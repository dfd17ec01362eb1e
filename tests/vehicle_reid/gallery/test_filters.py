"""Filters: what the store finds is what a loop over the rows finds, whatever is in the names."""

import string
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_cache.base.errors import UserError
from helpers.places.stored import HOSTILE, NewStores, named
from vehicle_reid.gallery.entries import ENROLLED_BY
from vehicle_reid.gallery.filters import EVERY, Filter, searchable
from vehicle_reid.gallery.store import Store

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
def store(shared_store: NewStores) -> Store:
    """Images with hostile names, and details in columns that SQL would fold or take for a word of its own."""
    times = [TIMES[row % len(TIMES)] for row in range(COUNT)]
    entries = named(NAMES, vehicle=[str(row % 4) for row in range(COUNT)], time=times, Colour=COLOURS, order=COLOURS)
    return shared_store(entries)


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
def test_the_store_finds_what_a_loop_over_the_rows_finds(store: Store, where: Filter) -> None:
    columns = store.read(["id", "name", "camera", *store.header.columns])
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    wanted = [row["id"] for row in rows if meets(row, where)]
    assert store.read(["id"], where)["id"].tolist() == wanted
    assert store.count(where) == len(wanted)


def test_text_is_quoted_and_an_empty_filter_has_no_condition() -> None:
    assert EVERY.sql(()) == "" == Filter(words="").sql(())
    assert Filter(names=("it's", "a\\b")).sql(()) == "name IN ('it''s', 'a\\b')"
    assert (Filter(files=True).sql(()), Filter(files=True).sql([ENROLLED_BY])) == ("", "`enrolled_by` = ''")
    assert Filter(cameras=()).sql(()) == Filter(ids=()).sql(()) == "false"
    assert Filter(since="x' OR '1'='1").sql(()) == "time > '' AND time >= 'x'' OR ''1''=''1'"
    assert Filter(equal={"Colour": "red"}, cameras=(2, 3)).sql(["Colour"]) == "camera IN (2, 3) AND `Colour` = 'red'"


def test_expressions_of_milvus_are_quoted_and_name_ids_of_images_only() -> None:
    assert EVERY.milvus(()) == "id >= 0"
    assert Filter(names=('a"b', "a\\b"), cameras=()).milvus(()) == (
        'id >= 0 AND name IN ["a\\"b", "a\\\\b"] AND id < 0'
    )
    assert Filter(since='" OR id > "').milvus(()) == 'id >= 0 AND time > "" AND time >= "\\" OR id > \\""'
    assert Filter(equal={"Colour": "red", "vehicle": ""}).milvus(["Colour", "vehicle"]) == (
        'id >= 0 AND _details["Colour"] == "red" AND vehicle == ""'
    )
    assert Filter(equal={"Colour": ""}, without=("a",)).milvus(["Colour"]) == (
        'id >= 0 AND NOT (name IN ["a"]) AND NOT (EXISTS _details["Colour"])'
    )


@given(st.text(max_size=6), st.text(max_size=3))
def test_a_searchable_name_has_the_words_of_the_name_and_no_wildcards(name: str, words: str) -> None:
    assert (searchable(words) in searchable(name)) == (words.lower() in name.lower())
    assert not set("%_\\") & {*searchable(name)}


@pytest.mark.parametrize("column", ["colour", "crc", "name", "Colour` = '' OR `Colour", ""])
def test_unknown_columns_are_refused_with_those_that_there_are(store: Store, column: str) -> None:
    with pytest.raises(
        UserError, match=r"^the gallery has no column .*; its details are Colour, order, time, vehicle$"
    ):
        store.count(Filter(equal={column: "a"}))
