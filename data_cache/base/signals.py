"""SIGTERM, as batch systems and `torchrun` send it, ends a command through its context managers."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

RESEND_SECONDS = 0.1


class Terminated(SystemExit):
    """SIGTERM arrived."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise Terminated in the main thread on SIGTERM, so that locks and temporary files are removed on the way out."""
    hook = sys.unraisablehook
    handler = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, handler)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    silence_loaders()
    sys.unraisablehook = _resend
    raise Terminated(1)


def silence_loaders() -> None:
    """Ignore the death of loader workers until the next loader: torch's SIGCHLD handler would raise during clean-up."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        handling: Any = sys.modules.get("torch.utils.data._utils.signal_handling")
        if handling is not None:
            handling._SIGCHLD_handler_set = False  # otherwise torch would not install its handler again


def _resend(ignored: Any) -> None:
    """Send SIGTERM again if Python ignored Terminated, as it does in callbacks; other noise of the exit is dropped."""
    if isinstance(ignored.exc_value, Terminated):
        timer = threading.Timer(RESEND_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
