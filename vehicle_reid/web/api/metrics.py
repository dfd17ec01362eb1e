"""What the server counts, for Prometheus."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CONTENT_TYPE", "Metrics"]

VEHICLE = "/v1/vehicles/"
ADDRESSES = ("/v1/search", "/v1/vehicles", "/v1/compare", "/health", "/metrics", "/openapi.json")
METHODS = ("GET", "HEAD", "POST", "DELETE")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Requests by path and status, their time, images in the gallery, and requests that wait for the model."""

    def __init__(self, images: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Ask `images` and `waiting` for their numbers whenever `text` is called."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "pgan_requests", "Answered requests", ["path", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "pgan_request_seconds", "Time to the end of the answer", ["path"], buckets=SECONDS, registry=self._registry
        )
        gallery = Gauge("pgan_gallery_images", "Images in the gallery", registry=self._registry)
        gallery.set_function(images)
        queue = Gauge("pgan_queue_length", "Requests that wait for the model or have it", registry=self._registry)
        queue.set_function(waiting)

    def text(self) -> bytes:
        """Return all numbers in the text format of Prometheus."""
        return generate_latest(self._registry)

    async def measure(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let `app` answer a request, and count it."""
        started, status = time.monotonic(), "none"  # none: the connection was closed before an answer

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await app(scope, receive, send_and_note)
        finally:
            path, method = label(scope["path"]), scope["method"] if scope["method"] in METHODS else "other"
            self._requests.labels(path, method, status).inc()
            self._seconds.labels(path).observe(time.monotonic() - started)


def label(path: str) -> str:
    """Return the address that a path is counted as: there are few, whatever clients ask for.

    >>> label("/v1/vehicles/a/b.jpg"), label("/photos/g1")
    ('/v1/vehicles/{name}', 'page')
    """
    if path in ADDRESSES:
        return path
    if path.startswith(VEHICLE):
        return f"{VEHICLE}{{name}}"
    return "other" if path.startswith("/v1/") else "page"
