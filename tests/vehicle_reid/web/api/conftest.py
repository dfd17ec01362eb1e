"""Fixtures of the tests of the HTTP API: a gallery in a folder."""

from pathlib import Path

import pytest

from helpers.places.api import ToyRun
from helpers.places.serve import gallery_of
from vehicle_reid import Gallery


@pytest.fixture
def stored(toy_run: ToyRun, tmp_path: Path) -> Gallery:
    """A gallery in a folder, which a test may change."""
    gallery = gallery_of(toy_run)
    gallery.save(tmp_path / "stored")
    return gallery
