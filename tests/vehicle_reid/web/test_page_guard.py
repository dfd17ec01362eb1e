"""Whom the page's server refuses: foreign names and pages; what it tells browsers, and hides of its faults."""

import pytest

from helpers.places.serve import Served, file_of
from vehicle_reid.web.guard import TOLD

SECRET = b"nobody is to read this"


@pytest.mark.parametrize(
    ("host", "taken"),
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
def test_no_other_name_leads_to_the_page(page: Served, host: str, taken: bool) -> None:
    host = host.format(page.port)
    for path in ("/", "/photos/g1/photo.jpg", "/nowhere"):
        answer = page.ask(path, Host=host)
        if not taken:
            answer.refused(403, "127.0.0.1 or localhost")
    made = page.upload(file_of("PNG"), Host=host, Origin=f"http://{host}")
    assert made.status == (201 if taken else 403)


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
def test_no_other_page_may_upload(page: Served, origin: str) -> None:
    page.upload(file_of("PNG"), Origin=origin.format(page.port)).refused(403, "only this page itself may send photos")


def test_no_other_page_may_show_or_load_what_is_here_but_may_link_to_it(page: Served) -> None:
    for site in ("cross-site", "same-site"):
        page.ask("/photos/g1/photo.jpg", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").refused(403, "only this page")
        page.upload(file_of("PNG"), Sec_Fetch_Site=site, Sec_Fetch_Mode="cors").refused(403)
        assert page.ask("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
    assert page.ask("/photos/g1/photo.jpg", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="no-cors").status == 200


def test_every_answer_tells_browsers_to_keep_to_this_page(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.finder, "score", lambda first, second: 1 / 0)
    answers = [page.ask(path) for path in ("/", "/page/main.js", "/photos/g1", "/photos/g1/Fp.jpg", "/nowhere")]
    answers += [page.upload(b""), page.ask("/", Host="evil"), page.ask("/scores/g1/g2"), page.ask("/", "DELETE")]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 404, 422, 403, 500, 405]
    for answer in answers:
        assert {name.lower() for name in TOLD} <= set(answer.headers)
        assert "server" not in answer.headers and "access-control-allow-origin" not in answer.headers


def test_a_fault_of_ours_is_told_here_and_its_place_in_the_terminal(
    page: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page.finder, "score", lambda first, second: 1 / 0)
    answer = page.ask("/scores/g1/g2")
    answer.refused(500, "the terminal in which `serve` runs tells what")
    assert b"division" not in answer.body
    monkeypatch.undo()
    assert page.ask("/scores/g1/g2").status == 200  # by then the fault before it has been written
    assert "division by zero" in caplog.text
