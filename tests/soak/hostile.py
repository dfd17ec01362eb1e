"""Hostile requests to `serve`: photos, forms, names, headers and connections; and clients without the right token."""

import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import quote

from helpers.faults.bombs import LARGE, compressed_zeros, jpeg, png
from helpers.places.api_client import BOUNDARY, call, enrol, form, send_form
from helpers.places.serve import Answer, image_file
from helpers.places.service import Server

Send = Callable[[Server], str | None]  # returns what is wrong
REFUSED = (400, 408, 413, 414, 415, 422, 431)
PATIENCE = 60  # seconds for an answer; most take milliseconds
TOKEN = "gate-0123456789abcdefXYZ"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}
NAMES = (
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "a\\..\\b",
        "..",
        ".",
        "a//b",
        "%2e%2e",
        "C:\\x",
        "CON",
        "-rf",
        "a?b#c",
        "a%00b",
    ),
    *("<script>", "'; DROP TABLE images; --", "\u202egpj.a", "\ufeff", "é".encode().decode("latin-1"), "漢字" * 300),
    *("x" * 1000, " ", "{{7*7}}", "$(id)", "*", "`id`", "NULL", "\U0001f600"),
)
REFUSED_NAMES = ("a\nb", "\u2028", "a\0b", "\x1b[31m", "x" * 1001, "\x7f")


def hostile_requests(photo: bytes) -> Iterator[tuple[str, Send]]:
    """Yield descriptions of hostile requests, with what sends them and says what is wrong with the answer."""
    yield from _photos(photo)
    yield from _forms(photo)
    yield from _names(photo)
    yield from _raw(photo)
    yield "100 connections with half a request", partial(_half_sent, b"GET /health HTTP/1.1\r\nHost: x", 100, photo)
    head = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf"
    yield "100 connections with half a body", partial(_half_sent, head, 100, photo)


def _photos(photo: bytes) -> Iterator[tuple[str, Send]]:
    bombs = {"PNG of 4 x 10^9 pixels": png(65_000, 65_000), "JPEG of 4 x 10^9 pixels": jpeg(65_000)}
    for kind in (b"zTXt", b"iCCP"):
        bombs[f"PNG with {LARGE} MB of {kind.decode()}"] = png(4, 4, (kind, b"name\0\0" + compressed_zeros(LARGE)))
    bombs["PNG of 51 megapixels"] = image_file("PNG", 10_000, 5_100, "1")
    shares = (0, 1, 2, 10, len(photo) // 4, len(photo) // 2, len(photo) - 200)
    bombs |= {f"photo cut off after {count} bytes": photo[:count] for count in shares}
    bombs |= {"text": b"no image\0" * 99, "a script": b"<svg><script>alert(1)</script></svg>", "zeros": bytes(100_000)}
    for name, data in bombs.items():
        yield name, partial(_refused, lambda server, data=data: call(server, "/v1/search", "POST", data))
        yield f"{name}, to enrol", partial(_refused, lambda server, data=data: enrol(server, {"a.jpg": data}))
    yield "12 photos of 49 megapixels at once", partial(_at_once, image_file("PNG", 7000, 7000, "1"), 12)


def _forms(photo: bytes) -> Iterator[tuple[str, Send]]:
    details: dict[str, Any] = {
        "JSON of nested lists": "[" * 100_000,
        "JSON with a number of 100,000 digits": "9" * 100_000,
        "another number of objects": "[{},{}]",
        "no list": "3",
        "a camera that is text": '[{"camera": "x"}]',
        "a camera beyond 64 bits": f'[{{"camera": {2**63}}}]',
        "1,000 columns": json.dumps([{f"column{number}": "x" for number in range(1000)}]),
        "a column of the gallery": '[{"crc": "1"}]',
        "the column that says where it came from": '[{"Enrolled_By": "me"}]',
        "a column with a quote": '[{"a`b": "1"}]',
        "a lone surrogate": '[{"vehicle": "\\ud800"}]',
    }
    for name, text in details.items():
        sent = {"details": text}
        yield (
            f"details: {name}",
            partial(_refused, lambda server, sent=sent: send(server, [("image", "a", photo)], sent)),
        )
    fields = {f"field{number}": "x" for number in range(5000)}
    yield "a form of 5,000 fields", partial(_refused, lambda server: send(server, [("image", "a", photo)], fields))
    yield "a form of 2,000 files", partial(_refused, lambda server: send(server, [("image", "a", b"x")] * 2000))
    whole = form([("image", "a", photo)])
    bodies = {
        "without an end": whole[:-20],
        "of another boundary": whole.replace(BOUNDARY.encode(), b"other"),
        "of no part": b"",
        "with a header of 100 kB": whole.replace(b"filename", b"x" * 100_000 + b"; filename"),
        "with 10,000 headers": whole.replace(b"\r\n\r\n", b"\r\n" + b"A: b\r\n" * 10_000 + b"\r\n", 1),
    }
    for name, body in bodies.items():
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        yield f"a form {name}", partial(_refused, partial(_post, "/v1/vehicles", body, kind))
    slow = form([("image", "a" * 1_000_000, photo)], {"x" * 1_000_000: "y"})
    for charset in ("punycode", "unicode_escape", "idna", "utf-7", "zlib", "x" * 1000):
        kind = f"multipart/form-data; boundary={BOUNDARY}; charset={charset}"
        yield f"a form in {charset[:20]}", partial(_refused, partial(_post, "/v1/vehicles", slow, kind))
    for kind in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 9999,
    ):
        yield f"a form of the type {kind[:40]}", partial(_refused, partial(_post, "/v1/search", whole, kind))


