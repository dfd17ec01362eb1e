"""The API's answers equal those of the Python API, and what it enrols or removes is in the gallery's folder."""

from typing import Any

import numpy as np
import pytest

from helpers.places.api import ToyRun
from helpers.places.api_client import call, enrol, send_form
from helpers.places.serve import ServedPage, calibrate, image_file, served
from reid.retrieval.scoring import AfterNetwork
from vehicle_reid import Gallery

CAR = {"vehicle": "7", "camera": 3, "time": "2026-11-05T10:00:00", "lane": "left"}


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {}),
        ("?k=3", {"k": 3}),
        ("?k=4&camera=1&camera=0", {"k": 4, "cameras": [0, 1]}),
        ("?not-camera=1", {"without_cameras": [1]}),
        ("?camera=7", {"cameras": [7]}),
        ("?rerank=true", {"after": AfterNetwork(rerank=True)}),
    ],
)
def test_a_search_equals_that_of_the_gallery(
    toy_run: ToyRun, gallery: Gallery, page: ServedPage, query: str, arguments: dict[str, Any]
) -> None:
    path = toy_run.photos()[3]
    wanted, data = gallery.search(path, **arguments), path.read_bytes()
    body = call(page, f"/v1/search{query}", "POST", data)
    multipart = send_form(page, f"/v1/search{query}", [("image", "a.jpg", data)])
    assert body.status == 200 and body.json == multipart.json
    matches = body.json["matches"]
    for field in ("id", "name", "camera"):
        assert [match[field] for match in matches] == wanted[field].tolist()
    np.testing.assert_allclose([match["score"] for match in matches], wanted["score"], atol=1e-6)
    for match, row in zip(matches, wanted.itertuples(), strict=True):
        assert {part["name"]: part["weight"] for part in match["parts"]} == pytest.approx(
            dict(zip(row.parts, row.attention.tolist(), strict=True))
        )
    assert (body.json["confidence"], body.json["accepted"]) == (None, None)


@pytest.mark.parametrize("accepted", [True, False])
def test_a_calibrated_run_decides(
    toy_run: ToyRun, gallery: Gallery, page: ServedPage, monkeypatch: pytest.MonkeyPatch, accepted: bool
) -> None:
    calibrate(gallery, monkeypatch, accepted=accepted)
    path = toy_run.photos()[3]
    answer = call(page, "/v1/search?k=2", "POST", path.read_bytes()).json
    assert answer["accepted"] is accepted
    assert answer["confidence"] == pytest.approx(gallery.search(path, 2)["confidence"][0], abs=1e-6)
    none = call(page, "/v1/search?camera=7", "POST", path.read_bytes()).json
    assert (none["matches"], none["confidence"], none["accepted"]) == ([], None, None)


def test_a_box_is_cut_out_before_everything_else(toy_run: ToyRun, gallery: Gallery, page: ServedPage) -> None:
    data = toy_run.photos()[3].read_bytes()
    key = page.request("/photos?box=10,5,80,60", "POST", data).json["key"]
    wanted = [(match["name"], match["score"]) for match in page.request(f"/photos/{key}/matches").json]
    for answer in (
        call(page, "/v1/search?box=10,5,80,60", "POST", data),
        send_form(page, "/v1/search", [("image", "a", data)], {"box": "10,5,80,60"}),
    ):
        assert [(match["name"], match["score"]) for match in answer.json["matches"]] == wanted


def test_two_images_are_compared(toy_run: ToyRun, gallery: Gallery, page: ServedPage) -> None:
    first, second = toy_run.photos()[:2]
    files = [("first", "a", first.read_bytes()), ("second", "b", second.read_bytes())]
    answer = send_form(page, "/v1/compare", files).json
    assert answer["score"] == pytest.approx(gallery.model.compare(first, second)["score"][0], abs=1e-5)
    embedded = gallery.model.embed([first, second])
    for side, row in zip(("first", "second"), embedded.itertuples(), strict=True):
        assert sorted(part["name"] for part in answer[side]) == sorted(row.parts)


def test_an_enrolled_vehicle_is_found_also_after_a_restart_until_it_is_deleted(
    toy_run: ToyRun, stored: Gallery
) -> None:
    first, second = (path.read_bytes() for path in toy_run.photos()[:2])
    before = len(stored)
    with served(stored, toy_run.root) as page:
        answer = enrol(page, {"a.jpg": first, "b.jpg": second}, [{"name": "lane/a ü.jpg", **CAR}, {}])
        assert answer.status == 201
        one, other = answer.json["vehicles"]
        assert one == {
            "id": one["id"],
            "name": "lane/a ü.jpg",
            "vehicle": "7",
            "camera": 3,
            "time": "2026-11-05T10:00:00",
            "details": {"lane": "left"},
        }
        assert (other["name"], other["camera"], other["vehicle"], other["details"]) == ("b.jpg", None, "", {"lane": ""})
        found = call(page, "/v1/search?k=1", "POST", first).json["matches"][0]
        assert found["name"] == "lane/a ü.jpg" and found["score"] == pytest.approx(1, abs=1e-5)
        assert page.request("/gallery?words=lane").json["total"] == 1
    with served(Gallery.load(stored.store.address, toy_run.model()), toy_run.root) as page:
        for query in ("vehicle=7", "lane=left", "since=2026-11-05", "until=2026-11-05&camera=3", "words=LANE"):
            listed = call(page, f"/v1/vehicles?{query}").json
            assert (listed["total"], listed["vehicles"]) == (1, [one]), query
        for query in ("vehicle=7", "lane=left", "since=2026-11-05&until=2026-11-06"):
            names = [match["name"] for match in call(page, f"/v1/search?{query}", "POST", second).json["matches"]]
            assert names == ["lane/a ü.jpg"]
        enrol(page, {"b.jpg": second}).assert_error(409, "b.jpg is already in the gallery")
        gone = call(page, "/v1/vehicles/lane/a%20%C3%BC.jpg", "DELETE")
        assert (gone.status, gone.body) == (204, b"")
        call(page, "/v1/vehicles/lane/a%20%C3%BC.jpg", "DELETE").assert_error(404, "is not in the gallery")
        assert call(page, "/v1/search?k=1", "POST", first).json["matches"][0]["name"] != "lane/a ü.jpg"
    assert len(Gallery.load(stored.store.address, toy_run.model())) == before + 1


