"""Processes of torchrun: each item is the share of one process, and waiting ends."""

import os
import threading
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.base.files import write_atomically
from detect.extraction import torchrun
from detect.extraction.torchrun import file_version, own_share, wait_for_others


@pytest.fixture(autouse=True)
def single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No torchrun around the test, and short waits."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torchrun, "POLL_SECONDS", 0.001)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_every_item_is_the_share_of_one_process(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    items = list(range(11))
    assert own_share(items) == items
    monkeypatch.setenv("WORLD_SIZE", str(count))
    shares = []
    for rank in range(count):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(own_share(items))
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_waiting_ends_when_every_file_is_written_anew(tmp_path: Path) -> None:
    missing, damaged = tmp_path / "0.h5", tmp_path / "1.h5"
    damaged.write_bytes(b"truncated")
    before = {path: file_version(path) for path in (missing, damaged)}
    done = threading.Event()

    def wait() -> None:
        wait_for_others(before)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    for path in (missing, damaged):
        assert not done.wait(0.05)
        write_atomically(path, b"complete")
    assert done.wait(10)
    thread.join()


def test_nothing_to_wait_for_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    wait_for_others({})
    assert capsys.readouterr().err == ""


def test_waiting_ends_with_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(UserError, match="torchrun has ended"):
        wait_for_others({tmp_path / "never.h5": None})
