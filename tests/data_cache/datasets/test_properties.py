"""Properties of names, lists, CSV files and messages for any text."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cache.base.errors import UserError, printable, short_repr
from data_cache.datasets.csv_file import read_csv
from data_cache.datasets.lists import CONTROL, read_entries, require_plain_name
from data_cache.images.loading import ImageError, path_inside
from helpers.toy.lists import FORMS

ROOT = Path("/nowhere/set")
STEPS = st.sampled_from(["..", ".", "", "a", "ü", "~", "C:", "\\", "\0", "\n", "\x1b[", "\u2028", "\ud800", "x" * 200])
NAMES = st.one_of(st.text(), st.lists(STEPS, max_size=5).map("/".join), st.lists(STEPS, max_size=3).map("".join))
# no blanks, line ends, surrogates or BOM
FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\r\n\ufeff"), min_size=1, max_size=8)
PLAIN = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\\/"), min_size=1, max_size=9
)


@given(NAMES)
def test_accepted_name_is_below_the_folder(name: str) -> None:
    try:
        require_plain_name(name, "list.txt")
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 200
    else:
        path = path_inside(ROOT, name)
        assert path == ROOT / name and path.resolve().is_relative_to(ROOT)
        assert not CONTROL.search(name) and str(path.relative_to(ROOT)) == name  # each image has one name


@given(NAMES)
def test_no_path_leads_out_of_the_root(name: str) -> None:
    try:
        path = path_inside(ROOT, name)
    except ImageError:
        return
    assert path.resolve().is_relative_to(ROOT)


@given(st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=5), st.sampled_from(sorted(FORMS)))
def test_list_round_trip_in_every_format(lines: list[list[str]], form: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "list.txt"
        path.write_bytes(FORMS[form]([" ".join(fields) for fields in lines]))
        assert [entry.fields for entry in read_entries(path)] == lines


@given(
    st.lists(
        st.tuples(PLAIN, PLAIN, st.integers(-1, 99) | st.none(), st.text("ab,\"'\n ", max_size=5)),
        min_size=1,
        max_size=5,
    )
)
def test_csv_round_trip(rows: list[tuple[str, str, int | None, str]]) -> None:
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
            with pytest.raises(UserError, match=r"not a relative path|write it without \. and //|is empty"):
                read_csv(path)
            return
        if not all(vehicle.strip() for _, vehicle, *_ in rows):
            with pytest.raises(UserError, match="name or vehicle_id is empty"):
                read_csv(path)
            return
        table = read_csv(path)
    assert list(table["name"]) == [name for name, *_ in rows]
    assert list(table["vehicle_id"]) == [vehicle.strip() for _, vehicle, *_ in rows]
    assert list(table["camera_id"]) == [-1 if camera is None else camera for _, _, camera, _ in rows]
    assert list(table["note"]) == [note for *_, note in rows]


@given(st.text())
def test_messages_are_printable_and_on_one_line(text: str) -> None:
    assert printable(text).isprintable() and printable(printable(text)) == printable(text)
    assert short_repr(text).isprintable() and len(short_repr(text)) <= 80
    assert text.isprintable() == (printable(text) == text)
