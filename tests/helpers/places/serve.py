"""The search page of a toy gallery, served in a thread, and requests to it."""

import io
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pandas as pd
import pytest
from PIL import Image

from helpers.places.api import ToyRun
from reid.retrieval.open_set import EVIDENCE, Calibration
from vehicle_reid import Gallery
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.lance.store import LanceStore
from vehicle_reid.web.finder import PHOTO, Finder
from vehicle_reid.web.page import PageInfo
from vehicle_reid.web.server import listen, make_server
from vehicle_reid.web.site import Settings, Site, site

UPLOAD_LIMIT = 200_000  # bytes
PLAIN = Settings()


class Answer(NamedTuple):
    """A response of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def assert_error(self, status: int, *words: str) -> None:
        """Check that it is an error of that status, with these words in its message."""
        assert self.status == status, (self.status, self.body)
        assert set(self.json) == {"error"}
        for word in words:
            assert word in self.json["error"]


class ServedPage(NamedTuple):
    """A served page, and its backend."""

    finder: Finder
    port: int
    site: Site

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def request(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Send a request as the page itself would; `headers` override the page's."""
        own = {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}"}
        sent = {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())
        finally:
            connection.close()

    def upload(self, body: Any, **headers: str) -> Answer:
        """Upload a photo."""
        return self.request("/photos", "POST", body, **headers)

    def search(self, key: str, query: str = "", **headers: str) -> Any:
        """Return the answer of a search with an upload, or with an image of the gallery, as the page asks for it."""
        given = {"page-photo": key} if key[0] == "p" else {"name": self.finder.photos.embedding(key)["name"].item()}
        answer = self.request(f"/v1/search?{urlencode(given)}&{query}", "POST", **headers)
        assert answer.status == 200, answer.body
        return answer.json

    def raw_upload(self, head: str, body: bytes = b"") -> socket.socket:
        """Open a connection and send an upload with these headers as it is; the caller closes the connection."""
        own = f"Host: 127.0.0.1:{self.port}\r\nOrigin: {self.url.rstrip('/')}"
        line = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        line.sendall(f"POST /photos HTTP/1.1\r\n{own}\r\n{head}\r\n\r\n".encode() + body)
        return line


def gallery_of(run: ToyRun) -> Gallery:
    """Return a gallery of the toy set's gallery images."""
    return Gallery.build(run.model(), run.images(run.names("gallery")), cameras=run.cameras)


def gallery_with(gallery: Gallery, entries: Entries) -> Gallery:
    """Return a gallery of other images by the same model, in memory."""
    return Gallery(gallery.model, LanceStore.create("memory://", entries, model=gallery.model.fingerprint))


def detailed(gallery: Gallery, **more: Sequence[str]) -> Gallery:
    """Return a gallery of the same images with details: vehicle, time, lane, and `more`; some are unknown."""
    rows = range(len(gallery))
    details = {
        "vehicle": [str(7 + row % 3) if row % 4 else "" for row in rows],
        "time": [f"2026-11-0{4 + row % 2}T{8 + row % 4:02d}:30:00" if row % 5 else "" for row in rows],
        "lane": [("left", "right", "")[row // 2 % 3] for row in rows],
    }
    return gallery_with(gallery, replace(gallery.entries, details=pd.DataFrame({**details, **more})))


@contextmanager
def served(gallery: Gallery, root: Path, settings: Settings = PLAIN, **changes: Any) -> Iterator[ServedPage]:
    """Serve the page of a gallery; `changes` are fields of its `PageInfo`."""
    finder = Finder(gallery, root)
    fields = {"cameras": tuple(finder.cameras), "views": (PHOTO, *finder.heatmaps), "attention": "parts"}
    info = PageInfo("folder/tiny", **{"images": len(gallery), "upload_limit": UPLOAD_LIMIT, **fields, **changes})
    with listen(0) as listener, site(finder, info, settings) as app:
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield ServedPage(finder, listener.getsockname()[1], app)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def calibrate(gallery: Gallery, monkeypatch: pytest.MonkeyPatch, *, accepted: bool) -> None:
    """Give the model of a gallery a calibration by the cosine, which accepts every first match, or none."""
    none = (0.0,) * (len(EVIDENCE) - 1)
    ones = (1.0,) * len(EVIDENCE)
    bounds = tuple(-99 * one for one in ones), tuple(99 * one for one in ones)
    found = Calibration((0.0, *none), ones, *bounds, (2.0, *none), 0.0, 0.0 if accepted else 1.0)
    monkeypatch.setitem(vars(gallery.model), "calibration", found)


def image_file(kind: str, width: int = 40, height: int = 30, mode: str = "RGB") -> bytes:
    """Return a black image file of that format."""
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, kind)
    return file.getvalue()
