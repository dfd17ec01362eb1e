"""`serve` as a process of its own, and requests to it, for tests that kill it, starve it or load it."""

import os
import re
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from cli import main
from helpers.faults.processes import Ended, Run, start, waited
from helpers.paths import ROOT
from helpers.places.api import ToyRun, shipping_network, small_networks
from helpers.places.detect import shipping
from helpers.places.serve import Answer
from reid.runs import BEST

ADDRESS = re.compile(r"^http://[0-9.]+:(\d+)/$", re.MULTILINE)


def serve_shipped(arguments: Sequence[str]) -> None:
    """Run a command with the networks that ship, as a program from its beginning: a fork has broken their threads."""
    os.execv(sys.executable, [sys.executable, str(ROOT / "cli.py"), *arguments])


def serve_small(arguments: Sequence[str]) -> None:
    """Run a command with tiny networks; of the first three arguments two are files of a network that ships."""
    network, detector, *words = arguments
    with ExitStack() as stack:
        stack.enter_context(small_networks())
        stack.enter_context(shipping_network(Path(network)))
        stack.enter_context(shipping(Path(detector)))
        main(words)


@dataclass(frozen=True)
class Server:
    """A running `serve`; every request has a connection of its own, and `headers`."""

    run: Run
    port: int
    headers: dict[str, str]

    def request(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
        """Return the answer to a request; underscores in names of headers are hyphens, an empty header is not sent."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        pages = int(Path(f"/proc/{self.run.session}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def limit_files(self, size: int | None) -> None:
        """Let the system refuse to write files beyond `size` bytes, as on a full disk; None for any size."""
        _, hard = resource.prlimit(self.run.session, resource.RLIMIT_FSIZE)
        resource.prlimit(self.run.session, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def kill(self) -> None:
        """End it as the out-of-memory killer does."""
        self.run.send(signal.SIGKILL, group=True)
        self.run.wait()

    def stop(self) -> Ended:
        """End it as Ctrl-C does."""
        self.run.send(signal.SIGINT, group=False)
        return self.run.wait()


@dataclass(frozen=True)
class ServicePlace:
    """A folder with runs, logs and a gallery; the network of `toy`, a trained run, ships, None: the real one."""

    folder: Path
    toy: ToyRun | None

    def words(self, *options: str) -> list[str]:
        """Return the command line of `serve` for the gallery `cars`, which it creates."""
        location = [
            "--dataset",
            "folder",
            "--runs",
            str(self.folder / "runs"),
            "--data-root",
            str(self.folder / "none"),
        ]
        return [
            "serve",
            "--gallery",
            str(self.gallery),
            "--create",
            *location,
            "--device",
            "cpu",
            "--port",
            "0",
            *options,
        ]

    @property
    def gallery(self) -> Path:
        """The folder of the gallery."""
        return self.folder / "cars"

    def start(self, *options: str) -> Run:
        """Start `serve` and return at once."""
        log = self.folder / f"{len([*self.folder.glob('*.log')])}.log"
        ships = [] if self.toy is None else [str(self.toy.folder / BEST), str(self.toy.model().weights())]
        return start(serve_shipped if self.toy is None else serve_small, [*ships, *self.words(*options)], log)

    def serve(self, *options: str, **headers: str) -> Server:
        """Start `serve` and wait until it answers. Raises AssertionError if it does not."""
        run = self.start(*options)
        waited(lambda: ADDRESS.search(run.output()) or run.process.exitcode is not None)
        found = ADDRESS.search(run.output())
        assert found is not None, run.output()
        return Server(run, int(found[1]), headers)

    @contextmanager
    def serving(self, *options: str, **headers: str) -> Iterator[Server]:
        """Yield a server, which is killed at the end if it still runs."""
        server = self.serve(*options, **headers)
        try:
            yield server
        finally:
            if server.run.process.exitcode is None:
                server.kill()
