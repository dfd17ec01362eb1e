"""Fixtures of the tests of the search page: a gallery, its page, and a browser."""

from collections.abc import Iterator

import pytest

from helpers.browser.devtools import Tab, browser
from helpers.browser.window import start_page
from helpers.places.api import ToyRun
from helpers.places.serve import ServedPage, gallery_of, served
from vehicle_reid import Gallery


@pytest.fixture(scope="module")
def gallery(toy_run: ToyRun) -> Gallery:
    """The gallery of the toy run."""
    return gallery_of(toy_run)


@pytest.fixture(scope="module")
def page(toy_run: ToyRun, gallery: Gallery) -> Iterator[ServedPage]:
    """The served page of that gallery."""
    with served(gallery, toy_run.root) as served_page:
        yield served_page


@pytest.fixture(scope="module")
def window() -> Iterator[Tab]:
    """A tab of a headless Chromium."""
    with browser() as tab:
        yield tab


@pytest.fixture
def tab(window: Tab, page: ServedPage) -> Iterator[Tab]:
    """The page in a wide window; fails if the browser reports a fault during the test."""
    with start_page(window, page.url):
        yield window
