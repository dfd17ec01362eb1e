"""The `serve` command: what it builds, reports and refuses, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result

from cli import main
from helpers.paths import TESTS
from helpers.places.api import ToyRun
from helpers.places.reid import assert_error
from vehicle_reid import Gallery
from vehicle_reid.web import server
from vehicle_reid.web.finder import Finder
from vehicle_reid.web.page import PageInfo

PROGRAM = """
import sys
from helpers.places.api import small_networks
from cli import main
with small_networks():
    main(sys.argv[1:])
"""


class Shown(NamedTuple):
    """What would have been served, and the output of the command."""

    finder: Finder
    info: PageInfo
    result: Result


@pytest.fixture
def own_run(toy_run: ToyRun, tmp_path: Path) -> ToyRun:
    """A copy of the toy run that tests may change."""
    shutil.copytree(toy_run.runs, tmp_path / "runs")
    return toy_run._replace(runs=tmp_path / "runs", folder=tmp_path / "runs" / "folder" / "tiny")


def words(run: ToyRun, *more: str, root: Path | None = None) -> list[str]:
    options = ["--dataset", "folder", "--runs", str(run.runs), "--data-root", str(root or run.root)]
    return ["serve", *options, "--device", "cpu", "--workers", "0", "--port", "0", *more]


def invoke(run: ToyRun, *more: str, root: Path | None = None) -> Result:
    result = CliRunner().invoke(main, words(run, *more, root=root))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def show(own_run: ToyRun, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shown]:
    """Run the command and return what it would serve."""
    served: list[Any] = []

    def serve(finder: Finder, info: PageInfo, listener: object, announce: Callable[[str], None]) -> None:
        served.append((finder, info))
        announce("http://here/")

    monkeypatch.setattr(server, "serve", serve)

    def run(*more: str, root: Path | None = None) -> Shown:
        result = invoke(own_run, *more, root=root)
        assert result.exit_code == 0, result.output
        assert result.stdout == "http://here/\n" and "press Ctrl-C to stop" in result.stderr
        return Shown(*served.pop(), result)

    return run


def test_a_missing_gallery_is_built_once_from_the_test_set(own_run: ToyRun, show: Callable[..., Shown]) -> None:
    path, names = own_run.folder / "gallery.safetensors", own_run.names("gallery")
    first = show("--max-upload", "7")
    assert f"{path}: no gallery yet, building it from the test set" in first.result.stderr
    assert "finding parts" not in first.result.stderr  # the boxes come from the part cache
    assert sorted(first.finder.gallery.names) == names
    assert first.info == PageInfo("folder/tiny", len(names), (0, 1), ("photo", "Fg", "Fp", "added"), "parts", 7_000_000)
    assert not first.finder.describe("g0")["problem"]
    before = path.read_bytes()
    again = show()
    assert path.read_bytes() == before and "no gallery yet" not in again.result.stderr
    assert again.info.upload_limit == 20_000_000


def test_images_of_another_gallery_are_read_from_the_given_folder(
    own_run: ToyRun, show: Callable[..., Shown], tmp_path: Path
) -> None:
    photos, path = tmp_path / "photos", tmp_path / "own.safetensors"
    photos.mkdir()
    for name in own_run.tested_names()[:5]:
        shutil.copy(own_run.path(name), photos)
    Gallery.build(own_run.model(), photos).save(path)
    shown = show("--gallery", str(path), "--images", str(photos))
    assert (shown.info.images, shown.info.cameras, shown.info.problems) == (5, (), ())
    assert shown.finder.describe("g0")["problem"] is None
    without_folder = show("--gallery", str(path))
    (problem,) = without_folder.info.problems
    assert "cannot be shown" in problem and "no such file" in problem and "--images" in problem
    assert problem in without_folder.result.stderr


def test_a_missing_data_set_or_detector_is_reported_and_the_search_still_works(
    own_run: ToyRun, show: Callable[..., Shown], tmp_path: Path
) -> None:
    show()
    shutil.rmtree(own_run.runs / "detector")
    shown = show(root=tmp_path / "gone")
    problems = "\n".join(shown.info.problems)
    assert "images.csv" in problems and "images of the gallery cannot be shown" in problems
    assert "uploaded photos cannot be searched with" in problems and "--detector" in problems
    assert all(problem in shown.result.stderr for problem in shown.info.problems)
    assert len(shown.finder.matches("g0", 3, None, ())) == 3


def test_a_mistake_is_a_one_line_error(own_run: ToyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "no.safetensors"
    assert_error(invoke(own_run, "--gallery", str(missing)), 1, str(missing), "no such file", "gallery build")
    assert not missing.exists()
    assert_error(invoke(own_run, "--recipe", "other"), 1, "other: no trained network")
    with server.listen(0) as taken:
        port = str(taken.getsockname()[1])
        assert_error(invoke(own_run, "--port", port), 1, f"port {port} is taken", "--port 0")
    assert invoke(own_run, "--port", "65536").exit_code == 2
    for package in ("uvicorn", "starlette"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            assert_error(invoke(own_run), 1, f"{package} is not installed", "pip install '.[demo]'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_without_an_error(own_run: ToyRun, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words(own_run)],
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), (url, process.stderr and process.stderr.read())
        with urlopen(url) as answer:
            assert b"Search for a vehicle" in answer.read()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0 and out == ""
    assert "Traceback" not in err and "Error" not in err and err.rstrip().endswith("press Ctrl-C to stop")
