"""The command `crop` out of videos: the right frames, resuming, and what cannot be used."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cli import main
from data_cache.base.errors import UserError
from data_cache.objects.video import video_frames, video_size
from helpers.places.reid import assert_error
from helpers.videos import FRAMES, HEIGHT, WIDTH, cut_off, number_shown, write_video

Run = Callable[..., Result]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A folder with two clips; that in `south` shows what follows in the other one."""
    write_video(tmp_path / "videos/north.mp4")
    write_video(tmp_path / "videos/south/clip.mkv", first=1)
    return tmp_path / "videos"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*words: str) -> Result:
        shared = ["--images", str(tmp_path / "videos"), "--output", str(tmp_path / "crops"), "--workers", "0"]
        result = CliRunner().invoke(main, ["crop", *shared, *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def write(path: Path, *lines: str, header: str = "video,frame_id,x,y,w,h,vehicle_id") -> str:
    path.write_text("\n".join([header, *lines]) + "\n")
    return str(path)


def table_of(tmp_path: Path) -> pd.DataFrame:
    return pd.read_csv(tmp_path / "crops/images.csv", dtype=str, keep_default_na=False)


def numbers_shown(tmp_path: Path) -> list[int]:
    return [number_shown(tmp_path / "crops" / name) for name in table_of(tmp_path)["name"]]


def test_crops_are_of_the_frames_that_a_table_numbers(tmp_path: Path, run: Run, videos: Path) -> None:
    lines = ["north.mp4,29,0,0,20,20,a", "north,0,4,4,20,20,a", "NORTH.MP4,12,0,0,64,48,b", "clip,29,1,2,30,40,b",
             "south/clip.mkv,0,1,2,30,40,", "north.mp4,12,8,8,16,16,c", "north.mp4,11.0,8,8,16,16,c"]  # fmt: skip
    table = write(tmp_path / "t.csv", *lines)
    result = run("--table", table, "--json")
    assert json.loads(result.stdout)["written"] == 7 and "7 objects, frame from frame_id" in result.stderr
    assert "3 videos are named otherwise, first north: read as north.mp4" in result.stderr
    assert numbers_shown(tmp_path) == [29, 0, 12, 30, 1, 12, 11]
    found = table_of(tmp_path)
    assert found["frame"].tolist()[:4] == ["north.mp4#29", "north.mp4#0", "north.mp4#12", "south/clip.mkv#29"]
    assert found["name"][0] == "crops/north.mp4/000029_0-0-20-20.jpg"
    assert found["name"][4] == "crops/south/clip.mkv/000000_1-2-31-42.jpg"
    assert found["vehicle_id"].tolist() == ["a", "a", "b", "b", "", "c", "c"]
    assert not (tmp_path / "crops/failed.csv").exists()


def test_frames_may_count_from_1_and_have_any_header(tmp_path: Path, run: Run, videos: Path) -> None:
    table = write(tmp_path / "t.csv", "1,north,0,0,20,20", "30,north,0,0,20,20", "0,north,0,0,20,20",
                  header="image,recording,x,y,w,h")  # fmt: skip
    words = ("--column", "video=recording", "--column", "frame=image")
    assert run("--table", table, "--first-frame", "1", *words).exit_code == 0
    assert numbers_shown(tmp_path) == [0, 29] and table_of(tmp_path)["frame"].tolist() == [
        "north.mp4#0",
        "north.mp4#29",
    ]
    failed = pd.read_csv(tmp_path / "crops/failed.csv")
    assert "line 4: the frame '0' is not a whole number from 1" in failed["reason"][0]


def test_the_table_that_crop_wrote_names_the_same_frames(tmp_path: Path, run: Run, videos: Path) -> None:
    run("--table", write(tmp_path / "t.csv", "clip,3,0,0,20,20,a", "north,4,0,0,20,20,a"))
    before = table_of(tmp_path)
    table = ("--table", str(tmp_path / "crops/images.csv"), "--column", "image=frame")
    assert run(*table, "--output", str(tmp_path / "again")).exit_code == 0
    again = pd.read_csv(tmp_path / "again/images.csv", dtype=str, keep_default_na=False)
    assert again[["name", "frame"]].equals(before[["name", "frame"]])


def test_what_cannot_be_cut_fails_alone(tmp_path: Path, run: Run, videos: Path) -> None:
    (videos / "empty.avi").write_bytes(b"")
    (videos / "notes.txt").write_text("no video")
    cut_off(write_video(videos / "cut.mp4"))
    reasons = {
        "north,0,0,0,20,20,a": "",
        f"north,{FRAMES},0,0,20,20,a": f"north.mp4: ends before frame {FRAMES}, counted from 0",
        "north,99999999999,0,0,20,20,a": "the frame '99999999999' is not a whole number from 0",
        "north,1.5,0,0,20,20,a": "the frame '1.5' is not a whole number from 0",
        "north,,0,0,20,20,a": "the frame '' is not a whole number from 0",
        ",1,0,0,20,20,a": "names no video",
        "west,1,0,0,20,20,a": "'west' is missing below",
        "empty.avi,1,0,0,20,20,a": "empty.avi: cannot be read as a video",
        "notes.txt,1,0,0,20,20,a": "notes.txt: not a video",
        "north,1,63,0,20,20,a": "less than 4 pixels a side",
        "cut,2,0,0,20,20,a": "",
        "cut,28,0,0,20,20,a": "cut.mp4: cannot be read as a video",
        "north,29,0,0,20,20,a": "",
    }
    result = run("--table", write(tmp_path / "t.csv", *reasons), "--json")
    summary = json.loads(result.stdout)
    assert (summary["crops"], summary["written"], summary["failures"]) == (3, 3, 10)
    assert numbers_shown(tmp_path) == [0, 2, 29]
    failed = pd.read_csv(tmp_path / "crops/failed.csv").set_index("row")["reason"]
    for row, reason in enumerate(reasons.values()):
        assert (row in failed.index) == bool(reason)
        assert not reason or (f"t.csv, line {row + 2}: " in failed[row] and reason in failed[row])


def test_a_video_needs_the_number_of_a_frame(tmp_path: Path, run: Run, videos: Path) -> None:
    table = write(tmp_path / "t.csv", "north.mp4,0,0,20,20", "north.mp4#3,0,0,20,20", header="image,x,y,w,h")
    assert run("--table", table).exit_code == 0
    assert numbers_shown(tmp_path) == [3]
    assert "north.mp4 is a video: name a frame" in pd.read_csv(tmp_path / "crops/failed.csv")["reason"][0]


def test_frames_beside_their_video_keep_their_own_crops(tmp_path: Path, run: Run, videos: Path) -> None:
    (videos / "north").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT), (240, 0, 0)).save(videos / "north/000003.png")
    table = write(tmp_path / "t.csv", "north/000003,0,0,20,20", "north.mp4#3,0,0,20,20", header="image,x,y,w,h")
    assert "listed again" not in run("--table", table).stderr
    assert numbers_shown(tmp_path) == [30, 3]


