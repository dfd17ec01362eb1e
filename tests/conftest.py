"""Fixtures shared by several test files."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from data_cache.base.progress import show_messages
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes
from data_cache.parts.names import PART_NAMES
from helpers.parts import MakeParts, MakePictures
from helpers.places.reid import Place
from helpers.toy.ablation import draw_nothing
from helpers.toy.features import small_blocks, uninterrupted_bytes
from helpers.toy.vehicles import TINY, Toy, tiny_scale, toy_set, train_toy

# the same examples every time and no clock, so that a test fails on every machine or on none
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def started_as_cli() -> Iterator[None]:
    """Help and messages show commands as after `python cli.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cli.py"])
        yield


@pytest.fixture(autouse=True)
def messages() -> None:
    """Messages on standard error, as in commands."""
    show_messages()


@pytest.fixture
def clean_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without the user's environment variables."""
    monkeypatch.chdir(tmp_path)
    for variable in ("DATASET", "VEHICLE_DATA", "RANK"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """The toy data set of stage two."""
    return toy_set(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def trained(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run trained on the toy set."""
    return train_toy(TINY, toy, tmp_path_factory.mktemp("runs") / "pgan_small").parent


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / "pgan_small"))


@pytest.fixture
def own_toy(tmp_path: Path) -> Toy:
    """A data set that a test may change: three vehicles with twelve training images."""
    return toy_set(tmp_path / "set", trained=3, tested=1)


@pytest.fixture(scope="module")
def tiny_network() -> Iterator[None]:
    """A tiny backbone in place of ResNet-18, on one thread."""
    with tiny_scale():
        yield


@pytest.fixture
def make_parts() -> MakeParts:
    """A maker of part caches: image i of `count` has i modulo (slots + 1) parts, and the first image failed."""

    def make(count: int = 6, slots: int = 3, seed: int = 0, detector: str = "toy") -> PartBoxes:
        random = np.random.default_rng(seed)
        boxes = np.zeros((count, slots, 4), np.float32)
        scores = np.zeros((count, slots), np.float32)
        labels = np.full((count, slots), -1, np.int8)
        for row in range(count):
            found = row % (slots + 1)
            boxes[row, :found, :2] = random.uniform(0, 40, (found, 2))
            boxes[row, :found, 2:] = random.uniform(50, 90, (found, 2))
            scores[row, :found] = np.sort(random.uniform(0.1, 1, found))[::-1]
            labels[row, :found] = random.integers(0, len(PART_NAMES), found)
        status = np.where((labels >= 0).any(1), STATUS_FOUND, STATUS_EMPTY).astype(np.uint8)
        status[0] = STATUS_FAILED
        return PartBoxes(
            names=tuple(f"images/ü {row:04d}.jpg" for row in range(count)),
            image_size=np.full((count, 2), (100, 90), np.int32),
            boxes=boxes,
            scores=scores,
            labels=labels,
            status=status,
            failure=("damaged image (½)", *[""] * (count - 1)),
            part_names=PART_NAMES,
            fingerprint={"detector": detector, "top_k": slots, "versions": {"torch": "2"}},
        )

    return make


@pytest.fixture
def make_pictures() -> MakePictures:
    """A maker of small JPEGs: `make_pictures(root, names)` writes each name below the root."""

    def make(root: Path, names: Sequence[str]) -> None:
        for number, name in enumerate(names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 8), (number % 256, 90, 120)).save(root / name)

    return make


@pytest.fixture
def place(toy: Toy, tmp_path: Path) -> Place:
    """Commands on the toy set with its part cache."""
    return Place(toy, tmp_path / "runs")


@pytest.fixture
def tiny() -> Iterator[None]:
    """The same for one test."""
    with tiny_scale():
        yield


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no charts of training and ablation, which takes long; other tests draw them."""
    draw_nothing(monkeypatch)


@pytest.fixture
def small_feature_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feature blocks of six images."""
    small_blocks(monkeypatch)


@pytest.fixture(scope="module")
def uninterrupted_features(toy: Toy, tiny_network: None, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a feature file whose extraction, in such blocks, was not interrupted."""
    return uninterrupted_bytes(toy, tmp_path_factory.mktemp("uninterrupted") / "features.safetensors")
