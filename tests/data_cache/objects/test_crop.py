"""The command `crop`: pixels, names and table of crops; resuming; objects that cannot be used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cli import main
from helpers.places.reid import assert_error

Run = Callable[..., Result]
WIDTH, HEIGHT = 60, 40


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Frames whose red is x and whose green is y, so that every pixel tells where it was."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
    for number, name in enumerate(("cam1/0001.png", "cam1/0002.png", "cam2/0001.png")):
        path = tmp_path / "frames" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([x, y, np.full_like(x, number)], axis=2)).save(path)
    return tmp_path / "frames"


@pytest.fixture
def run(tmp_path: Path, frames: Path) -> Run:
    def invoke(*words: str) -> Result:
        shared = ["--images", str(frames), "--output", str(tmp_path / "crops"), "--workers", "0"]
        result = CliRunner().invoke(main, ["crop", *shared, *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(["image,x,y,w,h,vehicle_id,camera_id", *lines]) + "\n")
    return str(path)


def table_of(tmp_path: Path) -> pd.DataFrame:
    return pd.read_csv(tmp_path / "crops/images.csv", dtype=str, keep_default_na=False)


def pixels(tmp_path: Path, name: str) -> np.ndarray:
    with Image.open(tmp_path / "crops" / name) as image:
        return np.asarray(image)


def test_crops_are_the_boxes_of_their_frames_in_the_order_of_the_tables(tmp_path: Path, run: Run) -> None:
    train = write(tmp_path / "train.csv", "cam1/0001,5,6,10,20,v1,north", "cam2/0001,0,0,60,40,v1,south")
    query = write(tmp_path / "query.csv", "cam1/0002.png,3.5,4.2,5.1,6.3,,")
    result = run("--train", train, "--query", query, "--format", "png", "--json")
    assert json.loads(result.stdout)["crops"] == 3
    table = table_of(tmp_path)
    assert table["split"].tolist() == ["train", "train", "query"]
    assert table["row"].tolist() == ["0", "1", "0"] and table["file"].tolist() == [train, train, query]
    assert table["camera_id"].tolist() == ["north", "south", ""] and table["vehicle_id"].tolist() == ["v1", "v1", ""]
    for name, (x0, y0, x1, y1), frame in zip(
        table["name"], [(5, 6, 15, 26), (0, 0, 60, 40), (3, 4, 9, 11)], (0, 2, 1), strict=True
    ):
        y, x = np.mgrid[y0:y1, x0:x1]
        np.testing.assert_array_equal(pixels(tmp_path, name), np.stack([x, y, np.full_like(x, frame)], axis=2))


def test_a_margin_is_a_share_of_the_box_and_ends_at_the_frame(tmp_path: Path, run: Run) -> None:
    run("--table", write(tmp_path / "t.csv", "cam1/0001,5,10,10,20,v,1"), "--margin", "0.6", "--format", "png")
    crop = pixels(tmp_path, table_of(tmp_path)["name"][0])
    assert crop.shape == (40, 21, 3)  # 12 rows above would leave the frame by 2, 12 below by 2; x from -1 to 21
    assert (crop[0, 0, 0], crop[0, 0, 1]) == (0, 0)


def test_the_name_of_a_crop_does_not_depend_on_the_other_objects(tmp_path: Path, run: Run) -> None:
    table = tmp_path / "t.csv"
    run("--table", write(table, "cam1/0001,5,6,10,20,v1,1"))
    first = table_of(tmp_path)["name"][0]
    before = (tmp_path / "crops" / first).stat().st_mtime_ns
    result = run("--table", write(table, "cam2/0001,5,6,10,20,v2,1", "cam1/0001,5,6,10,20,v1,1"), "--json")
    assert json.loads(result.stdout)["written"] == 1
    assert table_of(tmp_path)["name"][1] == first
    assert (tmp_path / "crops" / first).stat().st_mtime_ns == before


def test_images_that_differ_in_their_ending_have_crops_of_their_own(tmp_path: Path, run: Run, frames: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(frames / "cam1/0001.bmp")
    first, second = "cam1/0001.png,5,6,10,20,v1,1", "cam1/0001.bmp,5,6,10,20,v2,1"
    alone = write(tmp_path / "t.csv", first)
    run("--table", alone, "--format", "png")
    assert table_of(tmp_path)["name"].tolist() == ["crops/cam1/0001_5-6-15-26.png"]
    result = run("--table", write(tmp_path / "t.csv", second, first, "cam2/0001.png,5,6,10,20,v1,1"), "--format", "png")
    assert result.exit_code == 0 and "listed again" not in result.stderr
    names = table_of(tmp_path)["name"].tolist()
    assert names == [f"crops/{name}_5-6-15-26.png" for name in ("cam1/0001.bmp", "cam1/0001.png", "cam2/0001")]
    assert (pixels(tmp_path, names[0]) == 9).all() and pixels(tmp_path, names[1])[0, 0].tolist() == [5, 6, 0]


def test_an_object_that_is_listed_again_has_a_crop_of_its_own(tmp_path: Path, run: Run) -> None:
    result = run("--table", write(tmp_path / "t.csv", *["cam1/0001,5,6,10,20,v1,1"] * 2))
    assert "1 objects are listed again, first" in result.stderr and "t.csv, line 3" in result.stderr
    assert table_of(tmp_path)["name"].nunique() == 2


def test_what_cannot_be_used_is_named_and_counted_and_the_rest_is_cut(tmp_path: Path, run: Run, frames: Path) -> None:
    (frames / "broken.png").write_bytes((frames / "cam1/0001.png").read_bytes()[:60])
    lines = [
        "cam1/0001,5,6,10,20,v1,1",
        "nowhere,5,6,10,20,v1,1",
        "cam1/0001,70,6,10,20,v1,1",
        "cam1/0001,50,30,40,40,v1,1",
        "cam1/0001,5,6,0,20,v1,1",
        "cam1/0001,5,six,10,20,v1,1",
        "broken,5,6,10,20,v1,1",
    ]
    table = write(tmp_path / "t.csv", *lines)
    result = run("--table", table)
    assert result.exit_code == 0 and "1 boxes leave their frame and are clipped, first" in result.stderr
    assert table_of(tmp_path)["row"].tolist() == ["0", "3"]
    failed = pd.read_csv(tmp_path / "crops/failed.csv")
    assert failed["row"].tolist() == [1, 2, 4, 5, 6]
    for line, reason in zip((3, 4, 6, 7, 8), failed["reason"], strict=True):
        assert reason.startswith(f"{table}, line {line}: ")
    assert_stopped = run("--table", table, "--max-failed", "4")
    assert assert_stopped.exit_code == 1 and "5 objects failed, more than --max-failed 4" in assert_stopped.stderr
    assert run("--table", table, "--max-failed", "5").exit_code == 0
    run("--table", write(tmp_path / "t.csv", lines[0]))
    assert not (tmp_path / "crops/failed.csv").exists()


def test_crops_of_other_settings_are_kept(tmp_path: Path, run: Run) -> None:
    table = write(tmp_path / "t.csv", "cam1/0001,5,6,10,20,v1,1")
    run("--table", table)
    assert_error(run("--table", table, "--margin", "0.1"), 1, "its crops were cut with", "choose another --output")
    other = shutil.copytree(tmp_path / "frames", tmp_path / "other")
    words = ["--images", str(other), "--table", table, "--output", str(tmp_path / "crops")]
    assert_error(CliRunner().invoke(main, ["crop", *words]), 1, "its crops were cut with", "other")
    path = tmp_path / "crops/crop.json"
    settings = json.loads(path.read_text())
    del settings["images"]  # as before version 0.6
    path.write_text(json.dumps(settings))
    assert run("--table", table).exit_code == 0


def test_tables_of_the_user_are_not_replaced(tmp_path: Path, run: Run, frames: Path) -> None:
    own = write(frames / "images.csv", "cam1/0001,5,6,10,20,v1,1")
    content = Path(own).read_bytes()
    here = ("--output", str(frames))
    assert_error(run("--table", own, *here), 1, "images.csv: is also a table to read", "choose another --output")
    other = write(tmp_path / "t.csv", "cam1/0001,5,6,10,20,v1,1")
    assert_error(run("--table", other, *here), 1, "images.csv: was not written by crop", "choose another --output")
    assert Path(own).read_bytes() == content and not (frames / "crops").exists()
    assert run("--table", other).exit_code == 0
    words = ("--table", str(tmp_path / "crops/images.csv"), "--column", "image=frame")
    assert_error(run(*words), 1, "images.csv: is also a table to read")


def test_wrong_options_and_tables_without_any_use_are_refused(tmp_path: Path, run: Run) -> None:
    table = write(tmp_path / "t.csv", "nowhere,5,6,10,20,v1,1")
    assert_error(run("--table", table), 1, "no object could be cut out", "line 2", "nowhere")
    (tmp_path / "empty.json").write_text(json.dumps({"images": [], "annotations": []}))
    assert_error(run("--table", str(tmp_path / "empty.json")), 1, "no object could be cut out, the tables list none")
    missing = run("--table", str(tmp_path / "nothere.csv"))
    assert_error(missing, 1, "nothere.csv: no such file")
    assert "columns" not in missing.stderr  # those of a data set, not of a table of boxes
    assert_error(run(), 2, "give --table, or some of")
    assert_error(run("--table", table, "--train", table), 2, "give --table, or some of")
    assert_error(run("--table", table, "--column", "colour=red"), 2, "KEY=HEADER")


def test_a_run_without_any_crop_leaves_the_folder_as_it_was(tmp_path: Path, run: Run, frames: Path) -> None:
    table = write(tmp_path / "t.csv", "cam1/0001,5,6,10,20,v1,1", "cam1/0002,70,6,10,20,v1,1")
    (tmp_path / "wrong").mkdir()
    assert_error(run("--table", table, "--images", str(tmp_path / "wrong")), 1, "no object could be cut out")
    assert not [path for path in (tmp_path / "crops").iterdir() if path.name != ".lock"]
    assert run("--table", table).exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "crops").rglob("*") if path.is_file()}
    assert len(before) == 4  # a crop, images.csv, failed.csv, crop.json
    frames.rename(tmp_path / "away")
    frames.mkdir()
    assert_error(run("--table", table), 1, "no object could be cut out")
    assert {path: path.read_bytes() for path in (tmp_path / "crops").rglob("*") if path.is_file()} == before


def test_settings_without_crops_are_those_of_no_crop(tmp_path: Path, run: Run, frames: Path) -> None:
    table = write(tmp_path / "t.csv", "cam1/0001,5,6,10,20,v1,1")
    content = (frames / "cam1/0001.png").read_bytes()
    (frames / "cam1/0001.png").write_bytes(content[:60])  # the header is whole, the pixels are not
    assert_error(run("--table", table), 1, "no object could be cut out")
    (frames / "cam1/0001.png").write_bytes(content)
    assert run("--table", table, "--margin", "0.1").exit_code == 0
    assert json.loads((tmp_path / "crops/crop.json").read_text())["margin"] == 0.1
    assert_error(run("--table", table), 1, "its crops were cut with")


def test_processes_write_the_same(tmp_path: Path, run: Run, frames: Path) -> None:
    table = write(tmp_path / "t.csv", "cam1/0001,5,6,10,20,v1,1", "cam2/0001,5,6,10,20,v1,2")
    run("--table", table)
    names = table_of(tmp_path)["name"].tolist()
    other = ["--output", str(tmp_path / "other"), "--workers", "2"]
    assert run("--table", table, *other).exit_code == 0
    for name in names:
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "crops" / name).read_bytes()
