"""Bad, huge and endless uploads are refused with a message."""

import socket
import struct

import pytest

from helpers.places.serve import UPLOAD_LIMIT, ServedPage, image_file
from vehicle_reid.web import bodies, connection
from vehicle_reid.web.bodies import DRAINED


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "this photo: not a JPEG, PNG, WebP or BMP image"),
        (b"no image\0" * 99, "this photo: not a JPEG, PNG, WebP or BMP image"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            "not a JPEG, PNG, WebP or BMP image",
        ),
        (image_file("GIF"), "not a JPEG, PNG, WebP or BMP image"),
        (image_file("TIFF"), "not a JPEG, PNG, WebP or BMP image"),
        (image_file("JPEG")[:-200], "this photo: damaged image"),
        (image_file("PNG")[:60], "this photo: damaged image"),
        (image_file("PNG", 8000, 7000, "1"), "8000 x 7000 is over 50 megapixels"),
        (image_file("PNG", 20_000, 10_000, "1"), "over 50 megapixels"),
    ],
    ids=["empty", "text", "svg", "gif", "bmp", "short-jpeg", "short-png", "large", "bomb"],
)
def test_a_file_that_is_no_complete_jpeg_or_png_is_refused(page: ServedPage, data: bytes, words: str) -> None:
    page.upload(data).assert_error(422, words)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_complete_image_is_accepted_with_any_content_type(page: ServedPage, kind: str) -> None:
    upload = page.upload(image_file(kind), Content_Type="text/html; charset=x")
    assert upload.status == 201 and upload.json["size"] == [40, 30]


def test_a_file_over_the_limit_is_refused_with_and_without_a_length(page: ServedPage) -> None:
    words = ("larger than 0.2 MB", "shrink it", "--max-upload")
    page.upload(b"x" * (UPLOAD_LIMIT + 1)).assert_error(413, *words)
    page.upload(iter([b"x" * UPLOAD_LIMIT, b"x"])).assert_error(413, *words)  # chunked
    page.upload(b"x" * (DRAINED * UPLOAD_LIMIT)).assert_error(413, *words)
    assert page.upload(b"x" * UPLOAD_LIMIT).status == 422
    assert page.upload(iter([image_file("PNG")])).status == 201


@pytest.mark.parametrize(
    "head", [f"Content-Length: {10**15}", f"Content-Length: {UPLOAD_LIMIT + 1}\r\nExpect: 100-continue"]
)
def test_a_huge_declared_length_is_refused_before_the_body(page: ServedPage, head: str) -> None:
    with page.raw_upload(head) as line:
        assert b"413" in line.recv(65536).splitlines()[0]


def test_an_endless_body_is_cut_off(page: ServedPage) -> None:
    chunk = b"1000\r\n" + bytes(0x1000) + b"\r\n"
    with page.raw_upload("Transfer-Encoding: chunked") as line, pytest.raises(ConnectionError):
        for _ in range(0, 100 * UPLOAD_LIMIT + (64 << 20), len(chunk)):  # more than the socket buffers
            line.sendall(chunk)
    assert page.request("/").status == 200


def test_slow_senders_are_given_up_and_others_are_served(page: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.3)
    address = ("127.0.0.1", page.port)
    with page.raw_upload("Content-Length: 5000", b"xx") as body, socket.create_connection(address, 30) as head:
        head.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert page.upload(image_file("PNG")).status == 201
        answer = body.recv(65536)
        assert b"408" in answer.splitlines()[0] and b"connection: close" in answer.lower()
        assert head.recv(65536) == b""


def test_a_client_that_disconnects_while_sending_disturbs_nobody(
    page: ServedPage, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        with page.raw_upload("Content-Length: 5000", b"xx") as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
    assert page.upload(image_file("PNG")).status == 201
    assert "Traceback" not in capfd.readouterr().err
