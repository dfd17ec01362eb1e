"""The page's addresses, and the threads in which they are answered: one for the model, a few for pictures."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from data_cache.base.errors import UserError, printable
from vehicle_reid.web.finder import PHOTO, Finder
from vehicle_reid.web.guard import Guard
from vehicle_reid.web.page import ASSETS, About, asset, rendered
from vehicle_reid.web.photos import Gone
from vehicle_reid.web.requests import body_of, number, numbers

MOST, LISTED = 100, 60  # matches, and images of the gallery, in one answer
LARGEST = 2**63 - 1  # camera, as a gallery's file has it
READERS = 2  # threads: an image of 50 megapixels takes hundreds of megabytes while it is read
JPEG = "image/jpeg"
NOWHERE = {404: "there is nothing at this address", 405: "this address is asked in another way"}
Found = TypeVar("Found")


class Answers:
    """The answers of the addresses: one thread alone runs the model, and the loop waits for nobody."""

    def __init__(self, finder: Finder, about: About, model: ThreadPoolExecutor, readers: ThreadPoolExecutor) -> None:
        """Answer from `finder` in these threads."""
        self.finder, self.about, self._model, self._readers = finder, about, model, readers

    async def page(self, request: Request) -> Response:
        """The page."""
        return Response(rendered(self.about), media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """A style sheet or script of the page."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(404)
        return Response(asset(name), media_type=ASSETS[name])

    async def upload(self, request: Request) -> Response:
        """The photo in the body is looked at and kept: what is known of it."""
        data = await body_of(request, self.about.limit)
        key = await self._by_model(self.finder.keep, data)
        return JSONResponse(await self._read(self.finder.look, key), status_code=201)

    async def look(self, request: Request) -> Response:
        """What is known of a photo."""
        return JSONResponse(await self._read(self.finder.look, request.path_params["key"]))

    async def matches(self, request: Request) -> Response:
        """The images most like a photo; `k`, `camera` and `not-camera` choose which."""
        key, k = request.path_params["key"], number(request, "k", 10, 1, MOST)
        cameras, without = numbers(request, "camera", LARGEST), numbers(request, "not-camera", LARGEST)
        return JSONResponse(await self._by_model(self.finder.matches, key, k, cameras or None, without))

    async def picture(self, request: Request) -> Response:
        """A photo, or one under a heatmap."""
        key, kind = request.path_params["key"], request.path_params["kind"]
        if kind == PHOTO:
            return Response(await self._read(self.finder.picture, key), media_type=JPEG)
        await self._read(self.finder.picture, key)  # its file is read there, not in the model's thread
        return Response(await self._by_model(self.finder.heat, key, kind), media_type=JPEG)

    async def score(self, request: Request) -> Response:
        """How alike two photos are."""
        first, second = request.path_params["first"], request.path_params["second"]
        return JSONResponse({"score": await self._by_model(self.finder.score, first, second)})

    async def gallery(self, request: Request) -> Response:
        """Images of the gallery by name; `start`, `count`, `camera` and `words` choose which."""
        start, count = number(request, "start", 0, 0, LARGEST), number(request, "count", 24, 1, LISTED)
        camera = number(request, "camera", -1, 0, LARGEST)
        words = request.query_params.get("words", "")
        by_it = None if camera < 0 else camera
        return JSONResponse(await self._read(self.finder.listed, start, count, by_it, words))

    async def _by_model(self, work: Callable[..., Found], *arguments: object) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._model, partial(work, *arguments))

    async def _read(self, work: Callable[..., Found], *arguments: object) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(work, *arguments))

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/", self.page),
            Route("/page/{name}", self.asset),
            Route("/photos", self.upload, methods=["POST"]),
            Route("/photos/{key}", self.look),
            Route("/photos/{key}/matches", self.matches),
            Route("/photos/{key}/{kind}.jpg", self.picture),
            Route("/scores/{first}/{second}", self.score),
            Route("/gallery", self.gallery),
        ]


@contextmanager
def serving(finder: Finder, about: About) -> Iterator[Guard]:
    """Give the application for a while; when that ends, what still waits for its turn is dropped."""
    model = ThreadPoolExecutor(1, thread_name_prefix="model")
    readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
    try:
        faults = {UserError: _refused, HTTPException: _told, ClientDisconnect: _left, Exception: _failed}
        yield Guard(Starlette(routes=Answers(finder, about, model, readers).routes(), exception_handlers=faults))
    finally:
        for threads in (model, readers):
            threads.shutdown(wait=True, cancel_futures=True)


def _words(text: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": text}, status_code=status, headers=headers)


def _refused(request: Request, error: Exception) -> Response:
    return _words(printable(error), 404 if isinstance(error, Gone) else 422)


def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _words(NOWHERE.get(error.status_code, error.detail), error.status_code, error.headers)


def _left(request: Request, error: Exception) -> Response:
    """Answer one who has gone away while sending: nobody reads it."""
    return Response(status_code=400)


def _failed(request: Request, error: Exception) -> Response:
    """Answer where the fault is ours; the error itself is told in the terminal."""
    return _words("something went wrong here; the terminal in which `serve` runs tells what", 500)