def test_a_second_run_cuts_what_is_missing(
    tmp_path: Path, run: Run, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write(
        tmp_path / "t.csv", *(f"{clip},{number},0,0,20,20,a" for clip in ("north", "clip") for number in (1, 5, 9))
    )
    run("--table", table)
    names = table_of(tmp_path)["name"].tolist()
    paths = [tmp_path / "crops" / name for name in names]
    contents = [path.read_bytes() for path in paths]
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    paths[1].unlink()
    decoded: list[tuple[str, list[int]]] = []

    def noted(path: Path, numbers: list[int]) -> object:
        decoded.append((path.name, numbers))
        return video_frames(path, numbers)

    monkeypatch.setattr("data_cache.objects.cropping.video_frames", noted)
    assert json.loads(run("--table", table, "--json").stdout)["written"] == 1
    assert decoded == [("north.mp4", [5])]
    assert [path.read_bytes() for path in paths] == contents and table_of(tmp_path)["name"].tolist() == names
    assert [path.stat().st_mtime_ns == 10**18 for path in paths] == [True, False, True, True, True, True]
    assert json.loads(run("--table", table, "--json").stdout)["written"] == 0 and len(decoded) == 1


def test_processes_write_the_same(tmp_path: Path, run: Run, videos: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT), (80, 0, 0)).save(videos / "0001.png")
    images = ["north.mp4#3", "south/clip.mkv#4", "0001", "north.mp4#20"]
    table = write(tmp_path / "t.csv", *(f"{image},5,6,10,20" for image in images), header="image,x,y,w,h")
    run("--table", table)
    assert numbers_shown(tmp_path) == [3, 5, 10, 20]
    assert run("--table", table, "--output", str(tmp_path / "other"), "--workers", "2").exit_code == 0
    for name in table_of(tmp_path)["name"]:
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "crops" / name).read_bytes()


@pytest.mark.parametrize("text", ["clip.txt", "gt.txt"])
def test_mot_text_counts_the_frames_of_its_video_from_1(tmp_path: Path, run: Run, videos: Path, text: str) -> None:
    if text == "gt.txt":  # of no name: the only video
        (videos / "north.mp4").unlink()
    (tmp_path / text).write_text(
        "1,7,1,1,20,20,1\n30,7,1,1,20,20,1\n30,-1,5,5,20,20,1\n0,7,1,1,20,20,1\n31,7,1,1,9,9,1\n"
    )
    assert run("--table", str(tmp_path / text)).exit_code == 0
    assert numbers_shown(tmp_path) == [1, 30, 30]
    found = table_of(tmp_path)
    assert found["frame"].tolist() == [f"south/clip.mkv#{number}" for number in (0, 29, 29)]
    assert found["vehicle_id"].tolist() == ["7", "7", ""]
    failed = pd.read_csv(tmp_path / "crops/failed.csv")["reason"]
    assert "the frame 0 is not a whole number from 1" in failed[0] and f"ends before frame {FRAMES}" in failed[1]


def test_mot_text_prefers_numbered_images_and_guesses_no_video(tmp_path: Path, run: Run, videos: Path) -> None:
    (tmp_path / "gt.txt").write_text("1,7,1,1,20,20,1\n")
    table = ("--table", str(tmp_path / "gt.txt"))
    assert_error(run(*table), 1, "of 2 videos 2 could be that of", "gt.txt; name its video gt.mp4")
    Image.new("RGB", (WIDTH, HEIGHT), (80, 0, 0)).save(videos / "000001.png")
    assert run(*table).exit_code == 0 and numbers_shown(tmp_path) == [10]


def test_without_pyav_the_remedy_is_named(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/north.mp4").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "av", None)
    table = write(tmp_path / "t.csv", "north,0,0,0,20,20,a")
    assert_error(run("--table", table), 1, "north.mp4: videos need PyAV; for videos install", "[video]")
    with pytest.raises(UserError, match="videos need PyAV"):
        video_size(tmp_path / "videos/north.mp4")
