"""Extraction of the toy set's features in small blocks, and ways to stop it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.devices import Compute
from helpers.toy.vehicles import TINY, Toy, tiny_scale
from reid.features import embedding, extraction
from reid.features.extraction import FeatureSource, cached_features
from reid.features.file import Features
from reid.features.ray_tasks import NetworkState, load
from reid.model.checkpoint import TrainedNetwork, build_network
from reid.model.pgan import PGAN

# 16 images in batches of 3, two batches per block
BLOCKS = ("00000000.safetensors", "00000006.safetensors", "00000012.safetensors")
RESUMING = "resuming: {} of 16 images were finished before"


class StopHere(Exception):
    """Stops an extraction."""


def stop() -> None:
    raise StopHere


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set batches of 3 images, blocks of two batches."""
    monkeypatch.setitem(extraction.BATCH, "cpu", 3)
    monkeypatch.setattr(extraction, "BATCHES", 2)


def make_network() -> PGAN:
    """Return the same network every time."""
    return build_network(TINY, 8, pretrained=False)


def load_tiny(source: NetworkState) -> TrainedNetwork:
    """Return the network in a worker of Ray, with the tiny backbone."""
    with tiny_scale():
        return load(source)


def source_of(toy: Toy, weights: str = "first") -> FeatureSource:
    """Return the test images with their parts; `weights` is the hash of the network's weights."""
    table = toy.dataset.table
    return FeatureSource(toy.dataset, sorted(table["name"][table["split"] != "train"]), toy.parts, TINY, weights)


def extracted(toy: Toy, path: Path, *, weights: str = "first", workers: int = 0, engine: str = "process") -> Features:
    """Return the features of the test images, from `path` or extracted."""
    return cached_features(path, make_network(), source_of(toy, weights), Compute("cpu", workers, engine))


def uninterrupted_bytes(toy: Toy, path: Path) -> bytes:
    """Return the bytes of a feature file whose extraction was not interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        extracted(toy, path)
    return path.read_bytes()


def stopping(embed: Callable[..., Any], batches: int, action: Callable[[], Any]) -> Callable[..., Any]:
    """Return `embed_batch` that calls `action` first once so many batches are done."""
    calls = 0

    def stopped(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > batches:
            action()
        return embed(*arguments)

    return stopped


def stopped_after(toy: Toy, path: Path, blocks: int, *, weights: str = "first") -> Path:
    """Stop an extraction after so many blocks; return their folder."""
    with pytest.MonkeyPatch.context() as patch:
        embed = stopping(embedding.embed_batch, blocks * extraction.BATCHES, stop)
        patch.setattr(embedding, "embed_batch", embed)
        with pytest.raises(StopHere):
            extracted(toy, path, weights=weights)
    assert len(block_names(path)) == blocks
    return path.with_name(path.name + ".blocks")


def finished_blocks(toy: Toy, path: Path) -> Path:
    """Stop an extraction after all blocks, before the file is written; return the folder of the blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "write_features", lambda *_: stop())
        with pytest.raises(StopHere):
            extracted(toy, path)
    assert block_names(path) == list(BLOCKS) and not path.exists()
    return path.with_name(path.name + ".blocks")


def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the size of every batch that the network gets from now on."""
    embed, sizes = embedding.embed_batch, []

    def counted(network: PGAN, batch: Any, device: str) -> Any:
        sizes.append(len(batch.index))
        return embed(network, batch, device)

    monkeypatch.setattr(embedding, "embed_batch", counted)
    return sizes


def messages(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines on standard error since the last call."""
    return capsys.readouterr().err.splitlines()


def block_names(path: Path) -> list[str]:
    """Return the names of the finished blocks of `path`."""
    return sorted(block.name for block in path.with_name(path.name + ".blocks").glob("[0-9]*.safetensors"))


def only_the_file(path: Path) -> bool:
    """Return whether the folder of `path` contains nothing else."""
    return [other.name for other in path.parent.iterdir()] == [path.name]
