"""The end that a batch system or `torchrun` asks for: through the code's own exits."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from data_cache.base.errors import UserError, silence_loader
from data_cache.base.progress import is_first_rank

MOMENT = 0.1  # seconds


class _Stopped(UserError):
    """The end of the first rank."""


class _StoppedSilently(SystemExit):
    """The end of another rank."""


@contextmanager
def ending_in_order(left: str = "what is finished is kept, run it again to go on") -> Iterator[None]:
    """Leave through the code's own exits when SIGTERM comes, so that locks and temporary files are removed.

    `torchrun` sends it to all processes when one of them ends. The first rank raises UserError, which ends with `left`,
    the others are silent. Where Python swallows that, as in a callback, the signal comes once more a moment later, and
    another error that a library makes of it is the end all the same.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread may choose a handler
        yield
        return

    asked = False

    def the_end() -> BaseException:
        return _Stopped(f"stopped from outside (SIGTERM); {left}") if is_first_rank() else _StoppedSilently(1)

    def end(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal asked
        asked = True
        silence_loader()
        raise the_end()

    before, tell = signal.signal(signal.SIGTERM, end), sys.unraisablehook

    def swallowed(told: Any) -> None:
        if isinstance(told.exc_value, _Stopped | _StoppedSilently):
            again = threading.Timer(MOMENT, os.kill, (os.getpid(), signal.SIGTERM))
            again.daemon = True
            again.start()
        else:
            tell(told)

    sys.unraisablehook = swallowed
    try:
        yield
    except Exception as error:
        if asked and not isinstance(error, _Stopped):
            raise the_end() from error
        raise
    finally:
        if sys.unraisablehook is swallowed:  # `silence_loader` has put none upon it
            sys.unraisablehook = tell
        signal.signal(signal.SIGTERM, before)
