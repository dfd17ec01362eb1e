"""What the page's server refuses of uploads, each in words: bad, huge and endless files."""

import socket
import struct

import pytest

from helpers.places.serve import LIMIT, Served, file_of, own, raw
from vehicle_reid.web.requests import DRAINED

SECRET = b"nobody is to read this"


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
