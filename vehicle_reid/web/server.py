"""The server: a socket on this machine alone, the application in it, and an end that is none of an error."""

import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from data_cache.base.errors import UserError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from vehicle_reid.web.finder import Finder
    from vehicle_reid.web.page import About

ADDRESS = "127.0.0.1"
AT_ONCE = 128  # requests: each upload among them holds as much as may be uploaded
PATIENCE = 3  # seconds for answers under way when the end is asked for
ENDS = (signal.SIGINT, signal.SIGTERM)


def bound(port: int) -> socket.socket:
    """Return a socket on `port` of this machine, any that is free for 0. Raises UserError where it is taken."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port is free as soon as its server has ended
        found.bind((ADDRESS, port))
        found.listen()  # from here on the port is taken; who comes before the model is loaded waits
    except OSError as error:
        found.close()
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise UserError(f"port {port} {why}; choose another with --port, or --port 0 for any that is free") from error
    return found


def address_of(found: socket.socket) -> str:
    """Return the URL of the page on a socket."""
    return f"http://{ADDRESS}:{found.getsockname()[1]}/"


def serve(finder: "Finder", about: "About", place: socket.socket, tell: Callable[[str], None]) -> None:
    """Serve the page on a socket until SIGINT or SIGTERM; its URL is told when it can be opened."""
    from vehicle_reid.web.app import serving

    with serving(finder, about) as app:
        server = server_of(app)
        with _ended_by_signals(server):
            tell(address_of(place))
            server.run(sockets=[place])


def server_of(app: "ASGIApp") -> "uvicorn.Server":
    """Return a server of an application, which speaks plain HTTP and writes no line for each request."""
    import uvicorn

    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=PATIENCE,
    )
    return uvicorn.Server(config)


@contextmanager
def _ended_by_signals(server: "uvicorn.Server") -> Iterator[None]:
    """End the server on a signal that comes before it listens for them itself.

    It raises those that it has ended on again, for which there is nothing left to do: no error, but what was asked for.
    """

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
