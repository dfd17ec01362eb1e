"""Concurrent requests, shutdown, expired uploads, and networks without parts."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers.browser.html_page import Page
from helpers.places.api import ToyRun, make_toy_run
from helpers.places.api_client import call, enrol
from helpers.places.serve import Answer, ServedPage, gallery_of, served
from helpers.toy.vehicles import TINY
from vehicle_reid import Gallery
from vehicle_reid.web import photos, server

PARALLEL = 20


class SlowModel(NamedTuple):
    """Events of a model whose `embed` waits: `started` is set by it, and it waits for `released`."""

    started: threading.Event
    released: threading.Event


@pytest.fixture
def slow_model(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> SlowModel:
    """Make the gallery's model slow."""
    slow, embed = SlowModel(threading.Event(), threading.Event()), gallery.model.embed

    def wait_and_embed(*arguments: object) -> object:
        slow.started.set()
        assert slow.released.wait(30)
        return embed(*arguments)

    monkeypatch.setattr(gallery.model, "embed", wait_and_embed)
    return slow


def test_parallel_requests_equal_sequential_ones_and_the_model_runs_one_at_a_time(
    toy_run: ToyRun, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = toy_run.photos()[:PARALLEL]
    assert len({path.read_bytes() for path in paths}) == PARALLEL
    running, counts, embed = [], [], gallery.model.embed

    def counting(*arguments: object) -> object:
        running.append(1)
        counts.append(len(running))
        try:
            return embed(*arguments)
        finally:
            running.pop()

    def search(path: Path) -> tuple[object, object, bytes]:
        barrier.wait(30)
        photo = page.upload(path.read_bytes()).json
        matches = page.search(photo["key"], "k=5")
        return photo, matches, page.request(f"/photos/{photo['key']}/with-parts.jpg").body

    monkeypatch.setattr(gallery.model, "embed", counting)
    barrier = threading.Barrier(PARALLEL)
    with served(gallery, toy_run.root) as page, ThreadPoolExecutor(PARALLEL) as threads:
        parallel = list(threads.map(search, paths))
    assert counts == [1] * PARALLEL
    barrier = threading.Barrier(1)
    with served(gallery, toy_run.root) as page:
        assert [search(path) for path in paths] == parallel
    assert len({str(matches) for _, matches, _ in parallel}) > PARALLEL / 2


def test_pages_and_pictures_are_served_while_the_model_works(
    toy_run: ToyRun, gallery: Gallery, slow_model: SlowModel
) -> None:
    with served(gallery, toy_run.root) as page, ThreadPoolExecutor(1) as thread:
        upload = thread.submit(page.upload, toy_run.photos()[0].read_bytes())
        assert slow_model.started.wait(30)
        status = [page.request(path).status for path in ("/", "/photos/g1", "/photos/g1/photo.jpg", "/v1/vehicles")]
        assert status == [200] * 4 and not upload.done()
        slow_model.released.set()
        assert upload.result(30).status == 201


def test_a_request_that_is_waiting_at_shutdown_gets_an_error(
    toy_run: ToyRun,
    gallery: Gallery,
    slow_model: SlowModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server, "SHUTDOWN_SECONDS", 0.1)

    def upload(page: ServedPage) -> Answer:
        try:
            return page.upload(toy_run.photos()[0].read_bytes())
        finally:
            slow_model.released.set()

    with ThreadPoolExecutor(1) as thread:
        with served(gallery, toy_run.root) as page:
            answer = thread.submit(upload, page)
            assert slow_model.started.wait(30)
        answer.result(30).assert_error(503, "the server is shutting down")
    assert "Traceback" not in caplog.text


def test_a_photo_is_embedded_once_and_the_least_recent_upload_is_dropped(
    toy_run: ToyRun, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "KEPT_UPLOADS", 2)
    calls, embed = [], gallery.model.embed
    counting: Callable[..., object] = lambda *given: (calls.append(1), embed(*given))[1]  # noqa: E731
    monkeypatch.setattr(gallery.model, "embed", counting)
    with served(gallery, toy_run.root) as page:
        first, second, third = (path.read_bytes() for path in toy_run.photos()[:3])
        keys = [page.upload(data).json["key"] for data in (first, second, first, third)]
        assert keys[0] == keys[2] and len(set(keys)) == 3 and len(calls) == 3
        assert page.request(f"/photos/{keys[0]}").status == 200
        for path, method in (
            (f"/photos/{keys[1]}", "GET"),
            (f"/v1/search?page-photo={keys[1]}", "POST"),
            (f"/v1/compare?first-page-photo={keys[0]}&second-page-photo={keys[1]}", "POST"),
        ):
            page.request(path, method).assert_error(404, "no longer kept; choose the file again")


def test_an_empty_gallery(toy_run: ToyRun) -> None:
    with served(Gallery.build(toy_run.model()), toy_run.root) as page:
        text = Page(page.request("/").body.decode()).text
        assert "0 images · run" in text and "The gallery is empty Nothing can be found yet" in " ".join(text.split())
        assert f"curl -F image=@car.jpg {page.url}v1/vehicles" in text
        key = page.upload(toy_run.photos()[0].read_bytes()).json["key"]
        assert page.search(key)["matches"] == []
        data = toy_run.photos()[0].read_bytes()
        empty = call(page, "/v1/search", "POST", data).json
        assert (empty["matches"], empty["confidence"], empty["accepted"]) == ([], None, None)
        assert call(page, "/v1/search?rerank=true&camera=1", "POST", data).json["matches"] == []
        assert call(page, "/v1/vehicles").json == {"total": 0, "vehicles": []}
        assert enrol(page, {"a.jpg": data}, {"camera": 7}).status == 201
        text = Page(page.request("/").body.decode()).text  # loaded again, it knows
        assert "1 image by 1 camera · run" in text and "The gallery is empty" not in text
        (match,) = page.search(key)["matches"]
        assert match["name"] == "a.jpg" and match["score"] > 0.99


@pytest.mark.usefixtures("toy_run")
@pytest.mark.parametrize("attention", ["none", "grid"])
def test_a_network_without_parts(tmp_path: Path, attention: str) -> None:
    run = make_toy_run(tmp_path, TINY.model_copy(update={"epochs": 1, "attention": attention}))
    with served(gallery_of(run), run.root, attention=attention) as page:
        photo = page.upload(run.photos()[0].read_bytes()).json
        assert photo["parts"] == [] and photo["problem"] is None
        views = ("photo", "response", "with-parts", "added")
        status = [page.request(f"/photos/{photo['key']}/{view}.jpg").status for view in views]
        assert status == ([200, 200, 404, 404] if attention == "none" else [200] * 4)
        assert "part boxes" not in Page(page.request("/").body.decode()).text
