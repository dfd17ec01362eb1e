"""Blocks of features: what is damaged, of another run or in another place is told and made again, never mixed in."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data_cache.base.tensors import load_tensors, save_tensors
from helpers.paths import ROOT
from helpers.toy.features import (
    BLOCKS,
    GOING_ON,
    counting,
    extracted,
    finished_blocks,
    names_of,
    only_the_file,
    stopped_after,
    told,
)
from helpers.toy.vehicles import TINY, Toy
from reid.features import blocks as feature_blocks
from reid.features import extraction as features
from reid.features.blocks import FeatureBlocks, cut
from reid.features.extraction import features_provenance
from reid.features.file import read_features, write_features

pytestmark = pytest.mark.usefixtures("tiny_network", "small_feature_blocks")


def cut_short(folder: Path) -> None:
    block = folder / BLOCKS[1]
    block.write_bytes(block.read_bytes()[:-9])


def flip(folder: Path) -> None:
    data = bytearray((folder / BLOCKS[1]).read_bytes())
    data[-9] ^= 8
    (folder / BLOCKS[1]).write_bytes(data)


def misplace(folder: Path) -> None:
    shutil.copy(folder / BLOCKS[0], folder / BLOCKS[1])


def of_another_schema(folder: Path) -> None:
    tensors, contents, _ = load_tensors(folder / BLOCKS[1], "")
    save_tensors(folder / BLOCKS[1], tensors, contents | {"schema": 9})


def of_something_else(folder: Path) -> None:
    save_tensors(folder / BLOCKS[1], {"weight": torch.ones(2)}, {"kind": "re-identification"})


def from_a_gpu(folder: Path) -> None:
    block = read_features(folder / BLOCKS[1])
    write_features(folder / BLOCKS[1], replace(block, provenance={**block.provenance, "device": "cuda"}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut_short, "damaged, or not a file of this system"),
        (flip, "its content has changed since it was written"),
        (misplace, "holds other images than its place says"),
        (of_another_schema, "feature file of schema 9, this version reads 1"),
        (of_something_else, "feature file of schema None"),
        (from_a_gpu, "made with device = cuda, this run needs cpu"),
    ],
)
def test_a_block_that_is_not_true_is_told_and_made_again(
    toy: Toy,
    undisturbed_features: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    path = tmp_path / "features.safetensors"
    folder = finished_blocks(toy, path)
    spoil(folder)
    sizes = counting(monkeypatch)
    told(capsys)
    extracted(toy, path)
    why, going_on = told(capsys)
    assert re.fullmatch(rf"{re.escape(str(folder / BLOCKS[1]))}: {words}.*; it is made again", why)
    assert going_on == GOING_ON.format(10)
    assert sizes == [3, 3] and path.read_bytes() == undisturbed_features and only_the_file(path)


def test_blocks_of_other_weights_are_told_in_one_line_and_made_again(
    toy: Toy,
    undisturbed_features: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "features.safetensors"
    folder = stopped_after(toy, path, 2, weights="second")
    sizes = counting(monkeypatch)
    told(capsys)
    extracted(toy, path)
    words = "made with weights = second, this run needs first; it is made again, and 1 more"
    assert told(capsys) == [f"{folder / BLOCKS[0]}: {words}"]
    assert sum(sizes) == 16 and path.read_bytes() == undisturbed_features and only_the_file(path)


def test_blocks_of_other_batches_are_not_mixed_in(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "features.safetensors"
    with monkeypatch.context() as patch:
        patch.setitem(features.BATCH, "cpu", 6)
        patch.setattr(features, "BATCHES", 1)
        folder = stopped_after(toy, path, 1)
    assert len(read_features(folder / BLOCKS[0]).names) == 6  # the same images, in other batches
    sizes = counting(monkeypatch)
    extracted(toy, path)
    assert sum(sizes) == 16 and path.read_bytes() == undisturbed_features


def test_what_is_kept_is_what_provenance_says(toy: Toy, tmp_path: Path) -> None:
    folder = stopped_after(toy, tmp_path / "features.safetensors", 2)
    names = names_of(toy)
    wanted = features_provenance(toy.dataset, names, toy.parts, TINY, "first")
    for number, block in enumerate(BLOCKS[:2]):
        found = read_features(folder / block)
        assert found.names == tuple(names[6 * number : 6 * number + 6])
        assert found.provenance == {**wanted, "device": "cpu", "batch": 3}


@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 4), (4, 4), (5, 4), (12, 4), (7, 1)])
def test_pieces_are_whole_rows_in_order(count: int, size: int) -> None:
    pieces = cut(range(3, 3 + count), size)
    assert [row for piece in pieces for row in piece] == list(range(3, 3 + count))
    assert all(len(piece) == size for piece in pieces[:-1]) and all(pieces)


def test_the_documentation_tells_the_size_of_a_block_and_where_it_lies() -> None:
    text = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    folder = FeatureBlocks(Path("features.safetensors"), (), {}).folder.name
    assert f"every {feature_blocks.BATCHES} batches" in text and f"`{folder}/`" in text
