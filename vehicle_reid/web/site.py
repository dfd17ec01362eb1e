"""The whole site in one ASGI application: the page and the API, which share the model's thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from vehicle_reid.web.api.endpoints import ApiEndpoints, api_app
from vehicle_reid.web.api.model_queue import ModelQueue
from vehicle_reid.web.api.service import Service
from vehicle_reid.web.app import page_app, server_threads
from vehicle_reid.web.finder import Finder
from vehicle_reid.web.guard import SECURITY_HEADERS, Guard, forbidden, local_refusal
from vehicle_reid.web.page import PageInfo

API_ADDRESSES = ("/health", "/metrics", "/openapi.json")
API_FOLDER = "/v1/"


@dataclass(frozen=True)
class Settings:
    """How the API is served: `queue` requests at most wait for the model."""

    queue: int = 64


class Site:
    """The ASGI application: requests go to the API or to the page, by their path."""

    def __init__(self, page: ASGIApp, api: ASGIApp, queue: ModelQueue) -> None:
        """Serve both; `queue` is the API's."""
        self.queue = queue
        self._page, self._api = page, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_api = scope["path"] in API_ADDRESSES or scope["path"].startswith(API_FOLDER)
        await (self._api if is_api else self._page)(scope, receive, send)


@contextmanager
def site(finder: Finder, info: PageInfo, settings: Settings = Settings()) -> Iterator[Site]:
    """Yield the application; on exit pending work is cancelled and its threads end."""
    with server_threads() as threads:
        queue = ModelQueue(finder.model, threads.model, settings.queue)
        endpoints = ApiEndpoints(Service(finder), queue, threads.readers, info.upload_limit)
        api = Guard(api_app(endpoints), _refuse_web_sites, SECURITY_HEADERS)
        yield Site(page_app(finder, info, threads), api, queue)


def _refuse_web_sites(scope: Scope) -> Response | None:
    reason = local_refusal(Headers(scope=scope))
    return None if reason is None else forbidden(reason)
