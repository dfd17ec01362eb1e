"""What the page's server answers: what the Python API answers, to many at once, and pictures that are those."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from api_place import Place, make_place, small_networks
from html_page import Page
from PIL import Image
from serve_place import Answer, Served, gallery_of, served
from toy import TINY

from data_cache.images import load_image
from reid.heatmaps import ADDED, GLOBAL, PART, heat_of, veiled
from reid.images import vehicle_images
from reid.pictures import encode
from vehicle_reid import Gallery
from vehicle_reid.web import photos, server
from vehicle_reid.web.photos import HEIGHT

PARALLEL = 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with small_networks():
        yield make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def gallery(place: Place) -> Gallery:
    return gallery_of(place)


@pytest.fixture(scope="module")
def page(place: Place, gallery: Gallery) -> Iterator[Served]:
    with served(gallery, place.root) as found:
        yield found


def queries(place: Place) -> list[Path]:
    """Photos that are not in the gallery."""
    table = place.toy.dataset.table
    return [place.path(name) for name in sorted(table["name"][table["split"] != "gallery"])]


def test_the_page_tells_what_it_is_about_and_everything_is_escaped(place: Place, gallery: Gallery) -> None:
    evil = "<script>alert(1)</script>\u202e"
    with served(gallery, place.root, problems=(evil,), limit=2_500_000) as page:
        answer = page.ask("/")
        text = answer.body.decode()
    found = Page(text)
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"{len(gallery)} images by 2 cameras · run folder/tiny" in found.text
    assert "at most 2.5 MB and 50 megapixels" in found.text
    assert "<script>alert(1)</script>\\u202e" in found.text and evil not in text
    assert [one.get("value") for one in found.attributes("option")][:5] == [
        "", "camera=0", "camera=1", "not-camera=0", "not-camera=1",
    ]  # fmt: skip
    for one in ("script-src 'self'", "style-src 'self'", "default-src 'none'", "frame-ancestors 'none'"):
        assert one in answer.headers["content-security-policy"]
    assert "style=" not in text and "onclick" not in text and "<style" not in text


def test_whatever_the_page_names_is_there_and_nothing_else_of_its_folder_is(page: Served) -> None:
    found = Page(page.ask("/").body.decode())
    named = [one["src"] for one in found.attributes("script")]
    named += [one["href"] for one in found.attributes("link") if one["rel"] == "stylesheet"]
    kinds = {page.ask(str(path)).headers["content-type"] for path in named}
    assert kinds == {"text/css; charset=utf-8", "text/javascript; charset=utf-8"}
    assert b"--focus" in page.ask("/page/page.css").body
    for other in ("app.py", "page.html.jinja", "..%2fgallery.py", "%2e%2e/model.py", ""):
        page.ask(f"/page/{other}").refused(404)


def test_an_uploaded_photo_finds_what_the_api_finds(place: Place, gallery: Gallery, page: Served) -> None:
    path = queries(place)[3]
    made = page.upload(path.read_bytes())
    assert made.status == 201
    embedded, key = gallery.model.embed(path), made.json["key"]
    strongest = sorted(zip(embedded["attention"][0].tolist(), embedded["parts"][0], strict=True), reverse=True)
    assert sorted(((one["weight"], one["name"]) for one in made.json["parts"]), reverse=True) == strongest
    assert [one["weight"] for one in made.json["parts"]] == [weight for weight, _ in strongest]
    assert sorted(one["box"] for one in made.json["parts"]) == sorted(embedded["boxes"][0].tolist())
    assert made.json["size"] == [96, 72] and made.json["problem"] is None and made.json["camera"] == -1
    assert page.ask(f"/photos/{key}").json == made.json
    for asked, wanted in (
        ("", {"k": 10}),
        ("?k=3", {"k": 3}),
        ("?k=100", {"k": 100}),
        ("?k=4&camera=1", {"k": 4, "cameras": [1]}),
        ("?k=4&camera=1&camera=0", {"k": 4, "cameras": [0, 1]}),
        ("?k=4&not-camera=1", {"k": 4, "without_cameras": [1]}),
        ("?camera=7", {"cameras": [7]}),
    ):
        found, own = page.ask(f"/photos/{key}/matches{asked}").json, gallery.search(path, **wanted)
        assert [one["name"] for one in found] == list(own["name"])
        assert [one["score"] for one in found] == own["score"].tolist()
        assert [one["camera"] for one in found] == own["camera"].tolist()
        assert [gallery.names[int(one["key"][1:])] for one in found] == list(own["name"])


def test_an_image_of_the_gallery_searches_on_and_never_finds_itself(place: Place, page: Served) -> None:
    gallery = page.finder.gallery
    for row in (0, len(gallery) - 1):
        look = page.ask(f"/photos/g{row}").json
        assert (look["name"], look["key"], look["size"]) == (gallery.names[row], f"g{row}", [96, 72])
        found = page.ask(f"/photos/g{row}/matches?k=100").json
        own = gallery.search(pd.DataFrame({"name": ["query"], "feature": [gallery.entries.features[row]]}), k=100)
        assert [one["name"] for one in found] == [name for name in own["name"] if name != gallery.names[row]]
        assert len(found) == len(gallery) - 1
        few = page.ask(f"/photos/g{row}/matches?k=2").json
        assert few == found[:2]


def test_the_score_of_two_is_their_cosine(place: Place, page: Served) -> None:
    features = page.finder.gallery.entries.features
    path = queries(place)[0]
    key = page.upload(path.read_bytes()).json["key"]
    own = page.finder.model.embed(path)["feature"][0]
    assert page.ask("/scores/g1/g2").json["score"] == pytest.approx(float(features[1] @ features[2]), abs=1e-6)
    assert page.ask(f"/scores/{key}/g2").json["score"] == pytest.approx(float(own @ features[2]), abs=1e-6)
    assert page.ask(f"/scores/{key}/{key}").json["score"] == pytest.approx(1, abs=1e-6)


def test_pictures_are_the_photo_and_its_heatmaps(place: Place, page: Served) -> None:
    name = page.finder.gallery.names[5]
    plain = Image.fromarray(load_image(place.path(name)))
    plain = plain.resize((round(plain.width * HEIGHT / plain.height), HEIGHT), Image.Resampling.LANCZOS)
    recipe = page.finder.model.recipe
    images = vehicle_images(place.toy.dataset, place.toy.parts, [name], depth=recipe.parts, size=recipe.image_size)
    (heat,) = heat_of(place.model().network, images, device="cpu")
    shares = heat.shares()
    wanted = {
        "photo": plain,
        "Fg": veiled(plain, shares[GLOBAL]),
        "Fp": veiled(plain, shares[PART]),
        "added": veiled(plain, shares[ADDED]),
    }
    key = page.upload(place.path(name).read_bytes()).json["key"]
    for kind, picture in wanted.items():
        found = page.ask(f"/photos/g5/{kind}.jpg")
        assert found.headers["content-type"] == "image/jpeg" and found.body == encode(picture, "JPEG")
        assert page.ask(f"/photos/{key}/{kind}.jpg").body == found.body
    assert len({encode(one, "JPEG") for one in wanted.values()}) == 4


def test_the_gallery_by_name_camera_and_words(page: Served) -> None:
    gallery = page.finder.gallery
    camera = dict(zip(gallery.names, gallery.entries.cameras.tolist(), strict=True))

    def names(query: str) -> tuple[int, list[str]]:
        found = page.ask(f"/gallery{query}").json
        return found["total"], [one["name"] for one in found["images"]]

    everything = sorted(gallery.names)
    assert names("") == (len(gallery), everything[:24])
    assert names("?start=2&count=3") == (len(gallery), everything[2:5])
    assert names("?start=9999") == (len(gallery), [])
    by_one = [name for name in everything if camera[name] == 1]
    assert names("?camera=1") == (len(by_one), by_one)
    some = [name for name in by_one if "9-" in name]
    assert some and names("?camera=1&words=9-") == (len(some), some)
    assert names("?words=9-3.JPG") == (1, ["images/09-3.jpg"])
    assert names("?words=%3Cb%3E") == (0, [])


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
