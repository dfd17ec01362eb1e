"""The command `table`: what names say, and how vehicles are divided."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cli import main
from data_cache.commands.table import LAYOUT_NAMES
from data_cache.datasets.catalogue import load_dataset
from data_cache.objects.names import LAYOUTS
from helpers.places.reid import assert_error

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def invoke(*words: str) -> Result:
        result = CliRunner().invoke(main, ["table", "--images", str(tmp_path), *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)


def test_the_command_knows_every_layout() -> None:
    assert set(LAYOUT_NAMES) == set(LAYOUTS)


@pytest.mark.parametrize(
    ("layout", "name", "wanted"),
    [
        ("roundabouthd", "RoundaboutHD_Reid_subset/a/0031_cam02_001234.jpg", ("0031", "02", "001234", "")),
        ("carla", "image_query/20220711212617_24_9.jpg", ("9", "24", "20220711212617", "query")),
        ("carla", "20220711212617_24_9.jpg", ("9", "24", "20220711212617", "")),
        ("market", "0002_c002_00030600_0.jpg", ("0002", "2", "00030600", "")),
        ("market", "0002_c1s1_000451_03.jpg", ("0002", "1", "000451", "")),
    ],
)
def test_ready_patterns_read_published_names(layout: str, name: str, wanted: tuple[str, ...]) -> None:
    import re

    match = re.search(LAYOUTS[layout], name)
    assert match is not None
    found = match.groupdict()
    assert tuple(found.get(group) or "" for group in ("vehicle", "camera", "time", "split")) == wanted


def test_vehicles_are_divided_and_the_test_is_across_cameras(tmp_path: Path, run: Run) -> None:
    names = [
        f"{vehicle:02d}_c{camera}_{image}.png" for vehicle in range(20) for camera in (1, 2, 3) for image in range(2)
    ]
    write(tmp_path, *names, "90_c1_0.png", "90_c1_1.png", "readme.png")
    pattern = ("--pattern", r"(?P<vehicle>\d+)_c(?P<camera>\d)_")
    summary = json.loads(run(*pattern, "--test-share", "0.4", "--json").stdout)
    assert (summary["images"], summary["left_out"]) == (122, 1)
    table = load_dataset("folder", tmp_path).table
    splits, queries = defaultdict(set), defaultdict(list)
    for vehicle, camera, split in table[["vehicle_id", "camera_id", "split"]].itertuples(index=False):
        splits[vehicle].add(split)
        if split == "query":
            queries[vehicle].append(camera)
    tested = {vehicle for vehicle, found in splits.items() if "train" not in found}
    assert len(tested) == 8 and all(found == {"train"} for vehicle, found in splits.items() if vehicle not in tested)
    for vehicle in tested - {"90"}:
        assert sorted(queries[vehicle]) == [1, 2, 3]
    assert "90" not in queries  # one camera: nothing to find across cameras
    again = (tmp_path / "images.csv").read_bytes()
    run(*pattern, "--test-share", "0.4")
    assert (tmp_path / "images.csv").read_bytes() == again
    run(*pattern, "--test-share", "0.4", "--seed", "1", "--output", str(tmp_path / "images.csv"))
    assert (tmp_path / "images.csv").read_bytes() != again


def test_a_table_of_the_user_is_replaced_only_if_output_names_it(tmp_path: Path, run: Run) -> None:
    write(tmp_path, *[f"{vehicle}-{image}.png" for vehicle in range(4) for image in range(3)])
    path, pattern = tmp_path / "images.csv", ("--pattern", r"(?P<vehicle>\d)-", "--test-share", "0.5")
    path.write_text("name,vehicle_id,camera_id,split\n0-0.png,van,,train\n")
    own = path.read_bytes()
    assert_error(run(*pattern), 1, "images.csv: is there with other content", "--output")
    assert path.read_bytes() == own
    assert run(*pattern, "--output", str(path)).exit_code == 0
    made = path.read_bytes()
    assert made != own and run(*pattern).exit_code == 0
    assert path.read_bytes() == made


def test_without_cameras_the_first_image_of_a_vehicle_is_the_query(tmp_path: Path, run: Run) -> None:
    write(tmp_path, *[f"{vehicle}-{image}.png" for vehicle in range(4) for image in range(3)])
    assert run("--pattern", r"(?P<vehicle>\d)-", "--test-share", "0.5").exit_code == 0
    table = load_dataset("folder", tmp_path).table
    assert sorted(name[1:] for name in table["name"][table["split"] == "query"]) == ["-0.png"] * 2
    assert (table["split"] == "gallery").sum() == 4


def test_where_every_camera_has_one_image_the_last_is_in_the_gallery(tmp_path: Path, run: Run) -> None:
    write(tmp_path, *[f"car_{vehicle}_cam{camera}.png" for vehicle in range(8) for camera in (1, 2)])
    assert run("--pattern", r"car_(?P<vehicle>\d)_cam(?P<camera>\d)", "--test-share", "0.5").exit_code == 0
    table = load_dataset("folder", tmp_path).table
    assert sorted(table["camera_id"][table["split"] == "query"]) == [1] * 4
    assert sorted(table["camera_id"][table["split"] == "gallery"]) == [2] * 4


def test_the_test_of_names_is_the_gallery_and_any_other_split_is_refused(tmp_path: Path, run: Run) -> None:
    write(tmp_path, "image_test/20220711212617_24_9.png", "image_query/20220711212617_25_9.png")
    assert run("--layout", "carla").exit_code == 0
    table = load_dataset("folder", tmp_path).table
    assert table["split"].tolist() == ["query", "gallery"]
    pattern = r"image_(?P<split>\w+)/\d+_\d+_(?P<vehicle>\d+)"
    write(tmp_path, "image_valid/20220711212617_24_8.png")
    assert run("--pattern", pattern, "--output", str(tmp_path / "images.csv")).exit_code == 0
    table = load_dataset("folder", tmp_path).table
    assert table["split"][table["vehicle_id"] == "8"].tolist() == ["train"]  # as `crop` takes it
    write(tmp_path, "image_tset/20220711212617_24_9.png")
    assert_error(run("--pattern", pattern), 1, "finds the split 'tset' there; it must be one of train, val")


def test_distractors_of_market_are_no_vehicle(tmp_path: Path, run: Run) -> None:
    import re

    assert re.search(LAYOUTS["market"], "-1_c1s1_000451_03.jpg") is None


def test_splits_of_names_are_kept(tmp_path: Path, run: Run) -> None:
    kinds = {"train": 3, "query": 1, "gallery": 2}
    for split, count in kinds.items():
        write(tmp_path, *[f"image_{split}/2022071121261{number}_24_{number}.png" for number in range(count)])
    summary = json.loads(run("--layout", "carla", "--output", str(tmp_path / "t.csv"), "--json").stdout)
    assert {split: summary[split] for split in kinds} == kinds


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "one of --pattern and --layout"),
        (("--layout", "carla", "--pattern", "x"), 2, "one of --pattern and --layout"),
        (("--pattern", "("), 1, "not a regular expression"),
        (("--pattern", r"(?P<car>\d)"), 1, "needs (?P<vehicle>...)"),
        (("--pattern", r"(?P<vehicle>x)"), 1, "no image name matches x"),
        (("--pattern", r"(?P<vehicle>\d)"), 1, "cannot be split"),
    ],
)
def test_what_cannot_work_is_one_line(
    tmp_path: Path, run: Run, words: tuple[str, ...], code: int, message: str
) -> None:
    write(tmp_path, "1.png", "2.png")
    assert_error(run(*words), code, message.replace("matches x", "matches (?P<vehicle>x)"))
    assert not (tmp_path / "images.csv").exists()
