"""Extraction of the toy set's features in small blocks, and the ways in which it is stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from helpers.toy.vehicles import TINY, Toy
from reid.features import extraction as features
from reid.features.extraction import cached_features
from reid.features.file import Features
from reid.model.checkpoint import build_network

# 16 images in batches of 3, two batches a block
BLOCKS = ("00000000.safetensors", "00000006.safetensors", "00000012.safetensors")
GOING_ON = "going on: {} of 16 images were finished before"


class StopHere(Exception):
    """Ends an extraction where a test wants it."""


def stop() -> None:
    raise StopHere


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 3 images, blocks of two batches."""
    monkeypatch.setitem(features.BATCH, "cpu", 3)
    monkeypatch.setattr(features, "BATCHES", 2)


def names_of(toy: Toy) -> list[str]:
    """The test images, in the order of their names."""
    table = toy.dataset.table
    return sorted(table["name"][table["split"] != "train"])


def network_of() -> nn.Module:
    """The same network every time."""
    return build_network(TINY, 8, pretrained=False)


def extracted(toy: Toy, path: Path, *, weights: str = "first", workers: int = 0) -> Features:
    """The features of the test images, from `path` or made; `weights` stands for the hash of the network's."""
    return cached_features(
        path, network_of(), toy.dataset, names_of(toy), toy.parts, TINY, weights, device="cpu", workers=workers
    )


def undisturbed_bytes(toy: Toy, path: Path) -> bytes:
    """The bytes of the file that an extraction writes which nothing stops."""
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        extracted(toy, path)
    return path.read_bytes()


def stopping(forward: Callable[..., Any], batches: int, ending: Callable[[], Any]) -> Callable[..., Any]:
    """`forward`, with `ending` called before it when so many batches are through."""
    calls = 0

    def stopped(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > batches:
            ending()
        return forward(*arguments)

    return stopped


def stopped_after(toy: Toy, path: Path, blocks: int, *, weights: str = "first") -> Path:
    """Stop an extraction when so many blocks are finished; return the folder where they lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "forward", stopping(features.forward, blocks * features.BATCHES, stop))
        with pytest.raises(StopHere):
            extracted(toy, path, weights=weights)
    folder = path.with_name(path.name + ".blocks")
    assert len(blocks_of(path)) == blocks
    return folder


def finished_blocks(toy: Toy, path: Path) -> Path:
    """Stop an extraction when all blocks are finished and the file is not yet written; return their folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "write_features", lambda *_: stop())
        with pytest.raises(StopHere):
            extracted(toy, path)
    assert blocks_of(path) == list(BLOCKS) and not path.exists()
    return path.with_name(path.name + ".blocks")


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that go through the network from now on, as they come."""
    forward, sizes = features.forward, []

    def counted(network: nn.Module, batch: Any, *arguments: Any) -> Any:
        sizes.append(len(batch.index))
        return forward(network, batch, *arguments)

    monkeypatch.setattr(features, "forward", counted)
    return sizes


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that were told to the user since the last look."""
    return capsys.readouterr().err.splitlines()


def blocks_of(path: Path) -> list[str]:
    """The finished blocks beside `path`, by name."""
    return sorted(block.name for block in path.with_name(path.name + ".blocks").glob("[0-9]*.safetensors"))


def only_the_file(path: Path) -> bool:
    """Whether nothing lies in the folder but the file."""
    return [other.name for other in path.parent.iterdir()] == [path.name]
