"""SIGTERM leaves a command through its context managers, with one line and exit code 1."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch.utils.data import DataLoader

from cli import Group
from data_cache.base.files import replacing
from data_cache.base.signals import Terminated, sigterm_raises, silence_loaders


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """The handler of SIGTERM and the hook of ignored exceptions are the same after a test as before."""
    before, hook = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    yield
    assert signal.getsignal(signal.SIGTERM) is before and sys.unraisablehook is hook


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def test_sigterm_leaves_through_the_finally_blocks() -> None:
    left = []
    with pytest.raises(Terminated) as ended, sigterm_raises():
        try:
            terminate()
        finally:
            left.append("cleaned up")
    assert left == ["cleaned up"] and ended.value.code == 1


class Swallowing:
    """Receives SIGTERM in `__del__`, where Python ignores exceptions."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass


def test_a_sigterm_that_python_ignored_is_sent_again() -> None:
    with pytest.raises(Terminated), sigterm_raises():
        Swallowing()
        time.sleep(60)


@pytest.mark.parametrize(
    ("rank", "line"), [("0", "Error: stopped by SIGTERM; finished work is kept, run it again to resume\n"), ("1", "")]
)
def test_a_stopped_command_prints_one_line_and_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str, line: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    group = Group()

    @group.command()
    def write() -> None:
        with replacing(tmp_path / "page.html") as scratch:
            scratch.write_text("half")
            terminate()

    result = CliRunner().invoke(group, ["write"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", line)
    assert list(tmp_path.iterdir()) == []


def test_the_next_loader_notices_dead_workers_again() -> None:
    for _ in range(2):
        silence_loaders()
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
        list(DataLoader([1, 2], num_workers=1))
        assert callable(signal.getsignal(signal.SIGCHLD))
