"""What the page's server reads: images of its gallery alone, whatever keys and names are."""

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from helpers.places.api import Place
from helpers.places.serve import Served, file_of, served
from vehicle_reid import Gallery
from vehicle_reid.gallery.search import ExactSearch
from vehicle_reid.web.server import bound

SECRET = b"nobody is to read this"


@pytest.mark.parametrize(
    "key",
    [
        "g-1",
        "g999",
        "g01",
        "g1.0",
        "g٣",
        "g1%00",
        "g99999999999999999999",
        "images%2f09-3.jpg",
        "..",
        "%2e%2e",
        "..%2f..%2fimages.csv",
        "%2fetc%2fpasswd",
        "p0123",
        "p" + "f" * 16,
        "x",
    ],
)
def test_a_key_is_a_row_or_an_upload_and_never_a_path(page: Served, key: str) -> None:
    key = quote(key, safe="%")
    for path in (f"/photos/{key}", f"/photos/{key}/matches", f"/photos/{key}/photo.jpg", f"/photos/{key}/Fp.jpg"):
        page.ask(path).refused(404)
    page.ask(f"/scores/g1/{key}").refused(404)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/photos/g1/matches?k=0", "k is a whole number from 1 to 100"),
        ("/photos/g1/matches?k=101", "k is a whole number from 1 to 100"),
        ("/photos/g1/matches?k=ten", "k is a whole number"),
        ("/photos/g1/matches?k=1e1", "k is a whole number"),
        ("/photos/g1/matches?camera=-1", "camera is a whole number from 0"),
        ("/photos/g1/matches?not-camera=" + 30 * "9", "not-camera is a whole number"),
        ("/gallery?count=61", "count is a whole number from 1 to 60"),
        ("/gallery?start=-1", "start is a whole number"),
        ("/gallery?camera=%D9%A3", "camera is a whole number"),
    ],
)
def test_numbers_are_within_their_limits(page: Served, path: str, words: str) -> None:
    page.ask(path).refused(400, words)


def test_addresses_that_are_none(page: Served) -> None:
    for path in ("/nowhere", "/photos/g1/photo.png", "/docs", "/openapi.json", "/page/app.py"):
        page.ask(path).refused(404, "there is nothing at this address")
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        page.ask("/gallery", method).refused(405, "asked in another way")
    page.ask("/photos/g1/xyz.jpg").refused(404, "no heatmap xyz")


def renamed(gallery: Gallery, names: list[str]) -> Gallery:
    """The gallery of a file whose writer chose the names."""
    entries = gallery.entries.take(np.arange(len(names)))
    return Gallery(gallery.model, replace(entries, names=tuple(names)), ExactSearch(entries.features))


def test_no_file_outside_the_gallerys_folder_is_read_whatever_its_names_are(
    place: Place, gallery: Gallery, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = tmp_path / "secret.png"
    outside.write_bytes(file_of("PNG"))
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (root / "link.png").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    (root / "text.png").write_bytes(SECRET)
    os.mkfifo(root / "pipe.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    markup = "<img src=x onerror=alert(1)>.png"
    (root / markup).write_bytes(file_of("PNG"))
    names = ["../secret.png", str(outside), "link.png", "folder/secret.png", "a/../../secret.png", "text.png"]
    names += ["pipe.png", "loop.png", "..\\secret.png", "gone.png", markup]
    with served(renamed(gallery, names), root) as page:
        found = page.ask("/photos/g0/matches?k=100").json
        assert len(found) == len(names) - 1
        for row, name in enumerate(names):
            look, picture = page.ask(f"/photos/g{row}").json, page.ask(f"/photos/g{row}/photo.jpg")
            if name == markup:
                assert look["name"] == markup
                continue
            picture.refused(422)
            page.ask(f"/photos/g{row}/Fp.jpg").refused(422)
            assert look["problem"] == picture.json["error"] and look["size"] is None
            assert SECRET not in picture.body
        problems = [page.ask(f"/photos/g{row}").json["problem"] for row in range(len(names))]
    for row, words in ((0, "not a relative path"), (1, "not a relative path"), (2, "leads out"), (3, "leads out")):
        assert words in problems[row]
    assert "not a JPEG or PNG" in problems[5] and "not a regular file" in problems[6] and "no such file" in problems[9]


def test_pictures_that_are_gone_or_others_now_are_told_and_the_search_goes_on(
    place: Place, gallery: Gallery, tmp_path: Path
) -> None:
    with served(gallery, tmp_path / "nowhere") as page:
        look = page.ask("/photos/g3").json
        assert "no such file" in look["problem"] and look["size"] is None
        found, own = page.ask("/photos/g3/matches?k=4").json, page.finder.matches("g3", 4, None, ())
        assert len(found) == 4 and [one["score"] for one in found] == [one["score"] for one in own]
        made = page.upload(place.path(gallery.names[3]).read_bytes())
        assert made.status == 201 and page.ask(f"/scores/g3/{made.json['key']}").json["score"] > 0.99
        for row in range(len(gallery)):
            (tmp_path / "nowhere" / gallery.names[row]).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9)).save(tmp_path / "nowhere" / gallery.names[row])
        with_parts = next(row for row in range(len(gallery)) if (gallery.entries.labels[row] >= 0).any())
        assert "another image lies there now" in page.ask(f"/photos/g{with_parts}").json["problem"]


def test_a_model_whose_detector_is_gone_tells_so_and_searches_by_the_gallery(
    place: Place, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = place.model()
    monkeypatch.setattr(model, "_weights", None)
    with served(Gallery(model, gallery.entries, ExactSearch(gallery.entries.features)), place.root) as page:
        page.upload(file_of("PNG")).refused(422, "which is not in RUNS/detector", "--detector")
        assert len(page.ask("/photos/g0/matches").json) == 10


def test_a_port_that_is_taken_is_told_at_once() -> None:
    with bound(0) as place:
        port = place.getsockname()[1]
        assert place.getsockname()[0] == "127.0.0.1"
        with pytest.raises(UserError, match=rf"^port {port} is taken by another program; choose another with --port"):
            bound(port)
    bound(port).close()
