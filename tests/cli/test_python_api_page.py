"""The page on the Python API: its example runs as it stands, and its tables tell what is so."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_cache.base.tensors import load_tensors
from helpers.paths import ROOT
from helpers.places.api import Place, make_place, small_networks
from vehicle_reid.gallery.approximate import OUTGROWN, TARGET, TARGET_K
from vehicle_reid.gallery.search import TESTED
from vehicle_reid.tables import MATCHES_COLUMNS, OF_AN_ENTRY, PARTS_COLUMNS

PAGE = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with small_networks():
        yield make_place(tmp_path / "place")


def test_the_example_runs(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    shutil.copytree(place.runs / "detector", tmp_path / "runs" / "detector")
    shutil.copytree(place.run, tmp_path / "runs" / "veri" / "pgan")
    pictures = iter(sorted(place.root.glob("images/*.jpg")))
    (tmp_path / "photos").mkdir()
    for name in ("car.jpg", "photos/a.jpg", "photos/b.jpg", "photos/c.jpg"):
        shutil.copy(next(pictures), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(block, {})
    told = capsys.readouterr().out
    assert re.findall(r"^(\d)\. (\S+) .*camera (\S+), weighs most: ", told, flags=re.MULTILINE) in (
        [("1", "b.jpg", "2"), ("2", "c.jpg", "-1")],
        [("1", "c.jpg", "-1"), ("2", "b.jpg", "2")],
    )
    tensors, contents, _ = load_tensors(tmp_path / "photos.safetensors", "")
    assert {"kind", "schema", "model", "index"} == set(contents)
    named = re.findall(r"^\| (`\w+`(?:, `\w+`)?) \| .*(?:int|float)", PAGE.partition("## The file")[2], re.MULTILINE)
    assert {name.strip("`") for entry in named for name in entry.split(", ")} == set(tensors)


def test_the_page_names_the_columns_and_the_numbers() -> None:
    rows = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| `")}
    for call, columns in (("parts", PARTS_COLUMNS), ("embed", (*OF_AN_ENTRY, "feature")), ("compare", MATCHES_COLUMNS)):
        (row,) = (line for name, line in rows.items() if name.startswith(f"`{call}("))
        told = re.sub(r" \([^)]*\)[^,|]*", "", row.split("|")[3])
        assert told.strip().split(", ") == list(columns)
    numbers = {4: "four"}
    assert f"{TARGET:.0%} of the exact best ten".replace("%", " %") in PAGE and TARGET_K == 10
    assert f"with {TESTED} of the gallery's own images" in PAGE
    assert f"when that is {numbers[OUTGROWN]} times as large" in PAGE
