"""The page on the HTTP interface: its examples run with curl as printed, and its tables are those of the code."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_cache.images.loading import load_image
from helpers.browser.window import query_photo
from helpers.paths import ROOT
from helpers.places.api import ToyRun
from helpers.places.serve import ServedPage, image_file
from vehicle_reid import Gallery
from vehicle_reid.web.page import MEGABYTE, PageInfo
from vehicle_reid.web.photos import KEPT_UPLOADS, MIN_SIDE, UPLOAD_HEIGHT
from vehicle_reid.web.server import MAX_REQUESTS

TEXT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def cells(heading: str) -> list[list[str]]:
    """Return the rows of the table with that heading."""
    lines = iter(TEXT.splitlines())
    next(line for line in lines if line.startswith(heading))
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    raise AssertionError(heading)


@needs_curl
def test_the_examples_answer_as_the_page_says(
    toy_run: ToyRun, gallery: Gallery, page: ServedPage, tmp_path: Path
) -> None:
    photo = query_photo(toy_run)
    Image.open(photo).save(tmp_path / "car.jpg", quality=95)
    key, answers = "", []
    for command in COMMANDS:
        words = shlex.split(command.replace("127.0.0.1:8000", f"127.0.0.1:{page.port}").replace("KEY", key))
        assert words[0] == "curl"
        output = subprocess.run([*words, "--fail-with-body"], cwd=tmp_path, capture_output=True, timeout=60)
        assert output.returncode == 0, (command, output.stdout)
        answers.append(json.loads(output.stdout) if output.stdout else None)
        key = key or answers[0]["key"]
    first, found, score, cropped, picture = answers
    assert set(first) == {name.strip("`") for row in cells("| field") for name in row[0].split(", ")}
    assert (first["name"], first["box"], first["camera"], first["problem"]) == ("car.jpg", None, None, None)
    wanted = gallery.search(tmp_path / "car.jpg", k=5, without_cameras=[1])
    assert [match["name"] for match in found["matches"]] == list(wanted["name"])
    features = gallery.entries.features[gallery.names.index("images/09-3.jpg")]
    assert score["score"] == pytest.approx(features @ gallery.model.embed(tmp_path / "car.jpg")["feature"][0], abs=1e-6)
    assert (cropped["box"], cropped["size"]) == ([10, 5, 80, 60], [70, 55])
    assert picture is None and Image.open(tmp_path / "seen.jpg").format == "JPEG"


def test_its_numbers_are_those_of_the_code() -> None:
    for phrase in (
        f"at least {MIN_SIDE} x {MIN_SIDE}",
        f"at most {UPLOAD_HEIGHT} pixels high",
        f"more than {MAX_REQUESTS} connections",
        f"The last {KEPT_UPLOADS} uploads",
        f"`--max-upload` ({PageInfo.upload_limit // MEGABYTE} MB)",
    ):
        assert phrase in TEXT


def test_the_addresses_are_those_of_the_server_and_errors_have_their_status(page: ServedPage) -> None:
    sample = {"KEY": "g1", "NAME": "a", "TEXT": "a", "LEFT,TOP,RIGHT,BOTTOM": "0,0,20,20"}
    for request, _ in cells("| request"):
        method, address = re.findall(r"`(GET|POST) (\S+)`", request)[0]
        for word, value in sample.items():
            address = address.replace(word, value)
        status = page.request(address, method, image_file("PNG") if method == "POST" else None).status
        assert status == (201 if method == "POST" else 200), request
    documented = {int(status) for status, _ in cells("| status")}
    seen = {
        page.request("/photos?box=1", "POST", image_file("PNG")).status,
        page.request("/", Host="evil.example").status,
        page.request("/photos/g99999").status,
        page.request("/photos/g1", "DELETE").status,
        page.upload(b"x" * 300_000).status,
        page.upload(b"x").status,
    }
    assert seen == documented - {408, 500, 503}


BOX = (10, 5, 80, 60)


def box_query(box: Any) -> str:
    return f"/photos?box={','.join(map(str, box))}"


def test_the_rectangle_is_cut_out_before_everything_else(toy_run: ToyRun, gallery: Gallery, page: ServedPage) -> None:
    path, (left, top, right, bottom) = query_photo(toy_run), BOX
    answer = page.request(box_query(BOX), "POST", path.read_bytes()).json
    pixels = np.ascontiguousarray(load_image(path)[top:bottom, left:right])
    embedded, wanted = gallery.model.embed({"crop": pixels}).iloc[0], gallery.search(pixels, k=10)
    assert answer["size"] == [right - left, bottom - top] and answer["box"] == list(BOX)
    assert sorted(part["box"] for part in answer["parts"]) == sorted(embedded["boxes"].tolist())
    matches = page.search(answer["key"])["matches"]
    assert [(match["name"], match["score"]) for match in matches] == list(
        zip(wanted["name"], wanted["score"], strict=True)
    )
    whole, other = (
        page.upload(path.read_bytes()).json,
        page.request(box_query((0, 0, 80, 60)), "POST", path.read_bytes()).json,
    )
    assert len({answer["key"], whole["key"], other["key"]}) == 3 and whole["box"] is None


def test_the_rectangle_is_of_the_photo_as_it_is_seen(page: ServedPage, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: stored 40 x 30, seen 30 x 40
    Image.new("RGB", (40, 30)).save(tmp_path / "side.jpg", exif=exif)
    data = (tmp_path / "side.jpg").read_bytes()
    assert page.request(box_query((0, 30, 30, 40)), "POST", data).json["size"] == [30, 10]
    page.request(box_query((30, 0, 40, 30)), "POST", data).assert_error(422, "not inside the photo, 30 x 40")


@pytest.mark.parametrize(
    ("box", "status", "words"),
    [
        ((0, 0, 41, 30), 422, "0,0,41,30 is not inside the photo, 40 x 30"),
        ((20, 0, 20, 30), 422, "not inside"),
        ((30, 0, 20, 30), 422, "not inside"),
        ((0, 0, 7, 30), 422, "the box is 7 x 30; it needs 8 x 8 pixels"),
        ((0, 0, 40), 400, "left,top,right,bottom"),
        ((0, 0, 40, 30, 1), 400, "left,top,right,bottom"),
        (("",), 400, "left,top,right,bottom"),
        ((-1, 0, 40, 30), 400, "whole number"),
        ((0, 0, "4e1", 30), 400, "whole number"),
        ((0, 0, "nan", 30), 400, "whole number"),
        ((0, 0, "%D9%A3%D9%A3", 30), 400, "whole number"),
        ((0, 0, 10**18, 30), 400, "whole number"),
    ],
)
def test_a_bad_rectangle_is_refused(page: ServedPage, box: Any, status: int, words: str) -> None:
    page.request(box_query(box), "POST", image_file("PNG")).assert_error(status, words)


def test_an_upload_has_the_name_it_was_given_last(page: ServedPage) -> None:
    data = image_file("PNG", 41)
    first = page.request("/photos?name=a%20%26.png", "POST", data).json
    assert first["name"] == "a &.png" and page.upload(data).json["name"] == "this photo"
    second = page.request("/photos?name=%E2%80%AEb.png", "POST", data).json
    assert (second["key"], second["name"]) == (first["key"], "\u202eb.png")
    assert page.request(f"/photos/{first['key']}").json == second
    page.request("/photos?name=c.png", "POST", b"x").assert_error(422, "c.png: not a JPEG")
    page.request(f"/photos?name={'x' * 1001}", "POST", data).assert_error(400, "at most 1000 characters")
