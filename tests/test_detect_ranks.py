"""The processes of torchrun: every item is one's own once, waiting ends, and SIGTERM leaves through the exits."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_cache.errors import UserError
from data_cache.files import write_atomically
from detect import ranks
from detect.ranks import ending_in_order, own_share, versions, wait_for_others


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No torchrun around the test, and quick looks."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ranks, "SECONDS_BETWEEN_LOOKS", 0.001)


@pytest.fixture
def handler() -> Iterator[object]:
    """The handler of SIGTERM before the test, which must be there after it."""
    before = signal.getsignal(signal.SIGTERM)
    yield before
    assert signal.getsignal(signal.SIGTERM) is before


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


def test_sigterm_is_told_by_the_first_process_and_leaves_through_the_exits(handler: object) -> None:
    left = []
    with pytest.raises(UserError, match=r"stopped from outside \(SIGTERM\).* run it again"), ending_in_order():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        finally:
            left.append("cleaned up")
    assert left == ["cleaned up"]


def test_the_other_processes_end_silently(handler: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended, ending_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert ended.value.code == 1


def test_in_another_thread_no_handler_is_set(handler: object) -> None:
    seen = []

    def work() -> None:
        with ending_in_order():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_waiting_ends_when_the_last_file_is_there_and_new(tmp_path: Path) -> None:
    absent, damaged = tmp_path / "0.h5", tmp_path / "1.h5"
    damaged.write_bytes(b"cut short")
    before = versions([absent, damaged])
    done = threading.Event()

    def wait() -> None:
        wait_for_others(before)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    for path in (absent, damaged):
        assert not done.wait(0.05)
        write_atomically(path, b"whole")
    assert done.wait(10)
    thread.join()


def test_nothing_to_wait_for_is_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    wait_for_others({})
    assert capsys.readouterr().err == ""


def test_waiting_ends_with_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(UserError, match="torchrun has ended"):
        wait_for_others(versions([tmp_path / "never.h5"]))
