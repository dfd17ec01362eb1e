"""The `serve` command: what it builds, reports and refuses, and how it ends."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from helpers.paths import TESTS
from helpers.places.api import ToyRun
from helpers.places.api_client import enrol
from helpers.places.reid import assert_error
from helpers.places.serve import served
from vehicle_reid import Gallery
from vehicle_reid import model as model_module
from vehicle_reid.web import server
from vehicle_reid.web.finder import Finder
from vehicle_reid.web.page import PageInfo
from vehicle_reid.web.site import Settings

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
    settings: Settings
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

    def serve(
        finder: Finder, info: PageInfo, listener: object, announce: Callable[[str], None], settings: Settings
    ) -> None:
        served.append((finder, info, settings))
        announce("http://here/")

    monkeypatch.setattr(server, "serve", serve)

    def run(*more: str, root: Path | None = None) -> Shown:
        result = invoke(own_run, *more, root=root)
        assert result.exit_code == 0, result.output
        assert result.stdout == "http://here/\n" and "press Ctrl-C to stop" in result.stderr
        return Shown(*served.pop(), result)

    return run


def test_a_missing_gallery_is_built_once_from_the_test_set(own_run: ToyRun, show: Callable[..., Shown]) -> None:
    path, names = own_run.folder / "gallery", own_run.names("gallery")
    first = show("--max-upload", "7")
    assert f"{path}: no gallery yet, building it from the test set" in first.result.stderr
    assert "finding parts" not in first.result.stderr  # the boxes come from the part cache
    assert sorted(first.finder.gallery.names) == names
    assert first.info == PageInfo(
        "folder/tiny", len(names), (0, 1), ("photo", "covered", "response", "with-parts", "added"), "parts", 7_000_000
    )
    assert not first.finder.describe("g0")["problem"]
    before = bytes_below(path)
    again = show()
    assert bytes_below(path) == before and "no gallery yet" not in again.result.stderr
    assert again.info.upload_limit == 20_000_000


@pytest.fixture
def photos(own_run: ToyRun, tmp_path: Path) -> Path:
    """A folder with five of the toy set's pictures."""
    return copy_of(own_run.photos()[:5], tmp_path / "photos")


