"""The server's answers equal the Python API's, and its pictures the report's."""

import pytest
from PIL import Image

from data_cache.images.loading import load_image
from helpers.browser.html_page import Page
from helpers.places.api import ToyRun
from helpers.places.serve import ServedPage, served
from reid.data.vehicle_images import vehicle_images
from reid.report.pictures.covering import covering_effects, draw_effects
from reid.report.pictures.heatmaps import ADDED, GLOBAL, PART, compute_heatmaps, overlay
from reid.report.pictures.thumbnails import encode_jpeg
from vehicle_reid import Gallery
from vehicle_reid.web.photos import PICTURE_HEIGHT


def test_the_page_describes_its_gallery_and_escapes_everything(toy_run: ToyRun, gallery: Gallery) -> None:
    evil = "<script>alert(1)</script>\u202e"
    with served(gallery, toy_run.root, problems=(evil,), upload_limit=2_500_000) as page:
        answer = page.request("/")
    html = answer.body.decode()
    parsed = Page(html)
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"{len(gallery)} images by 2 cameras · run folder/tiny" in parsed.text
    assert "at most 2.5 MB and 50 megapixels" in parsed.text
    assert "<script>alert(1)</script>\\u202e" in parsed.text and evil not in html
    options = [option.get("value") for option in parsed.attributes("option")]
    assert options[:6] == ["", "not-camera=own", "camera=0", "camera=1", "not-camera=0", "not-camera=1"]
    for rule in ("script-src 'self'", "style-src 'self'", "default-src 'none'", "frame-ancestors 'none'"):
        assert rule in answer.headers["content-security-policy"]
    assert "style=" not in html and "onclick" not in html and "<style" not in html


def test_only_the_assets_that_the_page_links_to_are_served(page: ServedPage) -> None:
    parsed = Page(page.request("/").body.decode())
    links = [script["src"] for script in parsed.attributes("script")]
    links += [link["href"] for link in parsed.attributes("link") if link["rel"] == "stylesheet"]
    types = {page.request(str(path)).headers["content-type"] for path in links}
    assert types == {"text/css; charset=utf-8", "text/javascript; charset=utf-8"}
    assert b"--focus" in page.request("/page/page.css").body
    for other in ("app.py", "page.html.jinja", "..%2fgallery.py", "%2e%2e/model.py", ""):
        page.request(f"/page/{other}").assert_error(404)


def test_an_upload_has_the_embedding_and_matches_of_the_api(
    toy_run: ToyRun, gallery: Gallery, page: ServedPage
) -> None:
    path = toy_run.photos()[3]
    upload = page.upload(path.read_bytes())
    assert upload.status == 201
    embedded, photo = gallery.model.embed(path).iloc[0], upload.json
    parts = zip(embedded["attention"].tolist(), embedded["parts"], embedded["boxes"].tolist(), strict=True)
    assert sorted((part["weight"], part["name"], part["box"]) for part in photo["parts"]) == sorted(parts)
    weights = [part["weight"] for part in photo["parts"]]
    assert weights == sorted(weights, reverse=True)
    assert photo["size"] == [96, 72] and photo["problem"] is None and photo["camera"] is None
    assert page.request(f"/photos/{photo['key']}").json == photo
    for query, arguments in (
        ("", {"k": 10}),
        ("k=3", {"k": 3}),
        ("k=100", {"k": 100}),
        ("k=4&camera=1", {"k": 4, "cameras": [1]}),
        ("k=4&camera=1&camera=0", {"k": 4, "cameras": [0, 1]}),
        ("k=4&not-camera=1", {"k": 4, "without_cameras": [1]}),
        ("camera=7", {"cameras": [7]}),
    ):
        matches, wanted = page.search(photo["key"], query)["matches"], gallery.search(path, **arguments)
        for field in ("id", "name", "score", "camera"):
            assert [match[field] for match in matches] == wanted[field].tolist()


def test_an_image_of_the_gallery_is_described_as_by_the_api(gallery: Gallery, page: ServedPage) -> None:
    listed = page.request("/v1/vehicles?count=1000").json["vehicles"]
    assert len(listed) == len(gallery)
    for vehicle in listed[:3]:
        photo = page.request(f"/photos/g{vehicle['id']}").json
        assert {field: photo[field] for field in vehicle if field != "id"} == {
            field: value for field, value in vehicle.items() if field != "id"
        }
        assert (photo["key"], photo["size"], photo["problem"]) == (f"g{vehicle['id']}", [96, 72], None)


def test_pictures_equal_the_photo_and_its_heatmaps(toy_run: ToyRun, gallery: Gallery, page: ServedPage) -> None:
    name, recipe = gallery.names[5], gallery.model.recipe
    photo = Image.fromarray(load_image(toy_run.path(name)))
    size = round(photo.width * PICTURE_HEIGHT / photo.height), PICTURE_HEIGHT
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    images = vehicle_images(*toy_run.toy, [name], top_d=recipe.parts, size=recipe.image_size)
    (heatmaps,) = compute_heatmaps(toy_run.model().network, images, device="cpu")
    scaled = heatmaps.scaled()
    wanted = {"photo": photo}
    wanted |= {
        kind: overlay(photo, scaled[key])
        for kind, key in (("response", GLOBAL), ("with-parts", PART), ("added", ADDED))
    }
    key = page.upload(toy_run.path(name).read_bytes()).json["key"]
    for kind, picture in wanted.items():
        answer = page.request(f"/photos/g5/{kind}.jpg")
        assert answer.headers["content-type"] == "image/jpeg" and answer.body == encode_jpeg(picture)
        assert page.request(f"/photos/{key}/{kind}.jpg").body == answer.body
    assert len({encode_jpeg(picture) for picture in wanted.values()}) == 4
    reference = gallery.entries.features[[7]]
    (covering,) = covering_effects(toy_run.model().network, images, reference, device="cpu")
    answer = page.request("/photos/g5/covered.jpg?with=g7")
    assert answer.body == encode_jpeg(draw_effects(photo, covering.squares, covering.largest))
    assert covering.score == pytest.approx(float(gallery.entries.features[5] @ gallery.entries.features[7]), abs=0.01)
    assert page.request("/photos/g5/covered.jpg?with=g8").body != answer.body
    for other in ("", "?with=g999", "?with=x"):
        page.request(f"/photos/g5/covered.jpg{other}").assert_error(404)
