"""Requests that wait together share a batch, a full queue refuses further ones, and a stop lets running ones finish."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from data_cache.images.loading import load_image
from helpers.places.api import ToyRun
from helpers.places.api_client import call, enrol, send_form
from helpers.places.serve import Answer, ServedPage, served
from vehicle_reid import Gallery
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.images import NamedImages
from vehicle_reid.web.api import model_queue
from vehicle_reid.web.api.model_queue import BATCH, number_of_pixels
from vehicle_reid.web.site import Settings

PARALLEL = 20


class HeldModel(NamedTuple):
    """A model whose `embed` sets `started` and waits for `released`; `batches` are the numbers of its images."""

    started: threading.Event
    released: threading.Event
    batches: list[int]


@pytest.fixture
def held_model(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> HeldModel:
    """Hold the gallery's model."""
    held, embed = HeldModel(threading.Event(), threading.Event(), []), gallery.model.embed

    def wait_and_embed(images: list[object]) -> object:
        held.batches.append(len(images))
        held.started.set()
        assert held.released.wait(30)
        return embed(images)

    monkeypatch.setattr(gallery.model, "embed", wait_and_embed)
    return held


def search(page: ServedPage, path: Path) -> Answer:
    return call(page, "/v1/search?k=5", "POST", path.read_bytes())


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def waiting(page: ServedPage, held: HeldModel, paths: list[Path]) -> Iterator[list[Answer]]:
    """Search with the first image, and while the model is held with the others; the answers come at the end."""
    answers: list[Answer] = []
    with ThreadPoolExecutor(len(paths)) as threads:
        futures = [threads.submit(search, page, paths[0])]
        assert held.started.wait(30)
        futures += [threads.submit(search, page, path) for path in paths[1:]]
        wait_until(lambda: page.site.queue.waiting == len(paths))
        try:
            yield answers
        finally:
            held.released.set()
        answers += [future.result(30) for future in futures]


def test_images_that_wait_together_share_batches_and_answers_are_those_of_one_by_one(
    toy_run: ToyRun, gallery: Gallery, page: ServedPage, held_model: HeldModel
) -> None:
    paths = toy_run.photos()[:PARALLEL]
    with waiting(page, held_model, paths) as together:
        pass
    assert held_model.batches == [1, BATCH, PARALLEL - 1 - BATCH]
    alone = [search(page, path) for path in paths]
    assert held_model.batches[3:] == [1] * PARALLEL
    for one, other in zip(together, alone, strict=True):
        assert one.status == other.status == 200
        first, second = one.json["matches"], other.json["matches"]
        assert [match["name"] for match in first] == [match["name"] for match in second]
        scores = [[match["score"] for match in matches] for matches in (first, second)]
        np.testing.assert_allclose(*scores, atol=1e-5)


