"""The server refuses requests by other host names and pages, and hides its internal errors."""

import pytest

from helpers.places.serve import ServedPage, image_file
from vehicle_reid.web.guard import SECURITY_HEADERS


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:{}", True),
        ("localhost:{}", True),
        ("localhost", True),
        ("evil.example:{}", False),
        ("127.0.0.1.evil.example:{}", False),
        ("localhost.evil.example", False),
        ("evil.example@127.0.0.1:{}", False),
        ("127.0.0.1:{}@evil.example", False),
        ("[::1]:{}", False),
        ("0.0.0.0:{}", False),
    ],
)
def test_only_the_local_host_names_are_served(page: ServedPage, host: str, allowed: bool) -> None:
    host = host.format(page.port)
    for path in ("/", "/photos/g1/photo.jpg", "/nowhere"):
        answer = page.request(path, Host=host)
        if not allowed:
            answer.assert_error(403, "127.0.0.1 or localhost")
    upload = page.upload(image_file("PNG"), Host=host, Origin=f"http://{host}")
    assert upload.status == (201 if allowed else 403)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "http://evil.example",
        "https://127.0.0.1:{}",
        "http://127.0.0.1",
        "http://localhost:{}",
        "http://127.0.0.1:{}.x",
    ],
)
def test_other_pages_cannot_upload(page: ServedPage, origin: str) -> None:
    answer = page.upload(image_file("PNG"), Origin=origin.format(page.port))
    answer.assert_error(403, "only be uploaded from this page itself")


def test_other_pages_can_link_to_the_page_but_not_load_or_upload(page: ServedPage) -> None:
    picture = "/photos/g1/photo.jpg"
    for site in ("cross-site", "same-site"):
        headers = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors"}
        page.request(picture, **headers).assert_error(403, "only this page itself can load this")
        page.upload(image_file("PNG"), **headers).assert_error(403)
        assert page.request("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
    assert page.request(picture, Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="no-cors").status == 200


def test_every_answer_has_the_security_headers(page: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.finder, "describe", lambda key: 1 / 0)
    answers = [page.request(path) for path in ("/", "/page/main.js", "/photos/g1/with-parts.jpg", "/nowhere")]
    answers += [page.upload(b""), page.request("/", Host="evil"), page.request("/photos/g1")]
    answers.append(page.request("/", "DELETE"))
    assert [answer.status for answer in answers] == [200, 200, 200, 404, 422, 403, 500, 405]
    for answer in answers:
        assert {name.lower() for name in SECURITY_HEADERS} <= set(answer.headers)
        assert "server" not in answer.headers and "access-control-allow-origin" not in answer.headers


def test_an_internal_error_is_hidden_from_the_client_and_logged(
    page: ServedPage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page.finder, "describe", lambda key: 1 / 0)
    answer = page.request("/photos/g1")
    answer.assert_error(500, "see the terminal in which `serve` runs")
    assert b"division" not in answer.body
    monkeypatch.undo()
    assert page.request("/photos/g1").status == 200  # by now the error has been logged
    assert "division by zero" in caplog.text
