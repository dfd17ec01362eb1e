"""Damage to every kind of file: found and told in one line with the file and the remedy, or at worst another value.

A file with a hash inside is never taken once a byte has changed. A recipe, a log, a list or a JSON file has none: of
such a file a changed digit is another digit, a lost line is a shorter list. The rule for these is: refused in one line,
or read as another valid value; never a traceback.
"""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from helpers.faults.damage import KINDS, Kind, damages

pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")


def laid(kind: Kind, folder: Path, content: bytes) -> None:
    for name, data in {**kind.beside, kind.name: content}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def told(kind: Kind, folder: Path, capsys: pytest.CaptureFixture[str]) -> str | None:
    """Return the one line that a file is refused with, or made again; None where it is read."""
    capsys.readouterr()
    try:
        read = kind.read(folder)
    except UserError as error:
        return str(error)
    return capsys.readouterr().err.rstrip("\n") if read is False else None


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_found_and_told_in_one_line_with_the_remedy(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = KINDS[name]
    whole = kind.whole()
    laid(kind, tmp_path, whole)
    assert told(kind, tmp_path, capsys) is None
    for damage, content in damages(whole, name):
        laid(kind, tmp_path, content)
        line = told(kind, tmp_path, capsys)
        assert (tmp_path / kind.name).read_bytes() == content
        if line is None:
            assert not kind.sealed, damage
        else:
            assert "\n" not in line and kind.remedy in line, (damage, line)
            assert str(tmp_path) in line, (damage, line)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.sealed])
def test_of_a_file_without_a_hash_a_half_is_found_where_it_is_no_file_of_its_kind(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log is whole after every line, and a recipe that says less takes the rest from the defaults."""
    kind = KINDS[name]
    whole = kind.whole()
    for content, read in ((b"", name == "log"), (whole[: len(whole) // 2], name in ("log", "recipe"))):
        laid(kind, tmp_path, content)
        assert (told(kind, tmp_path, capsys) is None) == read, content


def test_a_table_that_lost_its_last_lines_is_found_by_the_mark_of_the_renderer(tmp_path: Path) -> None:
    kind = KINDS["mark of the renderer"]
    laid(kind, tmp_path, kind.whole())
    table = tmp_path / "synthetic" / "images.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(UserError, match=r"images\.csv: 3 images of 4; delete .* and make it again with"):
        kind.read(tmp_path)
