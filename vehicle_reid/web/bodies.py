"""The bodies of requests: how large they may be, how slow, and how many are in memory at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import Request

from vehicle_reid.web.page import MEGABYTE

MOST_BODIES = 128  # in memory at once, with the work on them; further requests wait before theirs is read
DRAINED = 4  # read up to this multiple of the limit, so that the client gets to see the refusal
GRACE_SECONDS = 20  # to begin with; slow senders must not hold a place for ever
LEAST_RATE = 10_000  # bytes a second after that, on average


class Bodies:
    """Reads the bodies of requests, of at most `limit` bytes each."""

    def __init__(self, limit: int) -> None:
        """Read nothing yet."""
        self.limit = limit
        self._places = asyncio.Semaphore(MOST_BODIES)

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the body of a request, which counts among `MOST_BODIES` until the end of the context.

        Raises HTTPException: 413 if it is larger than the limit, 408 if it comes too slowly.
        """
        async with self._places:
            yield await self._read(request)

    async def _read(self, request: Request) -> bytes:
        length = request.headers.get("content-length", "")
        declared = int(length) if length.isdecimal() and length.isascii() else 0
        if declared > DRAINED * self.limit or (declared > self.limit and "expect" in request.headers):
            raise self._too_large()
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(GRACE_SECONDS) as patience:
                end = patience.when() or 0.0
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > DRAINED * self.limit:
                        break
                    if size <= self.limit:
                        body += chunk
                    else:
                        body.clear()
                    patience.reschedule(end + size / LEAST_RATE)
        except TimeoutError as error:
            message = f"the body comes too slowly: less than {LEAST_RATE // 1000} kB a second"
            raise HTTPException(408, message, {"Connection": "close"}) from error
        if size > self.limit:
            raise self._too_large()
        return bytes(body)

    def _too_large(self) -> HTTPException:
        """Return the error for a larger body; it closes the connection, because the client may still be sending."""
        size = f"{self.limit / MEGABYTE:g} MB"
        message = f"this file is larger than {size}; shrink it, or restart with a larger --max-upload"
        return HTTPException(413, message, {"Connection": "close"})
