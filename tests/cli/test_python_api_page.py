"""The page on the Python API: its example runs as printed, and its tables and numbers are those of the code."""

import re
import shutil
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.places.api import make_toy_run, small_networks
from vehicle_reid.gallery.gallery import MOST_IN_MEMORY, RECALL_QUERIES
from vehicle_reid.gallery.lance.store import LanceStore
from vehicle_reid.gallery.milvus.server import CONNECT_SECONDS, MOST_BYTES, SECONDS
from vehicle_reid.gallery.milvus.store import BREADTH, GRAPH, LEAST_BREADTH, SPARE
from vehicle_reid.gallery.store import INDEXED_FROM
from vehicle_reid.tables import ENTRY_COLUMNS, MATCHES_COLUMNS, PARTS_COLUMNS

PAGE = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    with small_networks():
        run = make_toy_run(tmp_path / "toy")
        shutil.copytree(run.runs / "detector", tmp_path / "runs" / "detector")
        shutil.copytree(run.folder, tmp_path / "runs" / "veri" / "pgan")
        (tmp_path / "photos").mkdir()
        for path, name in zip(run.photos(), ("car.jpg", "photos/a.jpg", "photos/b.jpg", "photos/c.jpg"), strict=False):
            shutil.copy(path, tmp_path / name)
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        exec(example, {})
    matches = re.findall(r"^(\d)\. (\S+) .*camera (\S+), weighs most: ", capsys.readouterr().out, flags=re.MULTILINE)
    assert [rank for rank, *_ in matches] == ["1", "2"]
    assert {tuple(rest) for _, *rest in matches} == {("b.jpg", "2"), ("c.jpg", "-1")}
    assert LanceStore.open(str(tmp_path / "cars"), None).check() == 3


def test_the_page_has_the_columns_and_numbers_of_the_code() -> None:
    rows = {line.split("|")[1].strip(): line for line in PAGE.splitlines() if line.startswith("| `")}
    for call, columns in (
        ("parts", PARTS_COLUMNS),
        ("embed", (*ENTRY_COLUMNS, "feature")),
        ("compare", MATCHES_COLUMNS),
    ):
        (row,) = (line for name, line in rows.items() if name.startswith(f"`{call}("))
        listed = re.sub(r" \([^)]*\)[^,|]*", "", row.split("|")[3])
        assert listed.strip().split(", ") == list(columns)
    assert f"with {RECALL_QUERIES} of the gallery's own images" in PAGE
    assert f"fewer than {INDEXED_FROM:,} images" in PAGE and f"up to {MOST_IN_MEMORY >> 30} GiB" in PAGE
    assert "HNSW (M {M}, efConstruction {efConstruction}, ".format(**GRAPH["params"]) in PAGE
    assert f"ef {BREADTH} (k + {SPARE}) but at least {LEAST_BREADTH})" in PAGE and f"{MOST_BYTES:,} bytes" in PAGE
    assert f"has {SECONDS / 60:.0f} minutes, connecting {CONNECT_SECONDS:.0f} seconds" in PAGE
