"""What the tests of the search page share: a trained toy run, its gallery, and the page of that, served."""

from collections.abc import Iterator

import pytest

from helpers.browser.devtools import Tab, browser
from helpers.places.api import Place, make_place, small_networks
from helpers.places.serve import Served, gallery_of, served
from vehicle_reid import Gallery


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A trained toy run with its data set."""
    with small_networks():
        yield make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="package")
def gallery(place: Place) -> Gallery:
    """Its gallery."""
    return gallery_of(place)


@pytest.fixture(scope="package")
def page(place: Place, gallery: Gallery) -> Iterator[Served]:
    """The page of that gallery, served."""
    with served(gallery, place.root) as found:
        yield found


@pytest.fixture(scope="package")
def window() -> Iterator[Tab]:
    """A window of a headless Chromium."""
    with browser() as tab:
        yield tab


@pytest.fixture
def tab(window: Tab, page: Served) -> Iterator[Tab]:
    """The page as it opens, in a wide window; when the test ends it has complained of nothing."""
    window.faults.clear()
    window.window(1200, 900)
    window.open("about:blank")
    window.open(page.url)
    window.wait("document.querySelectorAll('#first li').length === 10")
    yield window
    assert window.faults == []