def test_a_search_is_answered_while_a_large_enrolment_runs(
    toy_run: ToyRun, stored: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, batches, entries = toy_run.photos(), list[int](), stored.model.entries
    started, queued = threading.Event(), threading.Event()

    def hold_the_first(images: NamedImages, *arguments: Any, **options: Any) -> Entries:
        if "first_id" in options:  # an enrolment's
            batches.append(len(images))
            started.set()
            assert queued.wait(30)
        return entries(images, *arguments, **options)

    monkeypatch.setattr(stored.model, "entries", hold_the_first)
    images = {f"new/{row:03}.jpg": photos[row % len(photos)].read_bytes() for row in range(7 * BATCH - 3)}
    with served(stored, toy_run.root, upload_limit=10_000_000) as page, ThreadPoolExecutor(2) as threads:
        enrolment = threads.submit(enrol, page, images)
        assert started.wait(30)
        answer = threads.submit(search, page, photos[0])
        wait_until(lambda: page.site.queue.waiting == 2)
        queued.set()
        assert answer.result(30).status == 200
        assert not enrolment.done() and len(batches) <= 4
        assert not any(match["name"].startswith("new/") for match in answer.result().json["matches"])
        enrolled = enrolment.result(60)
        assert [one["name"] for one in enrolled.json["vehicles"]] == list(images)
    assert batches == [BATCH] * 6 + [BATCH - 3]
    at_once = Gallery.build(toy_run.model(), images).entries
    added = stored.entries.take(stored.entries.rows(at_once.names))
    np.testing.assert_allclose(added.features, at_once.features, atol=1e-5)
    np.testing.assert_array_equal(added.labels, at_once.labels)
    np.testing.assert_array_equal(added.ids, np.arange(added.ids[0], added.ids[0] + len(images)))


def test_a_name_that_is_being_enrolled_is_taken(
    toy_run: ToyRun, stored: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, write = toy_run.photos()[0].read_bytes(), stored.model.entries
    started, released = threading.Event(), threading.Event()

    def hold(images: NamedImages, *arguments: Any, **options: Any) -> Entries:
        started.set()
        assert released.wait(30)
        return write(images, *arguments, **options)

    monkeypatch.setattr(stored.model, "entries", hold)
    with served(stored, toy_run.root) as page, ThreadPoolExecutor(2) as threads:
        first = threads.submit(enrol, page, {"a.jpg": data})
        assert started.wait(30)
        second = threads.submit(enrol, page, {"a.jpg": data, "b.jpg": data})
        wait_until(lambda: page.site.queue.waiting == 2)
        released.set()
        assert first.result(30).status == 201
        second.result(30).assert_error(409, "a.jpg is")
    assert "b.jpg" not in stored.names


def test_large_images_are_embedded_in_smaller_batches(
    toy_run: ToyRun, page: ServedPage, held_model: HeldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = toy_run.photos()[:7]
    size = number_of_pixels([load_image(paths[0])])
    assert all(number_of_pixels([load_image(path)]) == size for path in paths)
    monkeypatch.setattr(model_queue, "MAX_PIXELS", 2 * size)
    with waiting(page, held_model, paths) as answers:
        pass
    assert held_model.batches == [1, 2, 2, 2] and [answer.status for answer in answers] == [200] * len(paths)


def test_an_image_that_cannot_be_used_does_not_harm_others_in_its_batch(
    toy_run: ToyRun, page: ServedPage, held_model: HeldModel, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    first, second, third = toy_run.photos()[:3]
    with waiting(page, held_model, [first, second, bad, third]) as answers:
        pass
    assert [answer.status for answer in answers] == [200, 200, 415, 200]


def test_a_full_queue_refuses_further_requests_and_says_when_to_come_back(
    toy_run: ToyRun, gallery: Gallery, held_model: HeldModel
) -> None:
    photos = toy_run.photos()
    data = photos[0].read_bytes()
    with served(gallery, toy_run.root, Settings(queue=3)) as page:
        with waiting(page, held_model, photos[:3]) as answers:
            refused = [
                search(page, photos[3]),
                enrol(page, {"a.jpg": data}),
                send_form(page, "/v1/compare", [("first", "a", data), ("second", "b", data)]),
                call(page, "/v1/vehicles/a", "DELETE"),
            ]
            for answer in refused:
                answer.assert_error(429, "too many requests are waiting")
                assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert call(page, "/health").status == call(page, "/v1/vehicles").status == 200
        assert [answer.status for answer in answers] == [200] * 3
        assert page.site.queue.waiting == 0 and search(page, photos[3]).status == 200


def test_running_requests_finish_when_the_server_stops(
    toy_run: ToyRun, gallery: Gallery, held_model: HeldModel
) -> None:
    with ThreadPoolExecutor(1) as thread:
        with served(gallery, toy_run.root) as page:
            answer = thread.submit(search, page, toy_run.photos()[0])
            assert held_model.started.wait(30)
            threading.Timer(0.5, held_model.released.set).start()
        assert answer.result(30).status == 200