def send(server: Server, files: Sequence[tuple[str, str, bytes]], fields: Mapping[str, str] = {}) -> Answer:
    """Send a form to enrol."""
    return send_form(server, "/v1/vehicles", files, fields)


def _post(path: str, body: bytes, kind: str, server: Server) -> Answer:
    return call(server, path, "POST", body, Content_Type=kind)


def _names(photo: bytes) -> Iterator[tuple[str, Send]]:
    for name in NAMES:
        yield f"the name {name[:30]!r}", partial(_comes_and_goes, photo, name)
    for name in REFUSED_NAMES:
        yield (
            f"the name {name[:30]!r}",
            partial(_refused, lambda server, name=name: enrol(server, {"a": photo}, {"name": name})),
        )
    yield "a file with a name of 5,000 characters", partial(_refused, lambda server: enrol(server, {"y" * 5000: photo}))


def _comes_and_goes(photo: bytes, name: str, server: Server) -> str | None:
    """Enrol an image of that name, list and delete it: exactly this one must come and go."""
    answer = enrol(server, {"a": photo}, {"name": name})
    if answer.status != 201:
        return str(answer)
    listed = call(server, f"/v1/vehicles?words={quote(name, safe='')}")
    found = [one["name"] for one in listed.json["vehicles"]] if listed.status == 200 else []
    gone = call(server, f"/v1/vehicles/{quote(name, safe='')}", "DELETE")
    right = answer.json["vehicles"][0]["name"] == name and name in found and gone.status == 204
    return None if right else f"{answer} {listed} {gone}"


def _raw(photo: bytes) -> Iterator[tuple[str, Send]]:
    host = b"Host: 127.0.0.1\r\n"
    size = str(len(photo)).encode()
    texts = {
        "a header of 1 MB": b"GET /health HTTP/1.1\r\n" + host + b"A: " + b"x" * 1_000_000 + b"\r\n\r\n",
        "200,000 headers": b"GET /health HTTP/1.1\r\n" + host + b"A: b\r\n" * 200_000 + b"\r\n",
        "an address of 1 MB": b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        "bytes that are no HTTP": bytes(range(256)) * 10,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "a negative length": b"POST /v1/search HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
        "a length that is text": b"POST /v1/search HTTP/1.1\r\n" + host + b"Content-Length: x\r\n\r\n",
        "a length of 10^15": b"POST /v1/search HTTP/1.1\r\n" + host + b"Content-Length: 1000000000000000\r\n\r\n",
        "two lengths": b"POST /v1/search HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "a length that is too small": b"POST /v1/search HTTP/1.1\r\n" + host + b"Content-Length: 9\r\n\r\n" + photo,
        "a bad chunk": b"POST /v1/search HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n",
        "an unknown encoding": b"POST /v1/search HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip\r\n\r\n",
        "no host": b"GET /v1/vehicles HTTP/1.1\r\n\r\n",
        "two hosts": b"GET /v1/vehicles HTTP/1.1\r\n" + host + b"Host: evil.example\r\n\r\n",
        "a null byte in the address": b"GET /v1/vehicles\0 HTTP/1.1\r\n" + host + b"\r\n",
        "an unknown method": b"BREW /v1/search HTTP/1.1\r\n" + host + b"\r\n",
        "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\n" + host + b"\r\n",
        "another server's address": b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "a way out of the page": b"GET /page/../../../../etc/passwd HTTP/1.1\r\n" + host + b"\r\n",
        "a way out, encoded": b"GET /page/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\n" + host + b"\r\n",
    }
    for name, text in texts.items():
        yield name, partial(_no_success, text)
    for name, head in {
        "a length that is too large": b"Content-Length: " + str(len(photo) + 10).encode(),
        "a body that never comes": b"Content-Length: " + size,
    }.items():
        body = photo if "large" in name else b""
        yield name, partial(_given_up, b"POST /v1/search HTTP/1.1\r\n" + host + head + b"\r\n\r\n" + body)


def _refused(ask: Callable[[Server], Answer], server: Server) -> str | None:
    """Return what is wrong with an answer that should be a refusal in one line."""
    answer = ask(server)
    right = answer.status in REFUSED and set(answer.json) == {"error"} and "\n" not in answer.json["error"]
    return None if right else f"{answer.status} {answer.body[:200]!r}"


