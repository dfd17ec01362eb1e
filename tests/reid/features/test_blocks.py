"""Feature blocks: damaged and foreign blocks are reported and extracted again."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.toy.features import (
    BLOCKS,
    RESUMING,
    batch_sizes,
    extracted,
    finished_blocks,
    messages,
    only_the_file,
    source_of,
    stopped_after,
)
from helpers.toy.vehicles import Toy
from reid.features import blocks
from reid.features.blocks import FeatureBlocks, cut
from reid.features.file import read_features, write_features

pytestmark = pytest.mark.usefixtures("tiny_network", "small_feature_blocks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.safetensors"


def truncate(folder: Path) -> None:
    block = folder / BLOCKS[1]
    block.write_bytes(block.read_bytes()[:-9])


def swap(folder: Path) -> None:
    shutil.copy(folder / BLOCKS[0], folder / BLOCKS[1])


def change_device(folder: Path) -> None:
    block = read_features(folder / BLOCKS[1])
    write_features(folder / BLOCKS[1], replace(block, provenance={**block.provenance, "device": "cuda"}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncate, "damaged, or not written by this program"),
        (swap, "does not hold the images of its file name"),
        (change_device, "made with device = cuda, this run needs cpu"),
    ],
)
def test_an_invalid_block_is_reported_and_extracted_again(
    toy: Toy,
    uninterrupted_features: bytes,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    folder = finished_blocks(toy, path)
    spoil(folder)
    sizes = batch_sizes(monkeypatch)
    messages(capsys)
    extracted(toy, path)
    reason, resuming = messages(capsys)
    assert re.fullmatch(rf"{re.escape(str(folder / BLOCKS[1]))}: {words}.*; it is extracted again", reason)
    assert resuming == RESUMING.format(10)
    assert sizes == [3, 3] and path.read_bytes() == uninterrupted_features and only_the_file(path)


def test_blocks_of_other_weights_are_reported_in_one_line(
    toy: Toy,
    uninterrupted_features: bytes,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = stopped_after(toy, path, 2, weights="second")
    sizes = batch_sizes(monkeypatch)
    messages(capsys)
    extracted(toy, path)
    words = "made with weights = second, this run needs first; it is extracted again, and 1 more"
    assert messages(capsys) == [f"{folder / BLOCKS[0]}: {words}"]
    assert sum(sizes) == 16 and path.read_bytes() == uninterrupted_features and only_the_file(path)


def test_a_block_is_a_feature_file_with_device_and_batch_size(toy: Toy, tmp_path: Path) -> None:
    folder = stopped_after(toy, tmp_path / "features.safetensors", 2)
    source = source_of(toy)
    for number, name in enumerate(BLOCKS[:2]):
        block = read_features(folder / name)
        assert block.names == tuple(source.names[6 * number : 6 * number + 6])
        assert block.provenance == {**source.provenance(), "device": "cpu", "batch": 3}


@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 4), (4, 4), (5, 4), (12, 4), (7, 1)])
def test_cut_gives_full_ranges_in_order(count: int, size: int) -> None:
    pieces = cut(range(3, 3 + count), size)
    assert [row for piece in pieces for row in piece] == list(range(3, 3 + count))
    assert all(len(piece) == size for piece in pieces[:-1]) and all(pieces)


def test_the_documentation_names_block_size_and_folder() -> None:
    text = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    folder = FeatureBlocks(Path("features.safetensors"), (), {}).folder.name
    assert f"{blocks.BATCHES} batches" in text and f"`{folder}/`" in text
