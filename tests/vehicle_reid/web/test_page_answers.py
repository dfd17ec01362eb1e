"""What the page's server answers: what the Python API answers, and pictures that are those."""

import pandas as pd
import pytest
from PIL import Image

from data_cache.images.loading import load_image
from helpers.browser.html_page import Page
from helpers.places.api import Place
from helpers.places.serve import Served, queries, served
from reid.data.vehicle_images import vehicle_images
from reid.report.heatmaps import ADDED, GLOBAL, PART, compute_heatmaps, overlay
from reid.report.thumbnails import encode_image
from vehicle_reid import Gallery
from vehicle_reid.web.photos import HEIGHT

PARALLEL = 20


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
    images = vehicle_images(place.toy.dataset, place.toy.parts, [name], top_d=recipe.parts, size=recipe.image_size)
    (heat,) = compute_heatmaps(place.model().network, images, device="cpu")
    shares = heat.scaled()
    wanted = {
        "photo": plain,
        "Fg": overlay(plain, shares[GLOBAL]),
        "Fp": overlay(plain, shares[PART]),
        "added": overlay(plain, shares[ADDED]),
    }
    key = page.upload(place.path(name).read_bytes()).json["key"]
    for kind, picture in wanted.items():
        found = page.ask(f"/photos/g5/{kind}.jpg")
        assert found.headers["content-type"] == "image/jpeg" and found.body == encode_image(picture, "JPEG")
        assert page.ask(f"/photos/{key}/{kind}.jpg").body == found.body
    assert len({encode_image(one, "JPEG") for one in wanted.values()}) == 4


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
