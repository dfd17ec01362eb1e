"""The page of a gallery on a toy set, served in a thread, and requests to it."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from helpers.places.api import Place
from vehicle_reid import Gallery
from vehicle_reid.web.app import serving
from vehicle_reid.web.finder import PHOTO, Finder
from vehicle_reid.web.page import About
from vehicle_reid.web.server import bound, server_of

LIMIT = 200_000  # bytes of an upload


class Answer(NamedTuple):
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def refused(self, status: int, *words: str) -> None:
        """Check that it is an error of that status, told in these words."""
        assert self.status == status, (self.status, self.body)
        assert set(self.json) == {"error"}
        for word in words:
            assert word in self.json["error"]


class Served(NamedTuple):
    """A page that is served, and what is behind it."""

    finder: Finder
    port: int

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Send a request, as a page of this server would unless the headers say otherwise."""
        own = {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}"}
        sent = {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
        finally:
            connection.close()

    def upload(self, body: Any, **headers: str) -> Answer:
        """Send a photo."""
        return self.ask("/photos", "POST", body, **headers)


def gallery_of(place: Place) -> Gallery:
    """The gallery of the toy set's test."""
    table = place.toy.dataset.table
    tested = table[table["split"] == "gallery"]
    cameras = dict(zip(tested["name"], tested["camera_id"].tolist(), strict=True))
    return Gallery.build(place.model(), {name: place.path(name) for name in cameras}, cameras=cameras)


@contextmanager
def served(gallery: Gallery, root: Path, limit: int = LIMIT, **about: Any) -> Iterator[Served]:
    """Serve the page of a gallery."""
    finder = Finder(gallery, root)
    told = {"cameras": tuple(finder.cameras), "kinds": (PHOTO, *finder.heats), "weighs": "parts", **about}
    with bound(0) as place, serving(finder, About("folder/tiny", images=len(gallery), limit=limit, **told)) as app:
        server = server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        try:
            yield Served(finder, place.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def queries(place: Place) -> list[Path]:
    """Photos that are not in the gallery."""
    table = place.toy.dataset.table
    return [place.path(name) for name in sorted(table["name"][table["split"] != "gallery"])]


def file_of(kind: str, width: int = 40, height: int = 30, mode: str = "RGB") -> bytes:
    """An image of that kind, all black."""
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, kind)
    return out.getvalue()


def own(page: Served) -> str:
    """The headers of a page of this server."""
    return f"Host: 127.0.0.1:{page.port}\r\nOrigin: http://127.0.0.1:{page.port}"


def raw(page: Served, request: bytes) -> bytes:
    """What comes back for these bytes until the server has answered."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as line:
        line.sendall(request)
        return line.recv(65536)
