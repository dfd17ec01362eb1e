"""The lock of a run: refused to others while its process lives, free however that ends."""

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data_cache.base import locks
from data_cache.base.errors import UserError
from data_cache.base.locks import run_lock
from helpers.paths import ROOT

HOLD = (
    "import sys; from pathlib import Path; from data_cache.base.errors import UserError\n"
    "from data_cache.base.locks import run_lock\n"
    "try:\n"
    "    with run_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()\n"
    "except UserError: print('refused', flush=True)"
)


def start(folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_held_lock_is_refused_and_its_file_is_gone_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with run_lock(folder):
        with pytest.raises(UserError, match=rf"{folder}: another run .*{os.getpid()}.* wait for it"), run_lock(folder):
            pass
        assert (folder / ".lock").exists()  # the refused run must not free what it does not hold
    with pytest.raises(ValueError, match="bad"), run_lock(folder):
        raise ValueError("bad")
    assert not (folder / ".lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    with start(tmp_path) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=str(holder.pid)), run_lock(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (tmp_path / ".lock").exists()
        with run_lock(tmp_path):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_waits_goes_on_when_the_other_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, end: signal.Signals
) -> None:
    caplog.set_level("INFO")
    with start(tmp_path) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        threading.Timer(0.5, holder.send_signal, (end,)).start()
        with run_lock(tmp_path, wait=True):
            assert holder.wait() == -end
    assert f"{tmp_path}: waiting for another run" in caplog.text and str(holder.pid) in caplog.text


@pytest.mark.parametrize("owner", ["elsewhere.example 17", "", "\0\0\0"])
def test_a_file_that_no_process_holds_locks_nobody_out(tmp_path: Path, owner: str) -> None:
    (tmp_path / ".lock").write_text(owner)
    with run_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_one_of_many_that_start_at_once_runs(tmp_path: Path) -> None:
    runs = [start(tmp_path) for _ in range(6)]
    answers = sorted(run.stdout.readline().strip() for run in runs if run.stdout)
    for run in runs:
        run.communicate()
    assert answers == ["held"] + 5 * ["refused"]


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
    try:
        with run_lock(tmp_path):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()


def test_a_lock_is_free_even_if_its_file_stays_and_nobody_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "no disk")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no disk"), run_lock(tmp_path):
        patch.setattr(Path, "unlink", refuse)
        patch.setattr(locks.log, "warning", refuse)  # a handler that writes to that disk
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock(tmp_path):
        assert "has no locks" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"\.lock: cannot be written"), run_lock(folder):
            pass
