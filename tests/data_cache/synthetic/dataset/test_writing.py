"""Writing a data set: complete, independent of the number of workers, never replacing another set."""

import csv
import hashlib
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

from data_cache.base.errors import UserError
from data_cache.base.signals import Terminated, sigterm_raises
from data_cache.images.loading import load_image
from data_cache.parts.names import PART_NAMES
from data_cache.synthetic import LAYOUTS, SyntheticSettings, write_preview, write_synthetic
from data_cache.synthetic.dataset import writing
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
def test_the_number_of_workers_does_not_matter(written: Path, tmp_path: Path, workers: int) -> None:
    again = write_synthetic(SMALL, tmp_path / "synthetic", workers=workers)
    assert _contents(again) == _contents(written)


def test_wide_pictures_do_not_depend_on_the_workers_either(tmp_path: Path) -> None:
    wide = replace(SMALL, vehicles=3, fleet_size=1, variety="wide")
    first, second = (
        write_synthetic(wide, tmp_path / str(workers) / "synthetic", workers=workers) for workers in (0, 1)
    )
    assert _contents(first) == _contents(second)
    mark = json.loads((first / "synthetic.json").read_text())
    assert mark["settings"]["variety"] == "wide" and mark["images"] == len(list((first / "images").iterdir()))


def test_boxes_of_fleets_are_those_of_this_renderer_version(written: Path) -> None:
    boxes = "".join(
        f"{annotation['image_id']} {annotation['category_id']} {annotation['bbox']}\n"
        for part in ("train", "test")
        for annotation in json.loads((written / f"parts_{part}.json").read_text())["annotations"]
    )
    assert hashlib.sha256(boxes.encode()).hexdigest()[:16] == "c80f9f23219f6131", "raise RENDERER_VERSIONS"


def test_csv_and_part_boxes_match_the_images(written: Path) -> None:
    with (written / "images.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "vehicle_id", "camera_id", "split", "body", "colour", "fleet"]
    assert {row["name"] for row in rows} == {f"images/{path.name}" for path in (written / "images").iterdir()}
    for part, splits in (("train", {"train"}), ("test", {"query", "gallery"})):
        content = json.loads((written / f"parts_{part}.json").read_text())
        assert [(c["id"], c["name"]) for c in content["categories"]] == list(enumerate(PART_NAMES, 1))
        vehicle_of = {row["name"]: int(row["vehicle_id"]) for row in rows if row["split"] in splits}
        assert {image["file_name"]: image["vehicle_id"] for image in content["images"]} == vehicle_of
        for image in content["images"]:
            assert load_image(written / image["file_name"]).shape[:2] == (image["height"], image["width"])
        for annotation in content["annotations"]:
            assert annotation["area"] == annotation["bbox"][2] * annotation["bbox"][3] > 0
            assert 1 <= annotation["category_id"] <= len(PART_NAMES)


def test_a_finished_set_is_kept(written: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*.jpg")}
    leftover = written.parent / ".synthetic.unfinished" / "tree-1"
    leftover.mkdir(parents=True)
    write_synthetic(SMALL, written, workers=0)
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*.jpg")} == before
    assert not leftover.parent.exists()


def test_a_finished_set_without_layout_in_its_mark_is_kept(written: Path, tmp_path: Path) -> None:
    mark = json.loads((written / "synthetic.json").read_text())
    del mark["layout"]
    (tmp_path / "synthetic.json").write_text(json.dumps(mark))
    write_synthetic(SMALL, tmp_path, workers=0)
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic.json"]


@pytest.mark.parametrize(
    ("settings", "layout", "message"),
    [
        (replace(SMALL, seed=2), "synthetic", "made with seed = 1, this run needs 2; .* choose another --data-root"),
        (SMALL, "veri", "made with layout = synthetic, this run needs veri"),
    ],
)
def test_another_finished_set_is_refused(written: Path, settings: SyntheticSettings, layout: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_synthetic(settings, written, workers=0, layout=LAYOUTS[layout])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synthetic.json", "damaged, .* choose another --data-root"),
        ("images/0001_c01_01.jpg", "neither empty nor a finished synthetic data set"),
    ],
)
def test_other_files_are_not_replaced(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("[]")
    with pytest.raises(UserError, match=message):
        write_synthetic(SMALL, tmp_path, workers=0)
    assert [path.read_text() for path in tmp_path.rglob("*.*")] == ["[]"]


@pytest.mark.parametrize(
    ("layout", "existing"),
    [
        ("vehicleid", "PKU-VehicleID"),
        ("vehicleid", "vehicleid-v1_0"),
        ("veriwild", "VERI-WILD"),
        ("veri", "veri"),
        ("veri", "VeRi_776"),
        ("vric", "vric"),
    ],
)
def test_a_second_folder_of_a_data_set_is_refused(tmp_path: Path, layout: str, existing: str) -> None:
    (tmp_path / existing).mkdir()
    chosen = LAYOUTS[layout]
    with pytest.raises(UserError, match=f"{existing}: already a folder of data set {layout}"):
        write_synthetic(SMALL, tmp_path / chosen.folders[0], workers=0, layout=chosen)
    assert [path.name for path in tmp_path.iterdir()] == [existing]


def test_workers_of_a_killed_run_exit(written: Path, tmp_path: Path) -> None:
    root = tmp_path / "synthetic"
    options = ["synth", "--data-root", str(tmp_path), "--vehicles", "300", "--image-size", "48", "--workers", "2"]
    run = subprocess.Popen([sys.executable, "-m", "cli", *options], cwd=ROOT, stdout=subprocess.PIPE)
    while not list(tmp_path.rglob("*.jpg")):
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.communicate(timeout=60)  # returns when the last process that holds the pipe has ended
    assert not root.exists()
    write_synthetic(SMALL, root, workers=0)
    assert _contents(root) == _contents(written)
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize(
    ("kill_workers", "terminate", "error", "message"),
    [
        (True, False, UserError, "rendering process was killed.*fewer --workers"),
        (False, True, Terminated, None),
        (True, True, Terminated, None),
    ],
)
def test_a_killed_worker_or_sigterm_ends_the_run_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill_workers: bool,
    terminate: bool,
    error: type[BaseException],
    message: str | None,
) -> None:
    def track(items: Iterable[object], *_: object) -> Iterator[object]:
        for item in items:
            for child in multiprocessing.active_children() if kill_workers else ():
                child.kill()
            if terminate:
                os.kill(os.getpid(), signal.SIGTERM)
            yield item

    errors_in_threads: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(writing, "track", track)
        patch.setattr(threading, "excepthook", errors_in_threads.append)
        with pytest.raises(error, match=message):
            with sigterm_raises():
                write_synthetic(replace(SMALL, vehicles=40), tmp_path / "synthetic", workers=1)
    assert not [*tmp_path.iterdir()] and not multiprocessing.active_children() and not errors_in_threads


def test_preview(written: Path, tmp_path: Path) -> None:
    sheet = load_image(write_preview(written, tmp_path / "sheet.png"))
    assert sheet.shape[0] > 400 and sheet.shape[1] > 700
    assert sheet.std() > 20


def test_preview_needs_a_finished_set(written: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(written, tmp_path / "copy"))
    (root / "images.csv").unlink()
    with pytest.raises(UserError, match=r"images\.csv"):
        write_preview(root, tmp_path / "sheet.png")
    (root / "synthetic.json").unlink()
    with pytest.raises(UserError, match="not a finished synthetic data set"):
        write_preview(root, tmp_path / "sheet.png")
