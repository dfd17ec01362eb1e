"""The page's server with many at once, at its end, and with networks of other kinds."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.browser.html_page import Page
from helpers.places.api import Place, make_place, small_networks
from helpers.places.serve import Answer, Served, gallery_of, queries, served
from helpers.toy.vehicles import TINY
from vehicle_reid import Gallery
from vehicle_reid.web import photos, server

PARALLEL = 20


def test_twenty_at_once_are_all_answered_right_and_the_model_works_for_one_at_a_time(
    place: Place, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = queries(place)[:PARALLEL]
    assert len(paths) == PARALLEL and len({path.read_bytes() for path in paths}) == PARALLEL
    busy, most, embed = [], [], gallery.model.embed

    def watched(*arguments: object) -> object:
        busy.append(1)
        most.append(len(busy))
        try:
            return embed(*arguments)
        finally:
            busy.pop()

    monkeypatch.setattr(gallery.model, "embed", watched)
    together = threading.Barrier(PARALLEL)

    def asked(path: Path) -> tuple[object, object, bytes]:
        together.wait(30)
        look = page.upload(path.read_bytes()).json
        found = page.ask(f"/photos/{look['key']}/matches?k=5").json
        return look, found, page.ask(f"/photos/{look['key']}/Fp.jpg").body

    with served(gallery, place.root) as page, ThreadPoolExecutor(PARALLEL) as threads:
        at_once = list(threads.map(asked, paths))
    assert len(most) == PARALLEL and set(most) == {1}
    monkeypatch.setattr(gallery.model, "embed", embed)
    together = threading.Barrier(1)
    with served(gallery, place.root) as page:
        assert [asked(path) for path in paths] == at_once
    assert len({str(found) for _, found, _ in at_once}) > PARALLEL / 2


def test_while_the_model_works_the_page_and_the_pictures_are_answered(
    place: Place, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, embed = threading.Event(), threading.Event(), gallery.model.embed

    def slow(*arguments: object) -> object:
        begun.set()
        assert go_on.wait(30)
        return embed(*arguments)

    monkeypatch.setattr(gallery.model, "embed", slow)
    with served(gallery, place.root) as page, ThreadPoolExecutor(1) as thread:
        answer = thread.submit(page.upload, queries(place)[0].read_bytes())
        assert begun.wait(30)
        others = [page.ask(path).status for path in ("/", "/photos/g1", "/photos/g1/photo.jpg", "/gallery")]
        assert others == [200] * 4 and not answer.done()
        go_on.set()
        assert answer.result(30).status == 201


def test_a_server_that_ends_tells_those_who_wait(
    place: Place, gallery: Gallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    begun, go_on, embed = threading.Event(), threading.Event(), gallery.model.embed

    def slow(*arguments: object) -> object:
        begun.set()
        assert go_on.wait(30)
        return embed(*arguments)

    def ask(page: Served) -> Answer:
        try:
            return page.upload(queries(place)[0].read_bytes())
        finally:
            go_on.set()

    monkeypatch.setattr(gallery.model, "embed", slow)
    with ThreadPoolExecutor(1) as thread:
        with served(gallery, place.root) as page:
            answer = thread.submit(ask, page)
            assert begun.wait(30)
        answer.result(30).refused(503, "the server is ending")
    assert "Traceback" not in caplog.text


def test_the_same_photo_is_looked_at_once_and_the_oldest_is_let_go(
    place: Place, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "KEPT", 2)
    seen, embed = [], gallery.model.embed
    monkeypatch.setattr(gallery.model, "embed", lambda images: (seen.append(1), embed(images))[1])
    with served(gallery, place.root) as page:
        first, second, third = (path.read_bytes() for path in queries(place)[:3])
        keys = [page.upload(data).json["key"] for data in (first, second, first, third)]
        assert keys[0] == keys[2] and len(set(keys)) == 3 and len(seen) == 3
        assert page.ask(f"/photos/{keys[0]}").status == 200  # asked for later than the second
        page.ask(f"/photos/{keys[1]}").refused(404, "not kept any more; choose its file again")
        page.ask(f"/photos/{keys[1]}/matches").refused(404, "not kept any more")
        page.ask(f"/scores/g0/{keys[1]}").refused(404, "not kept any more")


def test_an_empty_gallery_is_told(place: Place) -> None:
    with served(Gallery.build(place.model()), place.root) as page:
        assert "0 images · run" in Page(page.ask("/").body.decode()).text
        assert page.ask("/gallery").json == {"total": 0, "images": []}
        key = page.upload(queries(place)[0].read_bytes()).json["key"]
        assert page.ask(f"/photos/{key}/matches").json == []


@pytest.mark.parametrize("attention", ["none", "grid"])
def test_a_network_that_looks_at_no_parts(tmp_path: Path, attention: str) -> None:
    recipe = TINY.model_copy(update={"epochs": 1, "attention": attention})
    with small_networks():
        place = make_place(tmp_path, recipe)
        with served(gallery_of(place), place.root, weighs=attention) as page:
            look = page.upload(queries(place)[0].read_bytes()).json
            assert look["parts"] == [] and look["problem"] is None
            status = [page.ask(f"/photos/{look['key']}/{kind}.jpg").status for kind in ("photo", "Fg", "Fp", "added")]
            assert status == ([200, 200, 404, 404] if attention == "none" else [200] * 4)
            assert "part boxes" not in Page(page.ask("/").body.decode()).text
