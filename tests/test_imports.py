"""Who may import whom, read from the sources; and a command line whose help loads nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.paths import ROOT

PACKAGES = ("data_cache", "detect", "reid", "vehicle_reid")
FORBIDDEN = {
    "data_cache": {"detect", "reid", "vehicle_reid", "cli", "mmcv", "mmdet", "mmengine"},
    "detect": {"reid", "vehicle_reid", "cli"},
    "reid": {"detect", "vehicle_reid", "cli", "mmcv", "mmdet", "mmengine"},
    "vehicle_reid": {"cli", "mmcv", "mmdet", "mmengine"},  # it and cli.py alone see both stages
}
HEAVY = ("torch", "torchvision", "mmcv", "mmdet", "mmengine", "pandas", "h5py", "matplotlib", "cv2", "pycocotools")


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(source: str) -> Iterator[str]:
    """Yield the top-level package of every import in `source`, wherever it stands; "." for a relative one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else str(node.module).split(".")[0]
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            constants = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            yield from (str(value).split(".")[0] for value in constants)


def test_the_reader_of_imports_sees_every_form() -> None:
    source = """
import a.b, c as d
from e.f import g
from . import h
def late():
    if TYPE_CHECKING:
        import i
    importlib.import_module("j.k"); __import__("l")
"""
    assert sorted(imported(source)) == [".", "a", "c", "e", "i", "j", "l"]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_what_it_must_not(package: str) -> None:
    assert sources(package)
    for path in sources(package):
        wrong = set(imported(path.read_text(encoding="utf-8"))) & (FORBIDDEN[package] | {"."})
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_no_package_imports_the_tests() -> None:
    tests = {path.stem for path in (ROOT / "tests").glob("*.py")} | {"tests", "conftest"}
    for path in [ROOT / "cli.py", *(path for package in PACKAGES for path in sources(package))]:
        assert not set(imported(path.read_text(encoding="utf-8"))) & tests


def test_help_of_every_command_loads_nothing_heavy() -> None:
    code = f"""
import sys
import click
from cli import main

def helps(command, words):
    main([*words, "--help"], standalone_mode=False)
    for name in getattr(command, "commands", {{}}):
        helps(command.commands[name], [*words, name])

helps(main, [])
loaded = set({HEAVY}) & set(sys.modules)
assert not loaded, loaded
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    for command in ("doctor", "check", "detect", "train", "evaluate", "verify"):
        assert f" {command} " in found.stdout
