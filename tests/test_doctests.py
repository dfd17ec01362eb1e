"""The examples in docstrings give the results that they show."""

import doctest
import importlib

import pytest

from helpers.paths import ROOT

PACKAGES = ("benchmarks", "data_cache", "detect", "reid", "vehicle_reid")
PATHS = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
WITH_EXAMPLES = [".".join(path.with_suffix("").parts) for path in PATHS if ">>>" in (ROOT / path).read_text("utf-8")]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
