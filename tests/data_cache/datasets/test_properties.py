"""Lists, names and messages, whatever the text: what is taken stays below its folder, what is written is read."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cache.base.errors import UserError, printable, short_repr
from data_cache.base.files import read_json, write_json
from data_cache.datasets.csv_file import read_csv
from data_cache.datasets.lists import CONTROL, list_lines, refuse_strange_name
from data_cache.images.loading import ImageError, path_inside
from data_cache.parts.cache import first_difference
from helpers.toy.lists import FORMS

ROOT = Path("/nowhere/set")
STEPS = st.sampled_from(["..", ".", "", "a", "ü", "~", "C:", "\\", "\0", "\n", "\x1b[", "\u2028", "\ud800", "x" * 200])
NAMES = st.one_of(st.text(), st.lists(STEPS, max_size=5).map("/".join), st.lists(STEPS, max_size=3).map("".join))
# what can stand in a list: no blank, no end of a line, no half character, no BOM in front
FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\r\n\ufeff"), min_size=1, max_size=8)
PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\\/"), min_size=1, max_size=9
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(NAMES)
def test_a_name_that_is_taken_stays_below_the_folder(name: str) -> None:
    try:
        refuse_strange_name(name, "list.txt")
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 200
    else:
        path = path_inside(ROOT, name)
        assert path == ROOT / name and path.resolve().is_relative_to(ROOT)
        assert not CONTROL.search(name) and str(path.relative_to(ROOT)) == name  # one spelling of each image


@given(NAMES)
def test_no_path_leads_out(name: str) -> None:
    try:
        path = path_inside(ROOT, name)
    except ImageError:
        return
    assert path.resolve().is_relative_to(ROOT)


@given(st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=5), st.sampled_from(sorted(FORMS)))
def test_a_list_is_read_as_it_was_written_in_every_form(lines: list[list[str]], form: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(FORMS[form]([" ".join(fields) for fields in lines]))
        assert list_lines(path) == lines


@given(
    st.lists(
        st.tuples(PLAIN, PLAIN, st.integers(-1, 99) | st.none(), st.text("ab,\"'\n ", max_size=5)),
        min_size=1,
        max_size=5,
    )
)
def test_a_csv_is_read_as_it_was_written(rows: list[tuple[str, str, int | None, str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "vehicle_id", "camera_id", "split", "note"])
    writer.writerows(
        [name, vehicle, "" if camera is None else camera, "train", note] for name, vehicle, camera, note in rows
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "images.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        if any(name in (".", "..") for name, *_ in rows):
            with pytest.raises(UserError, match=r"not a relative path|write it without \. and //"):
                read_csv(path)
            return
        table = read_csv(path)
    assert list(table["name"]) == [name for name, *_ in rows]
    assert list(table["vehicle_id"]) == [vehicle for _, vehicle, *_ in rows]
    assert list(table["camera_id"]) == [-1 if camera is None else camera for _, _, camera, _ in rows]
    assert list(table["note"]) == [note for *_, note in rows]


@given(st.text())
def test_a_message_shows_any_text_in_one_line_that_moves_nothing(text: str) -> None:
    assert printable(text).isprintable() and printable(printable(text)) == printable(text)
    assert short_repr(text).isprintable() and len(short_repr(text)) <= 80
    assert text.isprintable() == (printable(text) == text)


@given(JSON)
def test_json_comes_back(value: Any) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "v.json"
        try:
            write_json(path, value)
        except ValueError as error:  # half a surrogate pair has no UTF-8
            assert isinstance(error, UnicodeEncodeError)
            return
        assert read_json(path) == value


def known(value: Any) -> Any:
    """Return a value without what is None in its objects: to be missing is the same."""
    if not isinstance(value, dict):
        return value
    return {key: known(inner) for key, inner in value.items() if inner is not None}


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_a_difference_is_told_if_and_only_if_there_is_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert first_difference(one, dict(reversed(one.items()))) is None
    told, back = first_difference(one, other), first_difference(other, one)
    assert (told is None) == (back is None) == (known(one) == known(other))
    if told is not None and back is not None:
        assert told[0] == back[0] and told[1:] == back[:0:-1]
