"""The API's answers equal those of the Python API, and what it enrols or removes is in the gallery's folder."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from helpers.places.api import ToyRun
from helpers.places.api_client import call, enrol, send_form
from helpers.places.serve import ServedPage, calibrate, detailed, gallery_with, image_file, served
from helpers.places.stored import HOSTILE
from reid.retrieval.scoring import AfterNetwork
from vehicle_reid import Gallery
from vehicle_reid.tables import embeddings_table
from vehicle_reid.web.api.answers import LISTED_BY, SEARCHED_BY

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
    wanted = [(match["name"], match["score"]) for match in page.search(key)["matches"]]
    for answer in (
        call(page, "/v1/search?box=10,5,80,60", "POST", data),
        send_form(page, "/v1/search", [("image", "a", data)], {"box": "10,5,80,60"}),
    ):
        assert [(match["name"], match["score"]) for match in answer.json["matches"]] == wanted


def test_an_image_of_the_gallery_is_searched_with_by_name_and_does_not_find_itself(
    gallery: Gallery, page: ServedPage
) -> None:
    everything = {"k": str(len(gallery))}
    for row in (0, len(gallery) - 1):
        name, query = gallery.names[row], embeddings_table(gallery.entries.take(np.array([row])))
        wanted = gallery.search(query, len(gallery), without=[name])
        answer = call(page, f"/v1/search?{urlencode({'name': name, **everything})}", "POST").json
        assert [match["name"] for match in answer["matches"]] == wanted["name"].tolist()
        assert name not in wanted["name"].tolist() and len(wanted) == len(gallery) - 1
        assert {part["name"]: part["weight"] for part in answer["parts"]} == pytest.approx(
            dict(zip(query["parts"][0], query["attention"][0].tolist(), strict=True))
        )
        camera = int(gallery.entries.cameras[row])
        across = call(page, f"/v1/search?{urlencode({'name': name, **everything, 'not-camera': camera})}", "POST").json
        assert [match["name"] for match in across["matches"]] == wanted["name"][wanted["camera"] != camera].tolist()


def test_an_image_of_any_name_is_searched_with(toy_run: ToyRun, gallery: Gallery) -> None:
    names = HOSTILE[: len(gallery)]
    entries = replace(gallery.entries.take(np.arange(len(names))), names=names)
    with served(gallery_with(gallery, entries), toy_run.root) as page:
        for name in names:
            matches = call(page, f"/v1/search?{urlencode({'name': name, 'k': 100})}", "POST").json["matches"]
            assert sorted(match["name"] for match in matches) == sorted({*names} - {name})


def test_an_image_is_given_in_one_way(toy_run: ToyRun, gallery: Gallery, page: ServedPage) -> None:
    data, name = toy_run.photos()[0].read_bytes(), gallery.names[0]
    key = page.upload(data).json["key"]
    for query, body, status, words in (
        (f"name={name}", data, 422, "image: give a file or a name, not both"),
        (f"page-photo={key}", data, 422, "image: give a file or a name, not both"),
        (f"name={name}&page-photo={key}", None, 422, "not both"),
        (f"name={name}&box=0,0,20,20", None, 422, "box: only of an image that is sent"),
        ("name=nobody.jpg", None, 404, "nobody.jpg is not in the gallery"),
        ("page-photo=g0", None, 404, "give the name of the image"),
        ("page-photo=x", None, 404, "no such photo"),
        ("", None, 415, "no image"),
    ):
        call(page, f"/v1/search?{query}", "POST", body).assert_error(status, words)
    call(page, f"/v1/compare?first={name}", "POST").assert_error(415, "in the field second")


def test_two_images_are_compared_however_they_are_given(toy_run: ToyRun, gallery: Gallery, page: ServedPage) -> None:
    path, (first, second) = toy_run.photos()[0], gallery.names[:2]
    features, data = gallery.entries.features, path.read_bytes()
    own, key = gallery.model.embed(path)["feature"][0], page.upload(data).json["key"]
    for query, cosine in (
        ({"first": first, "second": second}, features[0] @ features[1]),
        ({"first": first, "second": first}, 1),
        ({"first-page-photo": key, "second": second}, own @ features[1]),
        ({"first": first, "second-page-photo": key}, features[0] @ own),
        ({"first-page-photo": key, "second-page-photo": key}, 1),
    ):
        answer = call(page, f"/v1/compare?{urlencode(query)}", "POST").json
        assert answer["score"] == pytest.approx(float(cosine), abs=1e-6)
    form = send_form(page, f"/v1/compare?{urlencode({'second': second})}", [("first", "a", data)]).json
    assert form["score"] == pytest.approx(float(own @ features[1]), abs=1e-6)


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
        assert call(page, "/v1/vehicles?words=lane").json["total"] == 1
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


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("", {}),
        ("camera=1", {"cameras": (1,)}),
        ("camera=1&camera=0", {"cameras": (0, 1)}),
        ("not-camera=1", {"without_cameras": (1,)}),
        ("camera=7", {"cameras": (7,)}),
        ("vehicle=7", {"equal": {"vehicle": "7"}}),
        ("lane=left&camera=1", {"equal": {"lane": "left"}, "cameras": (1,)}),
        ("since=2026-11-05T10", {"since": "2026-11-05T10"}),
        ("until=2026-11-04", {"until": "2026-11-04"}),
        ("since=2026-11-04&until=2026-11-05T09&not-camera=0", {"since": "2026-11-04", "until": "2026-11-05T09"}),
    ],
)
def test_a_filter_means_the_same_in_the_list_and_in_a_search(
    toy_run: ToyRun, gallery: Gallery, query: str, where: dict[str, Any]
) -> None:
    known = detailed(gallery)
    if "not-camera=0" in query:
        where = {**where, "without_cameras": (0,)}
    times, cameras = known.entries.details["time"].tolist(), known.entries.cameras.tolist()
    wanted = []
    for row, name in enumerate(known.names):
        values, since, until = known.entries.details.iloc[row], where.get("since"), where.get("until")
        keep = cameras[row] in where.get("cameras", (0, 1)) and cameras[row] not in where.get("without_cameras", ())
        keep = keep and all(values[column] == value for column, value in where.get("equal", {}).items())
        if since or until:
            keep = keep and times[row] != "" and (not since or times[row] >= since)
            keep = keep and (not until or times[row] <= until or times[row].startswith(until))
        wanted += [name] if keep else []
    with served(known, toy_run.root) as page:
        listed = call(page, f"/v1/vehicles?count=1000&{query}").json
        found = call(page, f"/v1/search?k=100&{query}", "POST", toy_run.photos()[0].read_bytes()).json
    assert (listed["total"], [one["name"] for one in listed["vehicles"]]) == (len(wanted), sorted(wanted))
    assert sorted(match["name"] for match in found["matches"]) == sorted(wanted)
    assert {match["name"]: match["details"] for match in found["matches"]} == {
        one["name"]: one["details"] for one in listed["vehicles"]
    }


def test_names_are_listed_in_pages_and_by_words(gallery: Gallery, page: ServedPage) -> None:
    for query, names in (
        ("start=9999", []),
        ("words=9-3.JPG", ["images/09-3.jpg"]),
        ("words=%3Cb%3E", []),
        ("words=9-", sorted(name for name in gallery.names if "9-" in name)),
    ):
        assert [one["name"] for one in call(page, f"/v1/vehicles?{query}").json["vehicles"]] == names
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
            ([{"time": "yesterday"}], "0.time: must be as in ISO 8601"),
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
        lost, files = "details as JSON in the text field details", [("image", "a", good)]
        send_form(page, "/v1/vehicles", [*files, ("details", "d.json", b"[{}]")]).assert_error(422, lost)
        send_form(page, "/v1/vehicles", files, {"vehicle": "7"}).assert_error(422, lost)
        send_form(page, "/v1/vehicles?vehicle=7", files).assert_error(422, lost)
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
        ("k=1e1", "k: "),
        ("camera=x", "camera.0: "),
        ("camera=-1", "camera.0: "),
        (f"not-camera={30 * '9'}", "not-camera.0: "),
        ("camera=%D9%A3", "camera.0: "),
        ("since=5.11.2026", "since: must be as in ISO 8601"),
        ("until=yesterday", "until: must be as in ISO 8601"),
        ("colour=red", "no column colour"),
        ("vehicle=1&vehicle=2", "each detail can be given once"),
    ):
        call(page, f"/v1/search?{query}", "POST", good).assert_error(422, words)
    for query in ("count=1001", "count=0", "start=-1", "until=x", "not-camera=x"):
        call(page, f"/v1/vehicles?{query}").assert_error(422)
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
    for (path, method), known in {("/v1/search", "post"): SEARCHED_BY, ("/v1/vehicles", "get"): LISTED_BY}.items():
        described = paths[path][method]["parameters"]
        assert {(one["name"], one["in"], one["required"]) for one in described} == {
            (it, "query", False) for it in known
        }
    required = {path: paths[path]["post"]["requestBody"]["required"] for path in paths if "post" in paths[path]}
    assert required == {"/v1/search": False, "/v1/vehicles": True, "/v1/compare": False}
    for path in ("/docs", "/redoc"):
        call(page, path).assert_error(404)


def test_without_tokens_no_web_site_can_use_it(toy_run: ToyRun, page: ServedPage) -> None:
    good = toy_run.photos()[0].read_bytes()
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        sent = {"Origin": "", **headers}
        page.request("/v1/search", "POST", good, **sent).assert_error(403)
        page.request("/v1/vehicles/a", "DELETE", **sent).assert_error(403)
