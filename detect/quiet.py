"""Keep the start-up noise of the mm packages (warnings, notices, log lines) away from the user."""

import contextlib
import io
from collections.abc import Iterator

from data_cache.errors import UserError
from data_cache.notices import without_notices


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow warnings, standard output and the log lines of the mm packages; exceptions pass unchanged."""
    captured = io.StringIO()
    with without_notices(), contextlib.redirect_stdout(captured), contextlib.redirect_stderr(captured):
        yield


def missing_package(error: ImportError) -> UserError:
    """Return what to tell a user whose mm packages are absent or broken."""
    return UserError(f"the detector needs MMDetection ({error}); install it with `make setup`, see `cli.py doctor`")
