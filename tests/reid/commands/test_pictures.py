"""The commands `rank`, `heatmaps` and `report` on two trained runs: files, output, and mistakes."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cli import main
from data_cache.base.errors import UserError
from helpers.browser.html_page import Page
from helpers.places.reid import Place, assert_error
from helpers.toy.vehicles import Toy, tiny_scale
from reid.report.pictures.image_grid import image_file_name
from reid.runs import chosen_run

RUNS = ("pgan_small", "grid_small")


@pytest.fixture(scope="module")
def trained(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two evaluated runs of one epoch; one is also in the ablation's folder."""
    with tiny_scale():
        place = Place(toy, tmp_path_factory.mktemp("runs"))
        for recipe in RUNS:
            place.train("--recipe", recipe)
            assert place("evaluate", "--recipe", recipe).exit_code == 0
        shutil.copytree(place.runs / "folder" / "grid_small", place.runs / "folder" / "ablation" / "grid-seed0")
        yield place


def run_command(place: Place, command: str, *options: str) -> Result:
    where = ["--dataset", "folder", "--data-root", str(place.toy.dataset.root), "--runs", str(place.runs)]
    result = CliRunner().invoke(main, [command, *where, "--device", "cpu", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def files_of(result: Result) -> list[Path]:
    assert result.exit_code == 0, result.output
    return [Path(line) for line in result.stdout.splitlines()]


def queries_of(place: Place) -> list[str]:
    table = place.toy.dataset.table
    return sorted(table["name"][table["split"] == "query"])


def test_rank_writes_one_file_per_query_and_prints_its_path(trained: Place) -> None:
    files = files_of(run_command(trained, "rank", "--recipe", "pgan_small"))
    folder = trained.runs / "folder" / "pgan_small" / "test" / "ranked"
    assert sorted(files) == sorted(folder / image_file_name(name) for name in queries_of(trained))
    assert sorted(folder.iterdir()) == sorted(files)


def test_compared_runs_and_heatmaps_make_an_image_higher(trained: Place) -> None:
    name = queries_of(trained)[0]
    heights = []
    for more in ((), ("--compare", "grid_small"), ("--compare", "ablation/grid-seed0", "--heatmaps")):
        (file,) = files_of(run_command(trained, "rank", "--recipe", "pgan_small", "--query", name, "--top", "2", *more))
        heights.append(Image.open(file).height)
    assert heights[1] > 1.7 * heights[0] and heights[2] > 1.7 * heights[1]


def test_rank_prints_its_lists_as_json(trained: Place) -> None:
    result = run_command(trained, "rank", "--recipe", "grid_small", "--hardest", "2", "--top", "3", "--json")
    images = json.loads(result.stdout)
    precisions = [image["lists"][0]["average_precision"] for image in images]
    assert len(images) == 2 and precisions == sorted(precisions)
    assert all(Path(image["file"]).exists() and len(image["lists"][0]["images"]) == 3 for image in images)
    assert {image["lists"][0]["group"] for image in images} == {"hardest"}


def test_heatmaps_writes_one_file_per_query_and_a_chart(trained: Place) -> None:
    files = files_of(
        run_command(trained, "heatmaps", "--recipe", "pgan_small", "--compare", "grid_small", "--count", "2")
    )
    folder = trained.runs / "folder" / "pgan_small" / "test" / "heatmaps"
    assert len(files) == 3 and files[-1] == folder / "attention.png" and {file.parent for file in files} == {folder}
    assert all(Image.open(file).format == "PNG" for file in files)
    grid_files = files_of(run_command(trained, "heatmaps", "--recipe", "grid_small", "--count", "1"))
    assert len(grid_files) == 1  # a grid does not weigh parts: no chart


def test_report_compares_runs(trained: Place) -> None:
    (page,) = files_of(
        run_command(trained, "report", "--recipe", "pgan_small", "--compare", "grid_small", "--heatmaps", "2")
    )
    found = Page(page.read_text(encoding="utf-8"))
    assert "pgan_small: trained" in found.text and found.text.count("grid_small: score ") == 2
    assert page == trained.runs / "folder" / "pgan_small" / "test" / "report.html"


def test_an_impossible_runs_folder_is_an_error(tmp_path: Path) -> None:
    for recipe in (None, "pgan_small"):
        with pytest.raises(UserError, match=r"cannot be used \(File name too long\)"):
            chosen_run(tmp_path / ("x" * 300), "folder", recipe)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--query", "images/08-1.jpg"],
            ["images/08-1.jpg: not a query of this test", "did you mean images/08-0.jpg?"],
        ),
        (
            ["--compare", "pgan_smal"],
            ["pgan_smal: no trained network there", "pgan_small, grid_small, ablation/grid-seed0"],
        ),
        (["--recipe", "ablation/absent"], ["folder/ablation/absent: no trained network there"]),
        (["--recipe", "../folder/pgan_smal"], ["no trained network there"]),
        (["--split", "large"], ["unknown split of folder large"]),
    ],
)
@pytest.mark.parametrize("command", ["rank", "heatmaps"])
def test_a_mistake_is_one_line(trained: Place, command: str, options: list[str], words: list[str]) -> None:
    assert_error(run_command(trained, command, *options), 1, *words)


@pytest.mark.parametrize(
    "options",
    [
        ["--query", "a", "--hardest", "1"],
        ["--query", "a", "--count", "12"],
        ["--hardest", "1", "--count", "12"],
    ],
)
def test_query_options_cannot_be_combined(trained: Place, options: list[str]) -> None:
    assert_error(run_command(trained, "rank", *options), 2)