def _no_success(text: bytes, server: Server) -> str | None:
    """Send bytes; return what is wrong unless they are refused, or the connection is closed."""
    answer = _talk(server, text)
    status = answer.split(b" ")[1] if answer.startswith(b"HTTP/1.1 ") else b""
    return None if not answer or status[:1] == b"4" else repr(answer[:300])


def _given_up(text: bytes, server: Server) -> str | None:
    """Send bytes and go away."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as line:
        line.sendall(text)
    return None


def _talk(server: Server, text: bytes) -> bytes:
    """Send bytes, and return the first that come back, none if the connection is closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as line:
        try:
            line.sendall(text)
            return line.recv(65_536)
        except ConnectionError:
            return b""


def _at_once(photo: bytes, count: int, server: Server) -> str | None:
    """Search with a photo several times at once."""
    with ThreadPoolExecutor(count) as threads:
        answers = list(threads.map(lambda _: call(server, "/v1/search?k=1", "POST", photo), range(count)))
    return next((str(answer) for answer in answers if answer.status != 200), None)


def _half_sent(text: bytes, count: int, photo: bytes, server: Server) -> str | None:
    """Search while other clients hold connections on which they have sent half of something."""
    with ExitStack() as lines:
        for _ in range(count):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
            line.sendall(text)
        answer = call(server, "/v1/search?k=1", "POST", photo)
    return None if answer.status == 200 else str(answer)


def unauthorised(server: Server, photo: bytes) -> Iterator[tuple[str, str | None]]:
    """Ask for every address without the right token; yield descriptions, with what is wrong."""
    bearers = (
        *("", " ", "x", "gate", TOKEN[:-1], TOKEN[1:], f"{TOKEN}x", f"x{TOKEN}", TOKEN.upper(), TOKEN.lower()),
        *(TOKEN.swapcase(), TOKEN[::-1], f"{TOKEN[:-1]}Y", f"{TOKEN},", f"{TOKEN} x", f'"{TOKEN}"', f"gate {TOKEN}"),
        *(f"Bearer {TOKEN}", TOKEN.replace("-", "_"), f"{TOKEN}=", f"\xa0{TOKEN}\xad", "é", "x" * 10_000, "*", "None"),
    )
    headers = [{"Authorization": f"Bearer {one}"} for one in bearers]
    headers += [
        {"Authorization": text} for text in ("Bearer", TOKEN, f"Basic {TOKEN}", f"Bearer{TOKEN}", f"Token {TOKEN}")
    ]
    headers += [{name: TOKEN} for name in ("X_Api_Key", "X_Auth_Token", "Cookie", "Proxy_Authorization", "Token")]
    headers += [
        {"Cookie": f"Authorization=Bearer {TOKEN}"},
        {"X_Forwarded_For": "127.0.0.1"},
        {"X_Original_URL": "/health"},
    ]
    addresses: list[tuple[str, str]] = [
        ("/v1/vehicles", "GET"),
        ("/v1/search?k=1", "POST"),
        ("/v1/vehicles", "POST"),
        ("/v1/compare", "POST"),
        ("/v1/vehicles/photo/000.jpg", "DELETE"),
        ("/metrics", "GET"),
    ]
    for sent in headers:
        for path, method in addresses:
            body = photo if method == "POST" else None
            yield f"{method} {path} with {sent}", _let_in(call(server, path, method, body, **sent))
    places = (
        *(f"/v1/vehicles?{name}={TOKEN}" for name in ("token", "access_token", "Authorization", "key")),
        *(
            "//v1/vehicles",
            "/V1/vehicles",
            "/v1/./vehicles",
            "/health/../v1/vehicles",
            "/%76%31/vehicles",
            "/v1/vehicles/",
        ),
        *("/openapi.json/../v1/vehicles", "/health%2f..%2fv1/vehicles", "/health;/v1/vehicles", "/v1%2fvehicles"),
        *(f"/{TOKEN}/v1/vehicles", "/", "/gallery", "/photos/g0", "/photos/g0/photo.jpg", "/page/main.js", "/docs"),
        *("/metrics/", "/metrics?x=/health", "/v1/vehicles#/health", "/v1/vehicles?path=/health"),
    )
    for path in places:
        yield f"GET {path}", _let_in(call(server, path))
    body = form([("image", "a", photo)], {"token": TOKEN, "Authorization": f"Bearer {TOKEN}"})
    yield (
        "the token in the form",
        _let_in(_post("/v1/vehicles", body, f"multipart/form-data; boundary={BOUNDARY}", server)),
    )
    two = (
        f"GET /v1/vehicles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nAuthorization: Bearer {TOKEN[:-1]}\r\n\r\n"
    )
    yield "two wrong tokens", None if b" 403 " in _talk(server, two.encode()) else "let in"


def _let_in(answer: Answer) -> str | None:
    """Return what is wrong with an answer to somebody who must not be let in."""
    return None if answer.status in (307, 400, 401, 403, 404) and b"photo/" not in answer.body else str(answer)
