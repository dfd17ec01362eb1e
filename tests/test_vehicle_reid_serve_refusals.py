"""What the page's server refuses, each in words: bad and huge files, foreign pages, strange keys; and what it hides."""

import io
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from api_place import Place, make_place, small_networks
from PIL import Image
from serve_place import LIMIT, Served, gallery_of, served

from data_cache.errors import UserError
from vehicle_reid import Gallery
from vehicle_reid.search import ExactSearch
from vehicle_reid.web.guard import TOLD
from vehicle_reid.web.requests import DRAINED
from vehicle_reid.web.server import bound

SECRET = b"nobody is to read this"


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


def file_of(kind: str, width: int = 40, height: int = 30, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "this photo: not a JPEG or PNG image"),
        (b"no image\0" * 99, "this photo: not a JPEG or PNG image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a JPEG or PNG image"),
        (file_of("GIF"), "not a JPEG or PNG image"),
        (file_of("BMP"), "not a JPEG or PNG image"),
        (file_of("JPEG")[:-200], "this photo: damaged image"),
        (file_of("PNG")[:60], "this photo: damaged image"),
        (file_of("PNG", 8000, 7000, "1"), "8000 x 7000 is over 50 megapixels"),
        (file_of("PNG", 20_000, 10_000, "1"), "over 50 megapixels"),
    ],
    ids=["empty", "text", "svg", "gif", "bmp", "short-jpeg", "short-png", "large", "bomb"],
)
def test_a_file_that_is_no_whole_jpeg_or_png_is_told(page: Served, data: bytes, words: str) -> None:
    page.upload(data).refused(422, words)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_whole_one_is_taken_whatever_it_is_called(page: Served, kind: str) -> None:
    made = page.upload(file_of(kind), Content_Type="text/html; charset=x")
    assert made.status == 201 and made.json["size"] == [40, 30]


def test_a_file_over_the_limit_is_refused_however_it_comes(page: Served) -> None:
    words = ("larger than 0.2 MB", "make it smaller", "--max-upload")
    page.upload(b"x" * (LIMIT + 1)).refused(413, *words)
    page.upload(iter([b"x" * LIMIT, b"x"])).refused(413, *words)  # in chunks, no length told
    page.upload(b"x" * (DRAINED * LIMIT)).refused(413, *words)
    assert page.upload(b"x" * LIMIT).status == 422
    assert page.upload(iter([file_of("PNG")])).status == 201


@pytest.mark.parametrize(
    "head",
    [
        f"Content-Length: {10**15}",
        f"Content-Length: {LIMIT + 1}\r\nExpect: 100-continue",
    ],
)
def test_a_huge_length_is_refused_before_anything_is_sent(page: Served, head: str) -> None:
    assert b"413" in raw(page, f"POST /photos HTTP/1.1\r\n{own(page)}\r\n{head}\r\n\r\n".encode()).splitlines()[0]


def test_an_endless_body_is_cut_off(page: Served) -> None:
    chunk = b"1000\r\n" + bytes(0x1000) + b"\r\n"
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as line:
        line.sendall(f"POST /photos HTTP/1.1\r\n{own(page)}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        sent = 0
        with pytest.raises((ConnectionError, BrokenPipeError)):
            while sent < 100 * LIMIT + (64 << 20):  # what lies in the system's buffers counts for nothing
                line.sendall(chunk)
                sent += len(chunk)
    assert page.ask("/").status == 200


def test_one_who_leaves_while_sending_disturbs_nobody(page: Served, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", page.port), timeout=30) as line:
            line.sendall(f"POST /photos HTTP/1.1\r\n{own(page)}\r\nContent-Length: 5000\r\n\r\nxx".encode())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert page.upload(file_of("PNG")).status == 201
    assert "Traceback" not in capfd.readouterr().err


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


def own(page: Served) -> str:
    """The headers of a page of this server."""
    return f"Host: 127.0.0.1:{page.port}\r\nOrigin: http://127.0.0.1:{page.port}"


def raw(page: Served, request: bytes) -> bytes:
    """What comes back for these bytes until the server has answered."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as line:
        line.sendall(request)
        return line.recv(65536)
