"""A stopped extraction resumes from its finished blocks and gives the same bytes."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_cache.base.errors import UserError
from data_cache.base.files import temporary_files_of
from data_cache.base.locks import run_lock
from data_cache.base.signals import sigterm_raises
from helpers.toy.features import (
    BLOCKS,
    RESUMING,
    StopHere,
    batch_sizes,
    block_names,
    extracted,
    finished_blocks,
    make_network,
    messages,
    only_the_file,
    source_of,
    stop,
    stopped_after,
    stopping,
)
from helpers.toy.vehicles import Toy
from reid.distributed import joined_ranks, own_rank
from reid.features import embedding
from reid.features.blocks import Block, FeatureBlocks
from reid.features.extraction import extract_features

pytestmark = pytest.mark.usefixtures("tiny_network", "small_feature_blocks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.safetensors"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("batches", "finished"), [(0, 0), (1, 0), (2, 6), (3, 6), (4, 12), (5, 12)])
def test_a_stopped_extraction_resumes_with_the_same_bytes(
    toy: Toy,
    uninterrupted_features: bytes,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
    finished: int,
    workers: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "embed_batch", stopping(embedding.embed_batch, batches, stop))
        with pytest.raises(StopHere):
            extracted(toy, path, workers=workers)
    assert not path.exists() and block_names(path) == list(BLOCKS[: finished // 6])
    sizes = batch_sizes(monkeypatch)
    messages(capsys)
    found = extracted(toy, path, workers=workers)
    assert sizes == [3, 3, 3, 3, 3, 1][finished // 3 :]
    assert messages(capsys) == ([RESUMING.format(finished)] if finished else [])
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)
    assert found.names == tuple(source_of(toy).names)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own handler of SIGINT, which a shell ignores for tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def extract_as_a_command(toy: Toy, path: Path, workers: int) -> None:
    with sigterm_raises():
        extracted(toy, path, workers=workers)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_process_leaves_blocks_for_the_next(
    toy: Toy,
    uninterrupted_features: bytes,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    workers: int,
) -> None:
    number = signal.Signals[name]
    with monkeypatch.context() as patch:
        embed = stopping(embedding.embed_batch, 5, lambda: signal.raise_signal(number))
        patch.setattr(embedding, "embed_batch", embed)
        process = get_context("fork").Process(target=extract_as_a_command, args=(toy, path, workers))
        process.start()
        process.join()
    assert process.exitcode == (-number if name == "SIGKILL" else 1)
    stopped = f"{path}: stopped; finished blocks are kept, run it again to resume"
    assert (stopped in capfd.readouterr().err) == (name == "SIGINT")
    assert block_names(path) == list(BLOCKS[:2])
    assert (path.parent / f"{path.name}.blocks" / ".lock").exists() == (name == "SIGKILL")
    extracted(toy, path)
    assert RESUMING.format(12) in capfd.readouterr().err
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)


@pytest.mark.parametrize("workers", [0, 1])
def test_complete_blocks_are_joined_without_a_loader(
    toy: Toy, uninterrupted_features: bytes, path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    finished_blocks(toy, path)
    monkeypatch.setattr(embedding, "DataLoader", lambda *_, **__: pytest.fail("a loader was created"))
    extracted(toy, path, workers=workers)
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)


def test_leftovers_of_a_run_killed_after_the_file_are_removed(
    toy: Toy, uninterrupted_features: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "features.safetensors"
    folder = finished_blocks(toy, path)
    path.write_bytes(uninterrupted_features)
    (tmp_path / f".{path.name}.abcdefgh.tmp").write_bytes(b"half")
    assert temporary_files_of(path)
    with run_lock(folder):  # another run is writing blocks
        extracted(toy, path)
        assert block_names(path) == list(BLOCKS)
    extracted(toy, path)
    assert "features are up to date" in capsys.readouterr().err
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)


def test_two_runs_cannot_write_one_file(toy: Toy, path: Path) -> None:
    folder = stopped_after(toy, path, 1)
    with run_lock(folder):
        with pytest.raises(UserError, match=r"features\.safetensors\.blocks: another run .* is writing here"):
            extracted(toy, path)
        assert block_names(path) == list(BLOCKS[:1]) and not path.exists()


def test_an_outdated_file_is_kept_until_the_new_one_is_complete(
    toy: Toy, uninterrupted_features: bytes, path: Path
) -> None:
    path.write_bytes(uninterrupted_features)
    stopped_after(toy, path, 2, weights="second")
    assert path.read_bytes() == uninterrupted_features
    assert extracted(toy, path).provenance["weights"] == "first"  # still up to date for these weights
    assert extracted(toy, path, weights="second").provenance["weights"] == "second"
    assert path.read_bytes() != uninterrupted_features and only_the_file(path)


def test_a_feature_that_is_not_finite_stops_at_its_block(
    toy: Toy, uninterrupted_features: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, calls = embedding.embed_batch, []

    def with_nan(*arguments: Any) -> Any:
        calls.append(1)
        features, attention = embed(*arguments)
        if len(calls) == 3:
            features[1] = np.nan
        return features, attention

    with monkeypatch.context() as patch:
        patch.setattr(embedding, "embed_batch", with_nan)
        with pytest.raises(UserError, match=rf"{source_of(toy).names[7]}: feature is not finite \(1 of 6 images\)"):
            extracted(toy, path)
    assert len(calls) == 4 and block_names(path) == list(BLOCKS[:1])
    extracted(toy, path)
    assert path.read_bytes() == uninterrupted_features


def test_extraction_without_blocks_gives_the_same_features(toy: Toy, path: Path) -> None:
    expected = extracted(toy, path)
    matrix, attention = extract_features(make_network(), source_of(toy).images(), device="cpu", workers=0)
    np.testing.assert_array_equal(matrix, expected.matrix)
    np.testing.assert_array_equal(attention, expected.attention)
    assert only_the_file(path)


def test_two_processes_of_torchrun_write_the_file_of_one(
    toy: Toy, uninterrupted_features: bytes, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stopped_after(toy, path, 1)
    (path.parent / f"{path.name}.blocks" / BLOCKS[0]).write_bytes(b"damaged")
    assert extract_in_two_processes(toy, path) == [0, 0]
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)
    assert extract_in_two_processes(toy, path) == [0, 0]
    assert capfd.readouterr().err.count("features are up to date") == 1


def test_blocks_are_kept_until_every_process_has_read_them(
    toy: Toy, uninterrupted_features: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FeatureBlocks.from_other_process

    def late(self: FeatureBlocks, rows: range) -> Block:
        if own_rank():
            time.sleep(0.5)
        return plain(self, rows)

    monkeypatch.setattr(FeatureBlocks, "from_other_process", late)
    assert extract_in_two_processes(toy, path) == [0, 0]
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)


def test_a_killed_process_of_torchrun_stops_the_others(
    toy: Toy, uninterrupted_features: bytes, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = embedding.embed_batch
    kill = stopping(embed, 1, lambda: signal.raise_signal(signal.SIGKILL))
    with monkeypatch.context() as patch:
        patch.setattr(embedding, "embed_batch", lambda *arguments: (kill if own_rank() else embed)(*arguments))
        assert extract_in_two_processes(toy, path) == [1, -signal.SIGKILL]
    assert block_names(path) == [BLOCKS[0], BLOCKS[2]] and not path.exists()
    extracted(toy, path)
    assert path.read_bytes() == uninterrupted_features and only_the_file(path)


def extract_in_two_processes(toy: Toy, path: Path) -> list[int | None]:
    """Extract in two processes, as torchrun starts them; return their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def work(rank: int) -> None:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE="2", RANK=str(rank))
        torch.set_num_threads(1)
        with joined_ranks("cpu"):
            extracted(toy, path)

    processes = [get_context("fork").Process(target=work, args=(rank,)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]
