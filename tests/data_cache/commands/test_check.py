"""The command `check`: table or JSON, a one-line error, and the exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from helpers.parts import MakePictures
from helpers.toy.lists import VERI, write_lists

IMAGES = {
    "t1.jpg": ("1", 1, "train"),
    "t2.jpg": ("1", 2, "train"),
    "q.jpg": ("2", 1, "query"),
    "g1.jpg": ("2", 2, "gallery"),
    "g2.jpg": ("3", 2, "gallery"),
}
Check = Callable[..., Result]


@pytest.fixture
def check(clean_folder: Path) -> Check:
    """Run `check` in an empty folder, without environment variables."""

    def invoke(*words: str | Path, **variables: str) -> Result:
        return CliRunner().invoke(main, ["check", *map(str, words)], env=variables)

    return invoke


@pytest.fixture
def pictures(tmp_path: Path, make_pictures: MakePictures) -> Path:
    """A folder of pictures with images.csv."""
    root = tmp_path / "data"
    make_pictures(root, list(IMAGES))
    write_table(root, IMAGES)
    return root


def write_table(root: Path, images: dict[str, tuple[str, int, str]]) -> None:
    lines = [f"{name},{vehicle},{camera},{split}" for name, (vehicle, camera, split) in images.items()]
    (root / "images.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *lines]))


def error_line(result: Result) -> str:
    """Return the error of a command that failed with 1; nothing else is on standard error."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("options", [(), ("--strict", "--workers", "0")])
def test_counts_are_shown(check: Check, options: tuple[str, ...]) -> None:
    result = check("--dataset", "folder", *options)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    for part, counts in {"train": (2, 1, 2), "query": (1, 1, 1), "gallery": (2, 2, 1), "all": (5, 3, 2)}.items():
        (row,) = [row for row in rows if part in row]
        assert [word for word in row if word.isdigit()] == [str(count) for count in counts]
    assert "warning" not in result.output and "released" not in result.output


def test_json_is_one_document(check: Check, pictures: Path) -> None:
    result = check("--dataset", "folder", "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert (summary["dataset"], summary["root"], summary["strict"]) == ("folder", "data", False)
    assert {part["name"]: part["found"]["images"] for part in summary["parts"]} == {
        "train": 2, "test query": 1, "test gallery": 2, "all": 5
    }  # fmt: skip
    assert (summary["warnings"], summary["notes"], summary["errors"]) == ([], [], [])
    elsewhere = check("--json", DATASET=str(pictures / "images.csv"), VEHICLE_DATA=str(pictures))
    assert json.loads(elsewhere.stdout)["dataset"] == "images"


def test_errors_follow_the_table(check: Check, pictures: Path) -> None:
    (pictures / "t2.jpg").unlink()
    result = check("--dataset", "folder")
    wanted = "Error: data: 1 error: 1 of 5 images are missing, first t2.jpg; put them below data"
    assert error_line(result) == wanted
    assert "train" in result.stdout
    write_table(pictures, IMAGES | {"g2.jpg": ("1", 2, "gallery"), "g1.jpg": ("2", 1, "gallery")})
    result = check("--dataset", "folder", "--json")
    message = error_line(result)
    assert "3 errors: 1 vehicles are in both train and test, first 1" in message
    assert "1 of 1 queries have no match" in message
    assert len(json.loads(result.stdout)["errors"]) == 3


def test_warnings_and_notes_of_a_benchmark_are_not_errors(
    check: Check, tmp_path: Path, make_pictures: MakePictures
) -> None:
    lists = VERI | {"name_query.txt": [*VERI["name_query.txt"], "0003_c001_00000001_0.jpg"]}
    root = write_lists(tmp_path / "data" / "veri", lists)
    for part in ("train", "query", "test"):
        make_pictures(root, [f"image_{part}/{name}" for name in lists[f"name_{part}.txt"]])
    result = check("--dataset", "veri")
    assert result.exit_code == 0, result.output
    assert "warning: train: 2 images (released lists 37,778, paper 37,778), 1 vehicles" in result.stdout
    assert "test: 1 queries have no match and do not count, first image_query/0003_c001" in result.stdout
