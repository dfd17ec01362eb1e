"""Keep the start-up noise of the mm packages (warnings, notices, log lines) away from the user."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

from data_cache.errors import UserError


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow warnings, standard output and the log lines of the mm packages; exceptions pass unchanged."""
    before = logging.root.manager.disable
    captured = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(captured), contextlib.redirect_stderr(captured):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def missing_package(error: ImportError) -> UserError:
    """Return what to tell a user whose mm packages are absent or broken."""
    return UserError(f"the detector needs MMDetection ({error}); install it with `make setup`, see `cli.py doctor`")
