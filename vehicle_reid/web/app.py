"""The page's URLs: one thread runs the model, a few others read pictures, and the event loop never blocks."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_cache.base.errors import UserError, printable
from vehicle_reid.gallery.store import StoreFault
from vehicle_reid.web.api.answers import MAX_NAME
from vehicle_reid.web.bodies import Bodies
from vehicle_reid.web.finder import COVERED, PHOTO, UPLOADED, Finder
from vehicle_reid.web.guard import Guard
from vehicle_reid.web.page import ASSETS, PageInfo, asset, render
from vehicle_reid.web.photos import Box, UnknownPhoto

MAX_MATCHES = 100  # images in one response
MAX_SIDE = 50_000_000  # pixels of an image
READERS = 2  # threads: decoding an image of 50 megapixels takes hundreds of megabytes
JPEG = "image/jpeg"
STATUS_MESSAGES = {404: "not found: there is nothing at this address", 405: "method not allowed at this address"}
STORE_FAULT = "the gallery cannot be read or written now"
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Endpoints:
    """The handlers of all URLs."""

    def __init__(self, finder: Finder, info: PageInfo, threads: "Threads", bodies: Bodies) -> None:
        """Answer from `finder`."""
        self.finder, self.info, self._bodies = finder, info, bodies
        self._model, self._readers = threads

    def routes(self) -> list[Route]:
        """Return the URLs with their handlers."""
        return [
            Route("/", self.page),
            Route("/page/{name}", self.asset),
            Route("/photos", self.upload, methods=["POST"]),
            Route("/photos/{key}", self.photo),
            Route("/photos/{key}/{kind}.jpg", self.picture),
        ]

    async def page(self, request: Request) -> Response:
        """The page."""
        return Response(await self._read(self._page, str(request.base_url)), media_type="text/html")

    def _page(self, address: str) -> str:
        """Return the page's HTML, with what the gallery has now."""
        choices = self.finder.choices()
        info = replace(self.info, images=self.finder.gallery.store.count(), cameras=choices.cameras)
        return render(info, self.finder.gallery_id, choices, address)

    async def asset(self, request: Request) -> Response:
        """A style sheet or script of the page."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(404)
        return Response(asset(name), media_type=ASSETS[name])

    async def upload(self, request: Request) -> Response:
        """Embed the image file in the body; the response describes the photo. Query parameters `name` and `box`."""
        name, box = query_name(request), query_box(request)
        async with self._bodies.body(request) as data:
            key = await self._run_model(self.finder.upload, data, name, box)
        return JSONResponse(await self._read(self.finder.describe, key), status_code=201)

    async def photo(self, request: Request) -> Response:
        """The description of a photo."""
        return JSONResponse(await self._read(self.finder.describe, request.path_params["key"]))

    async def picture(self, request: Request) -> Response:
        """A photo as JPEG, plain or with a heatmap over it; `covered` takes the other photo as `with`."""
        key, kind = request.path_params["key"], request.path_params["kind"]
        picture = await self._read(self.finder.picture, key)  # reads the file outside the model's thread
        if kind == COVERED:
            picture = await self._run_model(self.finder.covered, key, request.query_params.get("with", ""))
        elif kind != PHOTO:
            picture = await self._run_model(self.finder.heatmap, key, kind)
        return Response(picture, media_type=JPEG)

    async def _run_model(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._model, partial(call, *arguments))

    async def _read(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(call, *arguments))


class Threads(NamedTuple):
    """The threads of a server: the only one that runs the model, and a few that read files."""

    model: ThreadPoolExecutor
    readers: ThreadPoolExecutor


@contextmanager
def server_threads() -> Iterator[Threads]:
    """Yield the threads; on exit pending work is cancelled and they end."""
    threads = Threads(
        ThreadPoolExecutor(1, thread_name_prefix="model"), ThreadPoolExecutor(READERS, thread_name_prefix="reader")
    )
    try:
        yield threads
    finally:
        for executor in threads:
            executor.shutdown(wait=True, cancel_futures=True)


def page_app(finder: Finder, info: PageInfo, threads: Threads, bodies: Bodies) -> Guard:
    """Return the ASGI application of the page."""
    routes = Endpoints(finder, info, threads, bodies).routes()
    return Guard(Starlette(routes=routes, exception_handlers=ERROR_HANDLERS))


def query_name(request: Request) -> str:
    """Return the name of an upload from the query string. Raises HTTPException 400 if it is too long."""
    name = request.query_params.get("name") or UPLOADED
    if len(name) > MAX_NAME:
        raise HTTPException(400, f"name must have at most {MAX_NAME} characters")
    return name


def query_box(request: Request) -> Box | None:
    """Return the box of an upload from the query string, `box=left,top,right,bottom`. Raises HTTPException 400."""
    text = request.query_params.get("box")
    return None if text is None else parse_box(text)


def parse_box(text: str) -> Box:
    """Return a box from text, left,top,right,bottom. Raises HTTPException 400."""
    fields = text.split(",")
    if len(fields) != 4:
        raise HTTPException(400, "box must be left,top,right,bottom in pixels of the photo")
    left, top, right, bottom = map(_side, fields)
    return left, top, right, bottom


def _side(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= MAX_SIDE):
        raise HTTPException(400, f"each side of the box must be a whole number from 0 to {MAX_SIDE}")
    return int(text)


def error_response(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status_code=status, headers=headers)


async def _user_error(request: Request, error: Exception) -> Response:
    return error_response(printable(error), 404 if isinstance(error, UnknownPhoto) else 422)


async def _store_fault(request: Request, error: Exception) -> Response:
    """Tell the client that it is no fault of its own, and whoever runs the server what to do."""
    log.error(printable(error))
    return error_response(f"{STORE_FAULT}: {printable(error)}", 503)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(STATUS_MESSAGES.get(error.status_code, error.detail), error.status_code, error.headers)


async def _disconnected(request: Request, error: Exception) -> Response:
    """Return a response for a client that disconnected while sending; nobody reads it."""
    return Response(status_code=400)


async def _internal_error(request: Request, error: Exception) -> Response:
    """Hide an internal error from the client; starlette raises it again and uvicorn logs it."""
    return error_response("internal error; see the terminal in which `serve` runs", 500)


Handler = Callable[[Request, Exception], Coroutine[Any, Any, Response]]
ERROR_HANDLERS: dict[Any, Handler] = {
    StoreFault: _store_fault,
    UserError: _user_error,
    HTTPException: _http_error,
    ClientDisconnect: _disconnected,
    Exception: _internal_error,
}
