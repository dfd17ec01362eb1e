"""The written data set: whole, the same whatever the workers, kept when finished, guarded when different."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import data_cache.synthetic.dataset.writing
from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.images.loading import load_image
from data_cache.parts.names import PART_NAMES
from data_cache.synthetic import LAYOUTS, SyntheticSettings, write_preview, write_synthetic
from helpers.paths import ROOT

SMALL = SyntheticSettings(
    vehicles=6, fleet_size=2, cameras=4, cameras_per_vehicle=2, images_per_camera=1, image_size=90, seed=1
)


def _contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.*"))}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(SMALL, tmp_path_factory.mktemp("data") / "synthetic", workers=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_matter(written: Path, tmp_path: Path, workers: int) -> None:
    again = write_synthetic(SMALL, tmp_path / "synthetic", workers=workers)
    assert _contents(again) == _contents(written)


def test_table_and_boxes_describe_the_pictures(written: Path) -> None:
    with (written / "images.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "vehicle_id", "camera_id", "split", "body", "colour", "fleet"]
    assert {row["name"] for row in rows} == {f"images/{path.name}" for path in (written / "images").iterdir()}
    for part, splits in (("train", {"train"}), ("test", {"query", "gallery"})):
        content = json.loads((written / f"parts_{part}.json").read_text())
        assert [(c["id"], c["name"]) for c in content["categories"]] == list(enumerate(PART_NAMES, 1))
        told = {image["file_name"]: image for image in content["images"]}
        assert set(told) == {row["name"] for row in rows if row["split"] in splits}
        for row in rows:
            if row["name"] in told:
                height, width, _ = load_image(written / row["name"]).shape
                image = told[row["name"]]
                assert (image["width"], image["height"]) == (width, height)
                assert image["vehicle_id"] == int(row["vehicle_id"])
        sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
        for annotation in content["annotations"]:
            x, y, width, height = annotation["bbox"]
            assert x >= 0 and y >= 0 and annotation["area"] == width * height > 0
            assert x + width <= sizes[annotation["image_id"]][0] and y + height <= sizes[annotation["image_id"]][1]
            assert 1 <= annotation["category_id"] <= len(PART_NAMES)


def test_the_data_set_can_be_loaded(written: Path) -> None:
    table = load_dataset("synthetic", written.parent).table
    assert {"name", "vehicle_id", "camera_id", "split"} <= set(table.columns)
    assert len(table) == len(list((written / "images").iterdir()))


def test_a_finished_set_is_kept(written: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*.jpg")}
    write_synthetic(SMALL, written, workers=0)
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*.jpg")} == before


def test_a_finished_set_of_other_settings_is_refused(written: Path) -> None:
    with pytest.raises(UserError, match=r"seed 1 \(asked for: 2\).*choose another --data-root"):
        write_synthetic(replace(SMALL, seed=2), written, workers=0)


def test_a_foreign_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text("[]")
    with pytest.raises(UserError, match="not the mark of a synthetic data set"):
        write_synthetic(SMALL, tmp_path, workers=0)


def test_a_set_of_another_layout_is_refused(written: Path) -> None:
    with pytest.raises(UserError, match=r"layout synthetic \(asked for: veri\)"):
        write_synthetic(SMALL, written, workers=0, layout=LAYOUTS["veri"])


def test_a_mark_from_before_there_were_layouts_is_kept(written: Path, tmp_path: Path) -> None:
    mark = json.loads((written / "synthetic.json").read_text())
    del mark["layout"]
    (tmp_path / "synthetic.json").write_text(json.dumps(mark))
    assert write_synthetic(SMALL, tmp_path, workers=0) == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic.json"]


def test_an_unfinished_set_is_made_whole(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "synthetic"
    with monkeypatch.context() as patch, pytest.raises(UserError, match="disk full"):
        patch.setattr(data_cache.synthetic.dataset.writing, "_write_table", _fail)
        write_synthetic(SMALL, root, workers=0)
    assert list(tmp_path.iterdir()) == []
    write_synthetic(SMALL, root, workers=0)
    assert _contents(root) == _contents(written)


def test_the_processes_of_a_killed_run_end_with_it(written: Path, tmp_path: Path) -> None:
    root = tmp_path / "synthetic"
    words = ["synth", "--data-root", str(tmp_path), "--vehicles", "300", "--image-size", "48", "--workers", "2"]
    run = subprocess.Popen([sys.executable, "-m", "cli", *words], cwd=ROOT, stdout=subprocess.PIPE)
    while not list(tmp_path.rglob("*.jpg")):
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.communicate(timeout=60)  # the pipe is at its end when the last process that could write there has ended
    assert not root.exists()
    write_synthetic(SMALL, root, workers=0)
    assert _contents(root) == _contents(written)
    assert list(tmp_path.iterdir()) == [root]


KILLED, STOPPED = "a process that renders has ended; .* fewer --workers", r"stopped .* \(SIGTERM\); nothing is left"


@pytest.mark.parametrize(
    ("worker", "leader", "words"), [(True, False, KILLED), (False, True, STOPPED), (True, True, STOPPED)]
)
def test_a_killed_process_and_sigterm_end_the_run_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: bool, leader: bool, words: str
) -> None:
    def killing(items: Iterable[object], *_: object) -> Iterator[object]:
        for item in items:
            for child in multiprocessing.active_children() if worker else ():
                child.kill()
            if leader:
                os.kill(os.getpid(), signal.SIGTERM)
            yield item

    told: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(data_cache.synthetic.dataset.writing, "track", killing)
        patch.setattr(threading, "excepthook", told.append)
        with pytest.raises(UserError, match=words):
            write_synthetic(replace(SMALL, vehicles=40), tmp_path / "synthetic", workers=1)
    assert not [*tmp_path.iterdir()] and not multiprocessing.active_children() and not told


def test_what_a_run_left_that_was_killed_at_its_end_is_removed(written: Path) -> None:
    left = written.parent / ".synthetic.unfinished"
    (left / "tree-1").mkdir(parents=True)
    write_synthetic(SMALL, written, workers=0)
    assert not left.exists()


def _fail(*_: object) -> None:
    raise UserError("disk full")


@pytest.mark.parametrize("name", ["images/0001_c01_01.jpg", "images.csv"])
def test_what_is_not_ours_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"real")
    with pytest.raises(UserError, match="neither empty nor a finished synthetic data set"):
        write_synthetic(SMALL, tmp_path, workers=0)
    assert [path.read_bytes() for path in tmp_path.rglob("*.*")] == [b"real"]


@pytest.mark.parametrize(
    ("layout", "theirs"),
    [("vehicleid", "PKU-VehicleID"), ("veriwild", "VERI-WILD"), ("veri", "veri"), ("vric", "vric")],
)
def test_a_folder_that_would_be_hidden_is_refused(tmp_path: Path, layout: str, theirs: str) -> None:
    (tmp_path / theirs).mkdir()
    chosen = LAYOUTS[layout]
    with pytest.raises(UserError, match=f"{theirs}: is taken for the data set {layout} too"):
        write_synthetic(SMALL, tmp_path / chosen.folders[0], workers=0, layout=chosen)
    assert [path.name for path in tmp_path.iterdir()] == [theirs]


def test_preview(written: Path, tmp_path: Path) -> None:
    sheet = load_image(write_preview(written, tmp_path / "sheet.png", fleets=1))
    assert sheet.shape[0] > 400 and sheet.shape[1] > 700
    assert sheet.std() > 20


def test_preview_without_its_list(written: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(written, tmp_path / "copy"))
    (root / "images.csv").unlink()
    with pytest.raises(UserError, match=r"images\.csv: list file cannot be read"):
        write_preview(root, tmp_path / "sheet.png")


def test_preview_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished synthetic data set"):
        write_preview(tmp_path, tmp_path / "sheet.png")
