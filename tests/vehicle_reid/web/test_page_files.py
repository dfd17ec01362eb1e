"""The server reads only the images of its gallery, whatever the keys and names are."""

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from PIL import Image

from helpers.places.api import ToyRun
from helpers.places.serve import ServedPage, gallery_with, image_file, served
from vehicle_reid import Gallery

SECRET = b"nobody may read this"


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
def test_a_key_is_a_row_or_an_upload_but_never_a_path(page: ServedPage, key: str) -> None:
    key = quote(key, safe="%")
    for path in (f"/photos/{key}", f"/photos/{key}/photo.jpg", f"/photos/{key}/with-parts.jpg"):
        page.request(path).assert_error(404)
    page.request(f"/v1/search?page-photo={key}", "POST").assert_error(404)
    page.request(f"/v1/compare?first=images/09-3.jpg&second-page-photo={key}", "POST").assert_error(404)


def test_unknown_addresses_and_methods_are_refused(page: ServedPage) -> None:
    for path in ("/nowhere", "/photos/g1/photo.png", "/docs", "/redoc", "/page/app.py"):
        page.request(path).assert_error(404, "there is nothing at this address")
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        page.request("/photos/g1", method).assert_error(405, "method not allowed")
    page.request("/photos/g1/xyz.jpg").assert_error(404, "no heatmap xyz")


def test_names_in_a_gallery_file_never_lead_out_of_its_folder(
    toy_run: ToyRun, gallery: Gallery, tmp_path: Path
) -> None:
    root, outside, markup = tmp_path / "root", tmp_path / "secret.png", "<img src=x onerror=alert(1)>.png"
    root.mkdir()
    outside.write_bytes(image_file("PNG"))
    (root / "link.png").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    (root / "text.png").write_bytes(SECRET)
    os.mkfifo(root / "pipe.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / markup).write_bytes(image_file("PNG"))
    reasons = {
        "../secret.png": "not a relative path",
        str(outside): "not a relative path",
        "link.png": "leads out",
        "folder/secret.png": "leads out",
        "a/../../secret.png": "",
        "text.png": "not a JPEG, PNG, WebP or BMP",
        "pipe.png": "not a regular file",
        "loop.png": "",
        "..\\secret.png": "",
        "gone.png": "no such file",
    }
    names = (*reasons, markup)
    entries = replace(gallery.entries.take(np.arange(len(names))), names=names)
    with served(gallery_with(gallery, entries), root) as page:
        assert len(page.search("g0", "k=100")["matches"]) == len(names) - 1
        for row, reason in enumerate(reasons.values()):
            photo, picture = page.request(f"/photos/g{row}").json, page.request(f"/photos/g{row}/photo.jpg")
            picture.assert_error(422, reason)
            page.request(f"/photos/g{row}/with-parts.jpg").assert_error(422)
            assert photo["problem"] == picture.json["error"] and photo["size"] is None
            assert SECRET not in picture.body
        assert page.request(f"/photos/g{len(reasons)}").json["name"] == markup


def test_missing_or_replaced_pictures_do_not_stop_the_search(toy_run: ToyRun, gallery: Gallery, tmp_path: Path) -> None:
    with served(gallery, tmp_path) as page:
        photo = page.request("/photos/g3").json
        assert "no such file" in photo["problem"] and photo["size"] is None
        assert len(page.search("g3", "k=4")["matches"]) == 4
        upload = page.upload(toy_run.path(gallery.names[3]).read_bytes())
        query = urlencode({"first": gallery.names[3], "second-page-photo": upload.json["key"]})
        assert upload.status == 201 and page.request(f"/v1/compare?{query}", "POST").json["score"] > 0.99
        row = next(row for row in range(len(gallery)) if (gallery.entries.labels[row] >= 0).any())
        path = tmp_path / gallery.names[row]
        path.parent.mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(path)
        assert "has been replaced since" in page.request(f"/photos/g{row}").json["problem"]
