"""Who may import whom: packages, rooms, no cycles, no crowded folder; and `--help` loads nothing heavy."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from helpers.paths import ROOT

PACKAGES = ("data_cache", "detect", "reid", "vehicle_reid")
MM = {"mmcv", "mmdet", "mmengine"}
FORBIDDEN = {
    "data_cache": {"detect", "reid", "vehicle_reid", "cli", *MM},
    "detect": {"reid", "vehicle_reid", "cli"},
    "reid": {"detect", "vehicle_reid", "cli", *MM},
    "vehicle_reid": {"cli", *MM},  # it and cli.py alone see both stages
}
MM_ROOMS = {"detect.model", "detect.training"}
# A room may import the rooms to its left; rooms joined by "|" do not import each other, nor does a room import
# a room to its right. A single module counts as a room.
ORDER = {
    "data_cache": "base < images | engine < datasets < parts < objects | check | synthetic < commands",
    "data_cache.synthetic": "geometry < design < vehicle < scene < dataset",
    "detect": "recipes < annotations | model < extraction < evaluation < training < commands",
    "reid": "recipes | distributed | shipped < runs < model | data < features < retrieval < training | evaluation "
    "< report | ablation | publish < commands",
    "vehicle_reid": "images < gallery.entries | gallery.search < gallery.filters < gallery.store < gallery.rows "
    "< gallery.lance | gallery.milvus | gallery.vectors < gallery.stores < gallery.old_file | gallery.work "
    "| gallery.pictures < tables < embedding < model < gallery.gallery < web < commands",
}
MOST_FILES = 15
HEAVY = (
    *("torch", "torchvision", "mmcv", "mmdet", "mmengine", "pandas", "h5py", "matplotlib", "cv2", "pycocotools"),
    *("lancedb", "pyarrow", "ray", "pymilvus", "grpc"),
)


def modules() -> dict[str, Path]:
    """Return every module of the four packages by its dotted name."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imported(source: str) -> Iterator[str]:
    """Yield every import of `source` as a dotted name, wherever it stands; "." for a relative import."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." if node.level else f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            yield from (str(value.value) for value in node.args if isinstance(value, ast.Constant))


def dependencies(known: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        names = set(imported(path.read_text(encoding="utf-8")))
        found[name] = {one if one in known else one.rpartition(".")[0] for one in names} & set(known) - {name}
    return found


MODULES = modules()
DEPENDENCIES = dependencies(MODULES)


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
    assert sorted(imported(source)) == [".", "a.b", "c", "e.f.g", "i", "j.k", "l"]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_a_forbidden_one(package: str) -> None:
    for name, path in MODULES.items():
        if name.split(".")[0] == package:
            tops = {one.split(".")[0] if one != "." else "." for one in imported(path.read_text(encoding="utf-8"))}
            assert not tops & (FORBIDDEN[package] | {"."}), name
            assert not tops & MM or ".".join(name.split(".")[:2]) in MM_ROOMS, name


def level(module: str, package: str) -> tuple[int, str] | None:
    """Return the place of a module's room in ORDER, and the room; None for the package itself."""
    rooms = {room.strip(): number for number, step in enumerate(ORDER[package].split("<")) for room in step.split("|")}
    inside = module.removeprefix(f"{package}.")
    found = [room for room in rooms if inside == room or inside.startswith(f"{room}.")]
    return (rooms[found[0]], found[0]) if found and inside != module else None


@pytest.mark.parametrize("package", ORDER)
def test_rooms_import_downwards_only(package: str) -> None:
    for importer, targets in DEPENDENCIES.items():
        here = level(importer, package)
        for target in targets:
            there = level(target, package)
            if here and there and here[1] != there[1]:
                assert there[0] < here[0], f"{importer} imports {target}"


@pytest.mark.parametrize("package", ORDER)
def test_every_module_has_its_place_in_the_order(package: str) -> None:
    packages = {".".join(name.split(".")[:length]) for name in MODULES for length in (1, 2, 3)}
    for name, path in MODULES.items():
        if name.startswith(f"{package}.") and path.name != "__init__.py" and name not in packages - {name}:
            assert level(name, package), f"{name} is in no room of {package}: {ORDER[package]}"


def test_commands_are_imported_by_commands_only() -> None:
    for importer, targets in DEPENDENCIES.items():
        if ".commands" not in importer:
            assert not [target for target in targets if ".commands" in target], importer


def test_no_module_imports_itself_in_a_circle() -> None:
    done: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in sorted(DEPENDENCIES[name]):
                follow(target, (*path, name))
            done.add(name)

    for name in MODULES:
        follow(name, ())


def test_no_folder_is_crowded() -> None:
    tops = (*PACKAGES, "benchmarks", "tests")
    folders = [path for top in tops for path in [ROOT / top, *(ROOT / top).rglob("*")] if path.is_dir()]
    for folder in folders:
        files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".pyc"]
        assert len(files) <= MOST_FILES, f"{folder.relative_to(ROOT)} has {len(files)} files"


def test_no_package_imports_the_tests() -> None:
    for path in [ROOT / "cli.py", *MODULES.values()]:
        tops = {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"))}
        assert not tops & {"tests", "helpers", "soak", "conftest"}, path


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


def test_reading_a_recipe_loads_no_torch() -> None:
    code = "import sys, detect.recipes, reid.recipes, reid.runs; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
