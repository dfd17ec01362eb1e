"""The page's URLs: one thread runs the model, a few others read pictures, and the event loop never blocks."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_cache.base.errors import UserError, printable
from vehicle_reid.web.finder import COVERED, PHOTO, UPLOADED, Finder
from vehicle_reid.web.guard import Guard
from vehicle_reid.web.page import ASSETS, MEGABYTE, PageInfo, asset, render
from vehicle_reid.web.photos import Box, UnknownPhoto

MAX_MATCHES, MAX_LISTED = 100, 60  # images in one response
MAX_NAME = 1000  # characters of an upload's name
MAX_SIDE = 50_000_000  # pixels of an image
MAX_NUMBER = 2**63 - 1  # a gallery file stores cameras as int64
READERS = 2  # threads: decoding an image of 50 megapixels takes hundreds of megabytes
DRAINED = 4  # read up to this multiple of the upload limit, so that the client gets to see the refusal
JPEG = "image/jpeg"
STATUS_MESSAGES = {404: "not found: there is nothing at this address", 405: "method not allowed at this address"}
Result = TypeVar("Result")


class Endpoints:
    """The handlers of all URLs."""

    def __init__(self, finder: Finder, info: PageInfo, model: ThreadPoolExecutor, readers: ThreadPoolExecutor) -> None:
        """Answer from `finder`; `model` must have a single thread."""
        self.finder, self.info, self._model, self._readers = finder, info, model, readers

    def routes(self) -> list[Route]:
        """Return the URLs with their handlers."""
        return [
            Route("/", self.page),
            Route("/page/{name}", self.asset),
            Route("/photos", self.upload, methods=["POST"]),
            Route("/photos/{key}", self.photo),
            Route("/photos/{key}/matches", self.matches),
            Route("/photos/{key}/{kind}.jpg", self.picture),
            Route("/scores/{first}/{second}", self.score),
            Route("/gallery", self.gallery),
        ]

    async def page(self, request: Request) -> Response:
        """The page."""
        page = await self._read(render, self.info, self.finder.gallery_id)
        return Response(page, media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """A style sheet or script of the page."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(404)
        return Response(asset(name), media_type=ASSETS[name])

    async def upload(self, request: Request) -> Response:
        """Embed the image file in the body; the response describes the photo. Query parameters `name` and `box`."""
        name, box = query_name(request), query_box(request)
        data = await read_body(request, self.info.upload_limit)
        key = await self._run_model(self.finder.upload, data, name, box)
        return JSONResponse(await self._read(self.finder.describe, key), status_code=201)

    async def photo(self, request: Request) -> Response:
        """The description of a photo."""
        return JSONResponse(await self._read(self.finder.describe, request.path_params["key"]))

    async def matches(self, request: Request) -> Response:
        """The images most similar to a photo; query parameters `k`, `camera` and `not-camera`, repeatable."""
        key, k = request.path_params["key"], query_number(request, "k", 10, 1, MAX_MATCHES)
        cameras, without = query_numbers(request, "camera"), query_numbers(request, "not-camera")
        return JSONResponse(await self._run_model(self.finder.matches, key, k, cameras or None, without))

    async def picture(self, request: Request) -> Response:
        """A photo as JPEG, plain or with a heatmap over it; `covered` takes the other photo as `with`."""
        key, kind = request.path_params["key"], request.path_params["kind"]
        picture = await self._read(self.finder.picture, key)  # reads the file outside the model's thread
        if kind == COVERED:
            picture = await self._run_model(self.finder.covered, key, request.query_params.get("with", ""))
        elif kind != PHOTO:
            picture = await self._run_model(self.finder.heatmap, key, kind)
        return Response(picture, media_type=JPEG)

    async def score(self, request: Request) -> Response:
        """The similarity of two photos."""
        first, second = request.path_params["first"], request.path_params["second"]
        return JSONResponse({"score": await self._run_model(self.finder.score, first, second)})

    async def gallery(self, request: Request) -> Response:
        """Gallery images by name; query parameters `start`, `count`, `camera` and `words`."""
        start = query_number(request, "start", 0, 0, MAX_NUMBER)
        count = query_number(request, "count", 24, 1, MAX_LISTED)
        camera = query_number(request, "camera", -1, 0, MAX_NUMBER)
        words = request.query_params.get("words", "")
        images = await self._read(self.finder.list_images, start, count, None if camera < 0 else camera, words)
        return JSONResponse(images)

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


def page_app(finder: Finder, info: PageInfo, threads: Threads) -> Guard:
    """Return the ASGI application of the page."""
    routes = Endpoints(finder, info, threads.model, threads.readers).routes()
    return Guard(Starlette(routes=routes, exception_handlers=ERROR_HANDLERS))


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body of a request; never holds more than `limit` bytes. Raises HTTPException 413 if it is larger."""
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isdecimal() and length.isascii() else 0
    if declared > DRAINED * limit or (declared > limit and "expect" in request.headers):
        raise _too_large(limit)
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > DRAINED * limit:
            break
        if size <= limit:
            body += chunk
        else:
            body.clear()
    if size > limit:
        raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> HTTPException:
    """Return the error for a larger file; it closes the connection, because the client may still be sending."""
    message = f"this file is larger than {limit / MEGABYTE:g} MB; shrink it, or restart with a larger --max-upload"
    return HTTPException(413, message, {"Connection": "close"})


def query_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a number from the query string. Raises HTTPException 400 unless it is from `low` to `high`."""
    text = request.query_params.get(name)
    return default if text is None else _number(text, name, low, high)


def query_numbers(request: Request, name: str) -> list[int]:
    """Return all numbers of that name from the query string. Raises HTTPException 400 if one is invalid."""
    return [_number(text, name, 0, MAX_NUMBER) for text in request.query_params.getlist(name)]


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
    left, top, right, bottom = (_number(field, "each side of the box", 0, MAX_SIDE) for field in fields)
    return left, top, right, bottom


def _number(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and low <= int(text) <= high):
        raise HTTPException(400, f"{name} must be a whole number from {low} to {high}")
    return int(text)


def error_response(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status_code=status, headers=headers)


async def _user_error(request: Request, error: Exception) -> Response:
    return error_response(printable(error), 404 if isinstance(error, UnknownPhoto) else 422)


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
    UserError: _user_error,
    HTTPException: _http_error,
    ClientDisconnect: _disconnected,
    Exception: _internal_error,
}