def test_names_are_listed_in_pages(gallery: Gallery, page: ServedPage) -> None:
    first, second = (call(page, f"/v1/vehicles?start={start}&count=3").json for start in (0, 3))
    assert [one["name"] for one in first["vehicles"] + second["vehicles"]] == sorted(gallery.names)[:6]
    assert first["total"] == len(gallery)


def test_all_images_of_a_request_are_enrolled_or_none(toy_run: ToyRun, stored: Gallery) -> None:
    good, before = toy_run.photos()[0].read_bytes(), stored.names
    with served(stored, toy_run.root) as page:
        enrol(page, {"a.jpg": good, "b.jpg": b"no image"}).assert_error(415, "b.jpg: not a JPEG")
        enrol(page, {"a.jpg": good, "b.jpg": image_file("PNG")[:-30]}).assert_error(422, "b.jpg: damaged")
        for details, words in (
            ([{}, {}], "2 objects for 1 images"),
            ([{"camera": -1}], "0.camera"),
            ([{"lane": 3}], "0.lane"),
            ([{"bad column": "x"}], "bad column"),
            ([{"name": "a\nb"}], "control character"),
            (3, "list"),
            ([{"name": "\ud800"}], "not JSON"),
            ([{"vehicle": "\ud800"}], "not JSON"),
            ([{"lane": "\ud800"}], "not JSON"),
        ):
            enrol(page, {"a.jpg": good}, details).assert_error(422, words)
        send_form(page, "/v1/vehicles", [("image", "a", good)] * 2).assert_error(422, "several images")
        for text in ("{", "[" * 100_000):
            send_form(page, "/v1/vehicles", [("image", "a", good)], {"details": text}).assert_error(422, "not JSON")
    assert Gallery.load(stored.store.address, toy_run.model()).names == before


def test_a_bad_request_is_refused_in_one_line(toy_run: ToyRun, page: ServedPage) -> None:
    good = toy_run.photos()[0].read_bytes()
    call(page, "/v1/search", "POST", b"x" * 300_000).assert_error(413, "larger than 0.2 MB")
    send_form(page, "/v1/search", [("image", "a", b"x" * 300_000)]).assert_error(413, "larger than 0.2 MB")
    call(page, "/v1/search", "POST", b"text").assert_error(415, "not a JPEG")
    call(page, "/v1/search", "POST", b"").assert_error(415, "no image")
    send_form(page, "/v1/search", [("photo", "a", good)]).assert_error(415, "in the field image")
    send_form(page, "/v1/compare", [("first", "a", good)]).assert_error(415, "in the field second")
    send_form(page, "/v1/search", [("image", "a", good)] * 2).assert_error(422, "2 files image")
    call(page, "/v1/search", "POST", b"x", Content_Type="multipart/form-data").assert_error(400, "boundary")
    call(page, "/v1/search", "POST", image_file("PNG")[:-30]).assert_error(422, "damaged")
    for query, words in (
        ("k=0", "k: "),
        ("k=101", "k: "),
        ("camera=x", "camera.0: "),
        ("colour=red", "no column colour"),
        ("vehicle=1&vehicle=2", "each detail can be given once"),
    ):
        call(page, f"/v1/search?{query}", "POST", good).assert_error(422, words)
    call(page, "/v1/search?box=0,0,9999,9999", "POST", good).assert_error(422, "not inside the photo")
    call(page, "/v1/nothing").assert_error(404, "nothing at this address")
    call(page, "/v1/search").assert_error(405, "method not allowed")


def test_text_of_any_kind_is_only_compared(toy_run: ToyRun, gallery: Gallery, page: ServedPage) -> None:
    for text in ("%00", "'%20OR%20''='", "%22", "%60", "%ED%A0%80", "%E2%80%AE", "%25"):
        for query in (f"vehicle={text}", f"words={text}"):
            answer = call(page, f"/v1/vehicles?{query}")
            assert (answer.status, answer.json) == (200, {"total": 0, "vehicles": []}), query
        call(page, f"/v1/vehicles/{text}", "DELETE").assert_error(404)
        call(page, f"/v1/vehicles?{text}=1").assert_error(422, "no column")
    assert call(page, "/v1/vehicles").json["total"] == len(gallery)


def test_the_api_describes_itself_and_says_that_it_lives(page: ServedPage) -> None:
    assert call(page, "/health").json == {"status": "ok"}
    paths = call(page, "/openapi.json").json["paths"]
    assert {path: set(methods) for path, methods in paths.items()} == {
        "/v1/search": {"post"},
        "/v1/vehicles": {"get", "post"},
        "/v1/vehicles/{name}": {"delete"},
        "/v1/compare": {"post"},
        "/health": {"get"},
        "/metrics": {"get"},
    }
    for path in ("/docs", "/redoc"):
        call(page, path).assert_error(404)


def test_without_tokens_no_web_site_can_use_it(toy_run: ToyRun, page: ServedPage) -> None:
    good = toy_run.photos()[0].read_bytes()
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        sent = {"Origin": "", **headers}
        page.request("/v1/search", "POST", good, **sent).assert_error(403)
        page.request("/v1/vehicles/a", "DELETE", **sent).assert_error(403)
