"""Requests to the HTTP API: forms, and what it is asked with."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from helpers.places.serve import Answer

BOUNDARY = "a7f3c2d8"
Files = Sequence[tuple[str, str, bytes]]  # field, name and bytes of each


class Client(Protocol):
    """What sends requests: a served page, or a server in a process of its own."""

    def request(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Return the answer to a request; an empty header is not sent."""


def form(files: Files, fields: Mapping[str, str] = {}) -> bytes:
    """Return a multipart body."""
    body = b""
    for field, value in fields.items():
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
    for field, name, data in files:
        head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: image/jpeg'
        body += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def call(page: Client, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """Send a request as a program does, without an Origin."""
    return page.request(path, method, body, Origin="", **headers)


def send_form(page: Client, path: str, files: Files, fields: Mapping[str, str] = {}, **headers: str) -> Answer:
    """Send a form."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return call(page, path, "POST", form(files, fields), Content_Type=kind, **headers)


def enrol(page: Client, images: Mapping[str, bytes], details: Any = None) -> Answer:
    """Enrol images by name; `details` are objects as the API takes them."""
    files = [("image", name, data) for name, data in images.items()]
    return send_form(page, "/v1/vehicles", files, {} if details is None else {"details": json.dumps(details)})
