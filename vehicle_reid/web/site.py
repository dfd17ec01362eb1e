"""The whole site in one ASGI application: the page and the API, which share the model's thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from vehicle_reid.web.api.access import Access, Tokens
from vehicle_reid.web.api.endpoints import ApiEndpoints, api_app
from vehicle_reid.web.api.metrics import Metrics
from vehicle_reid.web.api.model_queue import ModelQueue
from vehicle_reid.web.api.service import Service
from vehicle_reid.web.app import error_response, page_app, server_threads
from vehicle_reid.web.bodies import Bodies
from vehicle_reid.web.finder import Finder
from vehicle_reid.web.guard import Guard
from vehicle_reid.web.page import PageInfo

API_ADDRESSES = ("/health", "/metrics", "/openapi.json")
API_FOLDER = "/v1/"
NO_PAGE = "nothing at this address: with --tokens there is the API alone, and no search page"


@dataclass(frozen=True)
class Settings:
    """How the API is served.

    At most `queue` requests wait for the model. With `tokens` every request needs one of them, there is no page, and
    `per_minute` requests are allowed with each token, None for any number. `keep_pictures`: the gallery keeps the
    pictures of images that are enrolled; it must be in a folder.
    """

    queue: int = 64
    tokens: Tokens | None = None
    per_minute: int | None = None
    keep_pictures: bool = False


class Site:
    """The ASGI application: requests go to the API or to the page, by their path."""

    def __init__(self, page: ASGIApp, api: ASGIApp, queue: ModelQueue, metrics: Metrics) -> None:
        """Serve both; `queue` is the API's, and `metrics` count the requests to both."""
        self.queue, self._metrics = queue, metrics
        self._page, self._api = page, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_api = scope["path"] in API_ADDRESSES or scope["path"].startswith(API_FOLDER)
        await self._metrics.measure(self._api if is_api else self._page, scope, receive, send)


@contextmanager
def site(finder: Finder, info: PageInfo, settings: Settings = Settings()) -> Iterator[Site]:
    """Yield the application; on exit pending work is cancelled and its threads end."""
    with server_threads() as threads:
        queue = ModelQueue(finder.model, threads.model, settings.queue)
        metrics = Metrics(finder.gallery.store.count, lambda: queue.waiting)
        bodies = Bodies(info.upload_limit)
        service = Service(finder, keep_pictures=settings.keep_pictures)
        endpoints = ApiEndpoints(service, queue, metrics, threads.readers, bodies)
        access = Access(settings.tokens, settings.per_minute)
        page = (
            page_app(finder, info, threads, bodies) if settings.tokens is None else Guard(no_page, lambda scope: None)
        )
        yield Site(page, Guard(api_app(endpoints), access.refuse), queue, metrics)


async def no_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request to the page, which has no login and may be behind a proxy that hides who asks."""
    await error_response(NO_PAGE, 404)(scope, receive, send)
