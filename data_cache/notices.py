"""Keeping libraries' notices from the user."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_notices() -> Iterator[None]:
    """Keep warnings, and log lines up to those, from the user for a while; exceptions pass."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
