"""Extraction goes on from its last finished block to the same bytes; nothing damaged or foreign is mixed in."""

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
from data_cache.base.files import strays_of
from data_cache.base.locks import run_lock
from helpers.toy.features import (
    BLOCKS,
    GOING_ON,
    StopHere,
    blocks_of,
    counting,
    extracted,
    finished_blocks,
    names_of,
    network_of,
    only_the_file,
    stop,
    stopped_after,
    stopping,
    told,
)
from helpers.toy.vehicles import TINY, Toy
from reid.data.vehicle_images import vehicle_images
from reid.distributed import joined_ranks, own_rank
from reid.features import extraction as features
from reid.features.blocks import Block, FeatureBlocks
from reid.features.extraction import extract_features

pytestmark = pytest.mark.usefixtures("tiny_network", "small_feature_blocks")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("batches", "finished"), [(0, 0), (1, 0), (2, 6), (3, 6), (4, 12), (5, 12)])
def test_a_stopped_extraction_goes_on_to_the_same_bytes(
    toy: Toy,
    undisturbed_features: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
    finished: int,
    workers: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "features.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(features, "forward", stopping(features.forward, batches, stop))
        with pytest.raises(StopHere):
            extracted(toy, path, workers=workers)
    assert not path.exists() and blocks_of(path) == list(BLOCKS[: finished // 6])
    sizes = counting(monkeypatch)
    told(capsys)
    found = extracted(toy, path, workers=workers)
    assert sizes == [3, 3, 3, 3, 3, 1][finished // 3 :]
    assert told(capsys) == ([GOING_ON.format(finished)] if finished else [])
    assert path.read_bytes() == undisturbed_features and only_the_file(path)
    assert found.names == tuple(names_of(toy))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own handler of SIGINT: a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_process_that_is_ended_leaves_what_the_next_one_goes_on_from(
    toy: Toy,
    undisturbed_features: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    workers: int,
) -> None:
    path, ending = tmp_path / "features.safetensors", signal.Signals[name]
    with monkeypatch.context() as patch:
        patch.setattr(features, "forward", stopping(features.forward, 5, lambda: signal.raise_signal(ending)))
        process = get_context("fork").Process(target=extracted, args=(toy, path), kwargs={"workers": workers})
        process.start()
        process.join()
    assert process.exitcode == (-ending if name == "SIGKILL" else 1)
    words = {
        "SIGKILL": "",
        "SIGTERM": "stopped from outside (SIGTERM); what is finished is kept, run it again to go on",
        "SIGINT": f"{path}: stopped; what is finished is kept, run it again to go on",
    }
    assert words[name] in capfd.readouterr().err
    assert blocks_of(path) == list(BLOCKS[:2])
    assert (path.parent / f"{path.name}.blocks" / ".lock").exists() == (name == "SIGKILL")
    extracted(toy, path)
    assert GOING_ON.format(12) in capfd.readouterr().err
    assert path.read_bytes() == undisturbed_features and only_the_file(path)


@pytest.mark.parametrize("workers", [0, 1])
def test_all_blocks_without_the_file_need_no_network(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    path = tmp_path / "features.safetensors"
    finished_blocks(toy, path)
    monkeypatch.setattr(features, "DataLoader", lambda *_, **__: pytest.fail("a loader was made"))
    extracted(toy, path, workers=workers)
    assert path.read_bytes() == undisturbed_features and only_the_file(path)


def test_what_a_run_left_that_was_killed_after_the_file_is_removed(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "features.safetensors"
    folder = finished_blocks(toy, path)
    path.write_bytes(undisturbed_features)
    (tmp_path / f".{path.name}.abcdefgh.tmp").write_bytes(b"half")
    assert strays_of(path)
    with run_lock(folder):  # of a run that is at work
        extracted(toy, path)
        assert blocks_of(path) == list(BLOCKS)
    extracted(toy, path)
    assert "features are up to date" in capsys.readouterr().err
    assert path.read_bytes() == undisturbed_features and only_the_file(path)


def test_two_runs_do_not_make_one_file_at_once(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "features.safetensors"
    folder = stopped_after(toy, path, 1)
    with run_lock(folder):
        with pytest.raises(UserError, match=r"features\.safetensors\.blocks: another run .* is writing here"):
            extracted(toy, path)
        assert blocks_of(path) == list(BLOCKS[:1]) and not path.exists()


def test_a_file_of_other_weights_stays_until_the_new_one_is_whole(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "features.safetensors"
    path.write_bytes(undisturbed_features)
    stopped_after(toy, path, 2, weights="second")
    assert path.read_bytes() == undisturbed_features
    assert extracted(toy, path).provenance["weights"] == "first"  # still up to date for the first
    assert extracted(toy, path, weights="second").provenance["weights"] == "second"
    assert path.read_bytes() != undisturbed_features and only_the_file(path)


def test_a_feature_that_is_not_finite_ends_the_run_at_its_block(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "features.safetensors"
    forward, calls = features.forward, []

    def spoilt(*arguments: Any) -> Any:
        calls.append(1)
        output = forward(*arguments)
        if len(calls) == 3:
            output.feature[1] = torch.nan
        return output

    with monkeypatch.context() as patch:
        patch.setattr(features, "forward", spoilt)
        with pytest.raises(UserError, match=rf"{names_of(toy)[7]}: a feature is not finite \(1 of 6 images\)"):
            extracted(toy, path)
    assert len(calls) == 4 and blocks_of(path) == list(BLOCKS[:1])
    extracted(toy, path)
    assert path.read_bytes() == undisturbed_features


def test_without_blocks_nothing_is_written_and_the_features_are_the_same(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "features.safetensors"
    wanted = extracted(toy, path)
    images = vehicle_images(toy.dataset, toy.parts, names_of(toy), depth=TINY.parts, size=TINY.image_size)
    matrix, attention = extract_features(network_of(), images, device="cpu", workers=0)
    np.testing.assert_array_equal(matrix, wanted.matrix)
    np.testing.assert_array_equal(attention, wanted.attention)
    assert only_the_file(path)


def test_two_processes_of_torchrun_make_the_file_of_one(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "features.safetensors"
    stopped_after(toy, path, 1)
    (path.parent / f"{path.name}.blocks" / BLOCKS[0]).write_bytes(b"damaged")
    assert joined(toy, path) == [0, 0]
    assert path.read_bytes() == undisturbed_features and only_the_file(path)
    assert joined(toy, path) == [0, 0]
    assert capfd.readouterr().err.count("features are up to date") == 1


def test_blocks_stay_until_the_slowest_process_has_read_them(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = tmp_path / "features.safetensors", FeatureBlocks.made_by_another

    def late(self: FeatureBlocks, rows: range) -> Block:
        if own_rank():
            time.sleep(0.5)
        return plain(self, rows)

    monkeypatch.setattr(FeatureBlocks, "made_by_another", late)
    assert joined(toy, path) == [0, 0]
    assert path.read_bytes() == undisturbed_features and only_the_file(path)


def test_a_process_of_torchrun_that_dies_ends_the_others_and_its_blocks_are_made_by_the_next_run(
    toy: Toy, undisturbed_features: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "features.safetensors"
    with monkeypatch.context() as patch:
        kill = stopping(features.forward, 1, lambda: signal.raise_signal(signal.SIGKILL))
        patch.setattr(features, "forward", lambda *given: (kill if own_rank() else features_forward)(*given))
        assert joined(toy, path) == [1, -signal.SIGKILL]
    assert blocks_of(path) == [BLOCKS[0], BLOCKS[2]] and not path.exists()
    extracted(toy, path)
    assert path.read_bytes() == undisturbed_features and only_the_file(path)


features_forward = features.forward


def joined(toy: Toy, path: Path) -> list[int | None]:
    """Extract in two processes, as torchrun starts them; return their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def work(rank: int) -> None:
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "RANK": str(rank)}
        os.environ.update(told)
        torch.set_num_threads(1)
        with joined_ranks("cpu"):
            extracted(toy, path)

    processes = [get_context("fork").Process(target=work, args=(rank,)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]
