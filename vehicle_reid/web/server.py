"""The web server: listens on this machine only unless told otherwise, and stops cleanly on SIGINT and SIGTERM."""

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
    from vehicle_reid.web.page import PageInfo
    from vehicle_reid.web.site import Settings

ADDRESS = "127.0.0.1"
MAX_REQUESTS = 512  # connections at once; `bodies.MOST_BODIES` bounds their memory
SHUTDOWN_SECONDS = 30  # for responses in progress
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(port: int, host: str = ADDRESS) -> socket.socket:
    """Return a socket listening on `port` of an IP address, or on any free port for 0.

    Raises UserError if the port is taken, or `host` is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers without delay (TCP_NODELAY) only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # free again as soon as its server has ended
        listener.bind((host, port))
        listener.listen()  # early clients wait until the model is loaded
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            raise UserError(f"--host {host}: no address of this machine; give one, or 0.0.0.0") from error
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise UserError(f"port {port} {why}; choose another with --port, or --port 0 for any free one") from error
    return listener


def serve(
    finder: "Finder",
    info: "PageInfo",
    listener: socket.socket,
    announce: Callable[[str], None],
    settings: "Settings | None" = None,
) -> None:
    """Serve the page and the API until SIGINT or SIGTERM; `announce` is called with its URL."""
    from vehicle_reid.web.site import Settings, site

    with site(finder, info, settings or Settings()) as app:
        server = make_server(app)
        with _stopped_by_signals(server):
            announce(url_of(listener))
            server.run(sockets=[listener])


def url_of(listener: socket.socket) -> str:
    """Return the URL at which a socket is answered."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def make_server(app: "ASGIApp") -> "uvicorn.Server":
    """Return a plain HTTP server of an application, without an access log."""
    import uvicorn

    from vehicle_reid.web.connection import Connection

    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it warns of bad forms, which clients are told
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_REQUESTS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)


@contextmanager
def _stopped_by_signals(server: "uvicorn.Server") -> Iterator[None]:
    """Stop the server on a signal that arrives before uvicorn installs its own handlers.

    uvicorn raises the signals it received again after shutdown; they are ignored, because stopping is no error.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    previous = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
