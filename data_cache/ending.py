"""The end that a batch system or `torchrun` asks for: through the code's own exits."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from data_cache.errors import UserError, silence_loader
from data_cache.progress import is_first_rank


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Leave through the code's own exits when SIGTERM comes, so that locks and temporary files are removed.

    `torchrun` sends it to all processes when one of them ends. The first rank raises UserError, the others are silent.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may choose a handler
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    silence_loader()
    if is_first_rank():
        raise UserError("stopped from outside (SIGTERM); what is finished is kept, run it again to go on")
    raise SystemExit(1)
