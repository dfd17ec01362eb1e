"""The wheel has everything and works outside the checkout; what is promised about versions is promised once."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import vehicle_reid
from helpers.paths import ROOT

PACKAGES = ("data_cache", "detect", "reid", "vehicle_reid")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, so that the checkout stays as it is."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("cli.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(output), str(source))
    (path,) = output.iterdir()
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed; its packages hide those of the checkout."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--target", str(folder), str(wheel))
    return folder


def pip(command: str, *arguments: str) -> None:
    """Run pip without the network and without dependencies."""
    words = [sys.executable, "-m", "pip", command, "--quiet", "--no-deps", "--no-index", *arguments]
    subprocess.run(words, check=True)


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python, or a script that was installed into `site`, in a folder outside the checkout."""
    variables = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    wanted = {str(path.relative_to(ROOT)) for path in paths if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == wanted | {"cli.py"}
    assert {f"{package}/py.typed" for package in PACKAGES} < found


def test_the_installed_program_works_outside_the_checkout(site: Path, tmp_path: Path) -> None:
    shown = run(site, tmp_path, str(site / "bin" / "pgan"), "detect", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Usage: pgan detect" in shown.stdout and "pgan detect --dataset veri" in shown.stdout
    version = run(site, tmp_path, str(site / "bin" / "pgan"), "--version")
    assert version.stdout.split()[-1] == vehicle_reid.__version__
    missing = run(site, tmp_path, str(site / "bin" / "pgan"), "check", "--dataset", "synthetic")
    assert missing.returncode == 1 and "`pgan synth" in missing.stderr


@pytest.fixture
def users_folder(tmp_path: Path) -> Path:
    """A folder whose files have the names of our packages and end the program when they are imported."""
    for name in ("cli", "detect", "reid"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was imported')\n")
    (tmp_path / "data_cache").mkdir()
    (tmp_path / "data_cache" / "__init__.py").write_text("raise SystemExit('a folder of the user was imported')\n")
    return tmp_path


def test_the_python_api_works_beside_files_of_the_user_with_our_names(site: Path, users_folder: Path) -> None:
    (users_folder / "search.py").write_text("""
import vehicle_reid
from vehicle_reid import Gallery, VehicleReID
from detect.model.shipped import PATH
print(vehicle_reid.__file__, VehicleReID.__name__, Gallery.__name__, PATH, PATH.exists())
""")
    shown = run(site, users_folder, "search.py")
    assert shown.returncode == 0, shown.stderr
    place, first, second, weights, there = shown.stdout.split()
    assert Path(place).is_relative_to(site) and Path(weights).is_relative_to(site)
    assert (first, second, there) == ("VehicleReID", "Gallery", "True")


def test_the_program_works_beside_files_of_the_user_with_our_names(site: Path, users_folder: Path) -> None:
    shown = run(site, users_folder, str(site / "bin" / "pgan"), "--help")
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("name", ["detect.py", "reid/__init__.py", "data_cache"])
def test_a_module_of_the_user_that_was_imported_before_is_one_clear_error(
    site: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    if path.suffix:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    else:
        path.mkdir()
    module = name.partition("/")[0].removesuffix(".py")
    # a folder without __init__.py comes after every package, so only a program without ours can have imported it
    before = f"import sys; sys.path.remove({str(site)!r}); import {module}; sys.path.append({str(site)!r})"
    shown = run(site, tmp_path, "-S", "-c", f"{before}; import vehicle_reid")
    assert shown.returncode == 1
    last = shown.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: vehicle_reid needs its own package {module}, but {path} was imported instead")


def test_the_version_is_the_same_everywhere(wheel: Path) -> None:
    version = vehicle_reid.__version__
    assert wheel.name == f"pgan_vehicle_reid-{version}-py3-none-any.whl"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    changes = re.findall(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert changes[0] == version


def test_pyproject_makefile_and_readme_promise_the_same_versions_of_python() -> None:
    minors = [int(one.rpartition(" 3.")[2]) for one in PROJECT["classifiers"] if ":: 3." in one]
    assert PROJECT["requires-python"] == f">=3.{minors[0]},<3.{minors[-1] + 1}"
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f"(3, {minors[0]}) <= sys.version_info < (3, {minors[-1] + 1})" in MAKEFILE
    for page in ("README.md", "docs/install.md"):
        assert f"Python 3.{minors[0]} to 3.{minors[-1]}" in (ROOT / page).read_text(encoding="utf-8")


def make(*words: str) -> str:
    """Return what `make -n` or `make help` prints."""
    shown = subprocess.run(
        ["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return shown.stdout


def test_make_help_lists_every_variable_with_its_value() -> None:
    shown = dict(re.findall(r"^  ([A-Z_]+) +(\S+)  ", make("help", "DATASET=veri"), flags=re.MULTILINE))
    assert list(shown) == re.findall(r"^([A-Z_]+) \?=", MAKEFILE, flags=re.MULTILINE)
    assert shown["DATASET"] == "veri" and shown["RUNS"] == "runs" and shown["SPLIT"] == "-"


def test_make_passes_its_variables(tmp_path: Path) -> None:
    (tmp_path / ".ready").touch()
    ready = ["-n", f"VENV={tmp_path}", "-o", str(tmp_path / ".ready"), "DATA=d", "RUNS=r"]
    where = "--dataset vehicleid --data-root d --runs r"
    last = " ".join(make(*ready, "train", "SET=lambda=1 triplets=[fusion,part]", "NAME=two").split())
    assert last.endswith(f"cli.py train {where} --set 'lambda=1' --set 'triplets=[fusion,part]' --name two")
    evaluate, report = (
        " ".join(make(*ready, *words).split())
        for words in (("evaluate", "NAME=two"), ("report", "RECIPE=demo", "DATASET=veri"))
    )
    assert evaluate.endswith("cli.py evaluate --runs r --data-root d --run two")  # the data set is the run's
    assert report.endswith("cli.py report --runs r --dataset veri --data-root d --run demo")
    assert " ".join(make(*ready, "train").split()).endswith(f"cli.py train {where}")