def copy_of(pictures: list[Path], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for picture in pictures:
        shutil.copy(picture, folder)
    return folder


def bytes_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def galleries(run: ToyRun) -> set[str]:
    return {path.name for path in run.folder.glob("gallery*")}


def typed(message: str) -> Result:
    """Run the command of `gallery` that a message names in backquotes."""
    words = shlex.split(message.split("`")[1])
    return CliRunner().invoke(main, words[words.index("gallery") :])


@pytest.mark.parametrize("named", [False, True])
def test_a_missing_gallery_of_a_folder_is_built_once_from_it(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path, tmp_path: Path, named: bool
) -> None:
    path = tmp_path / "own"
    options = ("--images", str(photos), *(("--gallery", str(path)) if named else ()))
    first = show(*options)
    if not named:
        (name,) = galleries(own_run)
        assert name.startswith("gallery-photos-")
        path = own_run.folder / name
    assert f"{path}: no gallery yet, building it from {photos}" in first.result.stderr
    assert sorted(first.finder.gallery.names) == sorted(one.name for one in photos.iterdir())
    assert not first.info.problems and first.finder.describe("g4")["problem"] is None
    before = bytes_below(path)
    again = show(*options)
    assert "building" not in again.result.stderr and bytes_below(path) == before
    assert "not in the gallery" not in again.result.stderr


def test_folders_of_one_name_have_a_gallery_each(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path, tmp_path: Path
) -> None:
    """Their pictures have the same names, as cameras number them: a shared file would show the wrong ones."""
    other = tmp_path / "elsewhere" / "photos"
    other.mkdir(parents=True)
    for picture, own in zip(sorted(photos.iterdir()), own_run.photos()[5:10], strict=True):
        shutil.copy(own, other / picture.name)
    one, two = show("--images", str(photos)).finder.gallery, show("--images", str(other)).finder.gallery
    assert sorted(one.names) == sorted(two.names) and len(galleries(own_run)) == 2
    assert not np.allclose(one.entries.features, two.entries.features)
    assert len(show().finder.gallery) == len(own_run.names("gallery"))  # the test's own gallery is none of them


def test_the_runs_gallery_serves_a_folder_that_it_was_built_from(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path
) -> None:
    Gallery.build(own_run.model(), photos, cameras=3).save(own_run.folder / "gallery")
    shown = show("--images", str(photos))
    assert shown.info.cameras == (3,) and galleries(own_run) == {"gallery"}


def test_an_interrupted_build_resumes(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model_module, "compute_features", interrupt)
        assert invoke(own_run, "--images", str(photos)).exit_code == 1
    (work,) = galleries(own_run)
    assert work.endswith(".work")
    monkeypatch.setattr("detect.extraction.shards.detect_batches", lambda *_: pytest.fail("parts are detected again"))
    assert len(show("--images", str(photos)).finder.gallery) == 5
    assert galleries(own_run) == {work.removesuffix(".work")}


def test_new_pictures_in_the_folder_are_told_with_a_command_that_adds_them(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path
) -> None:
    show("--images", str(photos))
    shutil.copy(own_run.photos()[5], photos / "a new.jpg")
    (line,) = [
        line for line in show("--images", str(photos)).result.stderr.splitlines() if "not in the gallery" in line
    ]
    assert line.startswith(f"{photos}: 1 images are not in the gallery, first a new.jpg; add them with `")
    result = typed(line)
    assert result.exit_code == 0, result.output
    again = show("--images", str(photos))
    assert len(again.finder.gallery) == 6 and "not in the gallery" not in again.result.stderr


def test_images_that_have_moved_are_told_with_the_remedy(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path, tmp_path: Path
) -> None:
    path, moved = tmp_path / "own", tmp_path / "moved"
    Gallery.build(own_run.model(), photos).save(path)
    result = invoke(own_run, "--gallery", str(path))
    assert_error(result, 1, f"{path}: its images are not in {own_run.root}, first ", "--images FOLDER")
    photos.rename(moved)
    photos.mkdir()
    assert_error(invoke(own_run, "--gallery", str(path), "--images", str(photos)), 1, f"not in {photos}, first ")
    assert show("--gallery", str(path), "--images", str(moved)).info.problems == ()
    lost = sorted(moved.iterdir())[3]
    lost.unlink()
    shown = show("--gallery", str(path), "--images", str(moved))
    (problem,) = shown.info.problems
    assert problem.startswith(f"1 of 5 images of the gallery are not in {moved}, first {lost.name}; ")
    assert problem in shown.result.stderr


def test_a_missing_detector_is_reported_and_the_search_still_works(own_run: ToyRun, show: Callable[..., Shown]) -> None:
    show()
    shutil.rmtree(own_run.runs / "detector")
    shown = show()
    (problem,) = shown.info.problems
    assert "uploaded photos cannot be searched with" in problem and "--detector" in problem
    assert problem in shown.result.stderr
    assert len(shown.finder.gallery.search(shown.finder.photos.embedding("g0"), 3)) == 3


def test_a_data_set_that_has_moved_is_told_and_its_pictures_are_served_from_the_given_folder(
    own_run: ToyRun, show: Callable[..., Shown], tmp_path: Path
) -> None:
    show()
    gone = tmp_path / "gone"
    path = own_run.folder / "gallery"
    assert_error(invoke(own_run, root=gone), 1, f"{path}: its images are not in {gone}", "--images", "--data-root")
    shown = show("--images", str(own_run.root), root=gone)
    assert shown.info.problems == () and galleries(own_run) == {path.name}


def test_a_mistake_is_a_one_line_error(own_run: ToyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "no"
    result = invoke(own_run, "--gallery", str(missing))
    assert_error(result, 1, f"{missing}: no such gallery", "or of your own images with --images FOLDER")
    assert not missing.exists()
    assert typed(result.stderr).exit_code == 0 and len(Gallery.load(missing, own_run.model()))
    shutil.rmtree(missing)
    assert_error(invoke(own_run, "--gallery", str(missing), "--images", str(tmp_path / "none")), 1, "none")
    photos, split = str(own_run.root), ("--split", "test")
    assert_error(invoke(own_run, "--gallery", str(missing), "--images", photos, *split), 1, "cannot be combined")
    assert not missing.exists()
    assert_error(invoke(own_run, "--recipe", "other"), 1, "other: no trained network")
    with server.listen(0) as taken:
        port = str(taken.getsockname()[1])
        assert_error(invoke(own_run, "--port", port), 1, f"port {port} is taken", "--port 0")
    assert invoke(own_run, "--port", "65536").exit_code == 2
    assert_error(invoke(own_run, "--host", "0.0.0.0"), 1, "--host 0.0.0.0 needs --tokens FILE")
    assert_error(invoke(own_run, "--per-minute", "9"), 1, "--per-minute needs --tokens FILE")
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("gate 0123456789abcdef\n", encoding="utf-8")
    for host in ("203.0.113.9", "no address"):
        result = invoke(own_run, "--host", host, "--tokens", str(tokens))
        assert_error(result, 1, f"--host {host}: no address of this machine")
    for package in ("uvicorn", "starlette", "fastapi", "prometheus_client"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            assert_error(invoke(own_run), 1, f"{package} is not installed", "pip install '.[demo]'")


def test_a_gallery_whose_images_are_elsewhere_is_served_with_tokens(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path, tmp_path: Path
) -> None:
    path, tokens = tmp_path / "own", tmp_path / "tokens.txt"
    Gallery.build(own_run.model(), photos).save(path)
    tokens.write_text("gate 0123456789abcdef\n", encoding="utf-8")
    shown = show("--gallery", str(path), "--tokens", str(tokens), "--per-minute", "9", "--queue", "7")
    assert shown.info.problems == () and shown.settings.tokens is not None
    assert (shown.settings.per_minute, shown.settings.queue, set(shown.settings.tokens.digests)) == (9, 7, {"gate"})


def enrolled(gallery: Gallery, root: Path, files: dict[str, Path], **settings: Any) -> list[str]:
    """Enrol images by name through the API; return the names that it answers."""
    with served(gallery, root, Settings(**settings)) as page:
        answer = enrol(page, {name: path.read_bytes() for name, path in files.items()})
        assert answer.status == 201, answer.body
        return [one["name"] for one in answer.json["vehicles"]]


def test_an_empty_gallery_is_created_once_and_what_the_api_enrols_is_not_looked_for(
    own_run: ToyRun, show: Callable[..., Shown], tmp_path: Path
) -> None:
    path, nowhere = tmp_path / "cars", tmp_path / "nowhere"
    options = ("--gallery", str(path), "--create")
    first = show(*options, root=nowhere)
    assert f"{path}: a new gallery, still empty" in first.result.stderr
    assert (len(first.finder.gallery), first.info.images, first.info.problems) == (0, 0, ())
    assert not first.settings.keep_pictures and show(*options, "--keep-images", root=nowhere).settings.keep_pictures
    before = bytes_below(path)
    assert "new gallery" not in show(*options, root=nowhere).result.stderr and bytes_below(path) == before
    names = enrolled(first.finder.gallery, nowhere, {"a.jpg": own_run.photos()[0], "b/c.jpg": own_run.photos()[1]})
    for again in (options, options[:2]):
        shown = show(*again, root=nowhere)
        assert shown.info.problems == () and shown.info.images == 2
        assert "are not in" not in shown.result.stderr
    assert sorted(shown.finder.gallery.names) == names
    assert "has not kept its picture" in shown.finder.describe("g0")["problem"]


def test_images_of_the_api_do_not_count_among_those_that_are_missing(
    own_run: ToyRun, show: Callable[..., Shown], photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own"
    gallery = Gallery.build(own_run.model(), photos)
    gallery.save(path)
    enrolled(gallery, photos, {"0 first.jpg": own_run.photos()[7]})
    assert show("--gallery", str(path), "--images", str(photos)).info.problems == ()
    lost = sorted(photos.iterdir())[1]
    lost.unlink()
    (problem,) = show("--gallery", str(path), "--images", str(photos)).info.problems
    assert problem.startswith(f"1 of 5 images of the gallery are not in {photos}, first {lost.name}; ")
    for rest in photos.iterdir():
        rest.unlink()
    result = invoke(own_run, "--gallery", str(path), "--images", str(photos))
    assert_error(result, 1, f"its images are not in {photos}, first ")


def test_create_and_keep_images_say_what_they_need(own_run: ToyRun, photos: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "cars")
    assert_error(invoke(own_run, "--create"), 1, "--create needs --gallery FOLDER")
    assert_error(invoke(own_run, "--create", "--gallery", path, "--images", str(photos)), 1, "no --images or --split")
    assert_error(invoke(own_run, "--gallery", path), 1, "no such gallery", "an empty one with --create")
    result = invoke(own_run, "--gallery", "s3://bucket/cars", "--create", "--keep-images")
    assert_error(result, 1, "--keep-images: s3://bucket/cars is no folder")


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


def test_a_service_at_another_address_needs_its_token(own_run: ToyRun, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("gate 0123456789abcdef\n", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words(own_run, "--host", "127.0.0.2", "--tokens", str(tokens))],
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.2:")
        with urlopen(f"{url}health") as answer:
            assert answer.read() == b'{"status":"ok"}'
        listed = Request(f"{url}v1/vehicles?count=1", headers={"Authorization": "Bearer 0123456789abcdef"})
        with urlopen(listed) as answer:
            assert json.loads(answer.read())["total"] == len(own_run.names("gallery"))
        for address, status in ((f"{url}v1/vehicles", 401), (url, 404)):
            with pytest.raises(HTTPError) as error:
                urlopen(address)
            assert error.value.code == status
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0


def test_small_answers_are_sent_at_once() -> None:
    async def delayed() -> list[bool]:
        found: list[bool] = []

        def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            found.append(not connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with server.listen(0) as listener:
            serving = await asyncio.start_server(note, sock=listener)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()
            serving.close()
        return found

    assert asyncio.run(delayed()) == [False]
