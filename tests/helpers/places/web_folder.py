"""A folder behind a web server of this process, which other processes can read too."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from data_cache.base.remote.addresses import Address, parse_location


class QuietHandler(SimpleHTTPRequestHandler):
    """A handler that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def served(folder: Path) -> Iterator[Address]:
    """Serve the files below `folder`; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = parse_location(f"http://127.0.0.1:{server.server_port}/")
        assert isinstance(address, Address)
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
