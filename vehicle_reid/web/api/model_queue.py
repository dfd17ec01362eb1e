"""The way of requests to the model's thread: a bounded queue, in which images that wait together share a batch."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.progress import hidden_progress
from data_cache.images.loading import MAX_PIXELS, decode_image
from vehicle_reid.model import VehicleReID
from vehicle_reid.web.photos import Box, cropped

BATCH = 16  # images embedded together; fewer if they have more than MAX_PIXELS
MOST_SECONDS = 60  # asked of a client to wait
Result = TypeVar("Result")


class QueueFull(Exception):
    """Too many requests wait; `seconds` is when to try again."""

    def __init__(self, seconds: int) -> None:
        """Tell the client to come back after that many seconds."""
        super().__init__("too many requests are waiting; try again later")
        self.seconds = seconds


class Query(NamedTuple):
    """An image file to embed, or what is inside its box; `name` is for messages."""

    name: str
    data: bytes
    box: Box | None = None


class ModelQueue:
    """Runs calls in the model's thread for at most `limit` requests at once; its methods are for the event loop."""

    def __init__(self, model: VehicleReID, thread: ThreadPoolExecutor, limit: int) -> None:
        """Embed with `model`; `thread` must be a single one."""
        self._model, self._thread, self.limit = model, thread, limit
        self.waiting = 0  # requests with a place, of which one is served
        self._queries: deque[tuple[Query, Future[pd.DataFrame]]] = deque()
        self._batch_seconds = 1.0  # of the last batch

    def require_room(self) -> None:
        """Raise QueueFull if no further request may wait."""
        if self.waiting >= self.limit:
            batches = math.ceil(self.waiting / BATCH)
            raise QueueFull(min(max(1, math.ceil(batches * self._batch_seconds)), MOST_SECONDS))

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue. Raises QueueFull."""
        self.require_room()
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    async def run(self, call: Callable[..., Result], *arguments: object) -> Result:
        """Return what a call returns in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(call, *arguments))

    async def run_steps(self, steps: "Generator[Result | None, None, None]") -> Result:
        """Return what `steps` yields after None for each step; every step is a call of its own, so others come between.

        It is closed at the end, also if the request is cancelled.
        """
        try:
            found: Result | None = None
            while found is None:
                found = await self.run(steps.__next__)
            return found
        finally:
            self._thread.submit(steps.close)

    async def embed(self, query: Query) -> pd.DataFrame:
        """Return the embedding of an image, one row of a `tables.embeddings_table`.

        It is embedded with others that wait at the same time. Raises UserError if it cannot be used.
        """
        done: Future[pd.DataFrame] = Future()
        self._queries.append((query, done))
        self._thread.submit(self._embed_waiting)  # finds nothing to do if an earlier batch has taken the image
        return await asyncio.wrap_future(done)

    def _embed_waiting(self) -> None:
        """Embed the images that wait, at most BATCH, in the model's thread."""
        started = time.monotonic()
        decoded: list[tuple[NDArray[np.uint8], Future[pd.DataFrame]]] = []
        most = len(self._queries)  # those that come later have a call of their own
        for _ in range(min(BATCH, most)):
            if number_of_pixels([pixels for pixels, _ in decoded]) >= MAX_PIXELS:
                break
            query, done = self._queries.popleft()
            if done.set_running_or_notify_cancel():
                try:
                    decoded.append((_pixels(query), done))
                except Exception as error:
                    done.set_exception(error)
        if decoded:
            self._embed(decoded)
            self._batch_seconds = time.monotonic() - started

    def _embed(self, images: list[tuple[NDArray[np.uint8], Future[pd.DataFrame]]]) -> None:
        """Embed images together; if one of them cannot be used, each by itself."""
        try:
            with hidden_progress():
                table = self._model.embed([pixels for pixels, _ in images])
        except Exception as error:
            if len(images) > 1 and isinstance(error, UserError):
                for image in images:
                    self._embed([image])
                return
            for _, done in images:
                done.set_exception(error)
            return
        for row, (_, done) in enumerate(images):
            done.set_result(table.iloc[[row]])


def number_of_pixels(images: Iterable[NDArray[np.uint8]]) -> int:
    """Return the number of pixels of images (H, W, 3) together."""
    return sum(image.shape[0] * image.shape[1] for image in images)


def _pixels(query: Query) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) of an image, or of what is inside its box. Raises ImageError."""
    pixels = decode_image(query.data, query.name)
    return pixels if query.box is None else cropped(pixels, query.box, query.name)
