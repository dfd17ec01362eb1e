"""The command `serve` as typed: what it builds, tells and refuses before it serves, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest
from click.testing import CliRunner, Result

import vehicle_reid.web.server as server
from cli import main
from helpers.paths import TESTS
from helpers.places.api import Place, make_place, small_networks
from helpers.places.reid import assert_error
from vehicle_reid import Gallery
from vehicle_reid.web.finder import Finder
from vehicle_reid.web.page import About

PROGRAM = """
import sys
from helpers.places.api import small_networks
from cli import main
with small_networks():
    main(sys.argv[1:])
"""


class Shown(NamedTuple):
    """What would have been served, and what the command printed."""

    finder: Finder
    about: About
    printed: Result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with small_networks():
        yield make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """A place whose runs may be changed."""
    shutil.copytree(made.runs, tmp_path / "runs")
    return made._replace(runs=tmp_path / "runs", run=tmp_path / "runs" / "folder" / "tiny")


def words(place: Place, *more: str, root: Path | None = None) -> list[str]:
    where = ["--dataset", "folder", "--runs", str(place.runs), "--data-root", str(root or place.root)]
    return ["serve", *where, "--device", "cpu", "--workers", "0", "--port", "0", *more]


def typed(place: Place, *more: str, root: Path | None = None) -> Result:
    result = CliRunner().invoke(main, words(place, *more, root=root))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def shown(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shown]:
    """Type the command, and see what it would serve."""
    served: list[Any] = []

    def keep(finder: Finder, about: About, socket: object, tell: Callable[[str], None]) -> None:
        served.append((finder, about))
        tell("http://here/")

    monkeypatch.setattr(server, "serve", keep)

    def run(*more: str, root: Path | None = None) -> Shown:
        result = typed(place, *more, root=root)
        assert result.exit_code == 0, result.output
        assert result.stdout == "http://here/\n" and "Ctrl-C ends it" in result.stderr
        return Shown(*served.pop(), result)

    return run


def test_without_a_gallery_that_of_the_test_is_built_once(place: Place, shown: Callable[..., Shown]) -> None:
    table = place.toy.dataset.table
    tested = table[table["split"] == "gallery"]
    first = shown("--max-upload", "7")
    path = place.run / "gallery.safetensors"
    assert f"{path}: no gallery there yet; it is built now, once" in first.printed.stderr
    assert "finding parts" not in first.printed.stderr  # its boxes are those of the part cache
    assert sorted(first.finder.gallery.names) == sorted(tested["name"])
    wanted = About("folder/tiny", len(tested), (0, 1), ("photo", "Fg", "Fp", "added"), "parts", 7_000_000)
    assert first.about == wanted
    assert not first.finder.look("g0")["problem"]
    before = path.read_bytes()
    again = shown()
    assert path.read_bytes() == before and "no gallery there yet" not in again.printed.stderr
    assert again.about.limit == 20_000_000


def test_a_gallery_of_other_photos_is_shown_from_their_folder(
    place: Place, shown: Callable[..., Shown], tmp_path: Path
) -> None:
    photos, path = tmp_path / "photos", tmp_path / "own.safetensors"
    photos.mkdir()
    for name in place.tested()[:5]:
        shutil.copy(place.path(name), photos)
    Gallery.build(place.model(), photos).save(path)
    found = shown("--gallery", str(path), "--images", str(photos))
    assert found.about.images == 5 and found.about.cameras == () and found.about.problems == ()
    assert found.finder.look("g0")["problem"] is None
    lost = shown("--gallery", str(path))
    (problem,) = lost.about.problems
    assert "cannot be shown" in problem and "no such file" in problem and "--images" in problem
    assert problem in lost.printed.stderr


def test_where_the_data_set_or_the_detector_is_gone_that_is_told_and_the_rest_goes_on(
    place: Place, shown: Callable[..., Shown], tmp_path: Path
) -> None:
    shown()
    shutil.rmtree(place.runs / "detector")
    found = shown(root=tmp_path / "gone")
    told = "\n".join(found.about.problems)
    assert "images.csv" in told and "pictures of the gallery cannot be shown" in told
    assert "photos that are uploaded cannot be looked at" in told and "--detector" in told
    assert len(found.finder.matches("g0", 3, None, ())) == 3
    for problem in found.about.problems:
        assert problem in found.printed.stderr


def test_what_is_wrong_is_one_line(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "no.safetensors"
    assert_error(typed(place, "--gallery", str(missing)), 1, str(missing), "no such file", "gallery build")
    assert not missing.exists()
    assert_error(typed(place, "--recipe", "other"), 1, "other: no trained network there")
    with server.bound(0) as taken:
        port = str(taken.getsockname()[1])
        assert_error(typed(place, "--port", port), 1, f"port {port} is taken", "--port 0")
    assert typed(place, "--port", "65536").exit_code == 2
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert_error(typed(place), 1, "uvicorn is not installed", "pip install '.[demo]'")
    monkeypatch.delitem(sys.modules, "uvicorn")
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert_error(typed(place), 1, "starlette is not installed", "pip install '.[demo]'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_asked_to_end_and_that_is_no_error(place: Place, number: signal.Signals) -> None:
    program = [sys.executable, "-c", PROGRAM, *words(place)]
    found = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    process = subprocess.Popen(program, env=found, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), (url, process.stderr and process.stderr.read())
        with urlopen(url) as answer:
            assert b"Search for a vehicle" in answer.read()
        process.send_signal(number)
        out, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0 and out == ""
    assert "Traceback" not in told and "Error" not in told and told.rstrip().endswith("Ctrl-C ends it")
