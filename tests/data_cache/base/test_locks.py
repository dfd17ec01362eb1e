"""The lock that one run holds: refused to others while its process lives, free whatever ends it."""

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.base.locks import remove_lock_of_the_dead, run_lock
from helpers.paths import ROOT


def test_a_lock_is_refused_while_held_and_gone_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with run_lock(folder):
        with pytest.raises(UserError, match=rf"{folder}: another run .*{os.getpid()}.* wait for it"), run_lock(folder):
            pass
        assert (folder / ".lock").exists()  # the refused run must not free what it does not hold
    with run_lock(folder):
        pass
    assert not (folder / ".lock").exists()


def test_the_file_of_a_lock_that_nobody_holds_is_removed_and_a_held_one_stays(tmp_path: Path) -> None:
    remove_lock_of_the_dead(tmp_path)
    (tmp_path / ".lock").touch()
    remove_lock_of_the_dead(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with run_lock(tmp_path):
        remove_lock_of_the_dead(tmp_path)
        assert (tmp_path / ".lock").exists()


def test_a_lock_is_freed_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), run_lock(tmp_path):
        raise ValueError("bad")
    assert not (tmp_path / ".lock").exists()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from data_cache.base.locks import run_lock\n"
        "with run_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    root = ROOT
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=str(holder.pid)), run_lock(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (tmp_path / ".lock").exists()
        with run_lock(tmp_path):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()


@pytest.mark.parametrize("owner", ["elsewhere.example 17", "", "\0\0\0"])
def test_a_file_that_nobody_holds_locks_nobody_out(tmp_path: Path, owner: str) -> None:
    (tmp_path / ".lock").write_text(owner)
    with run_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_a_lock_file_that_its_run_removes_meanwhile_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, flock, removed = tmp_path / ".lock", fcntl.flock, []

    def remove_first(descriptor: int, operation: int) -> None:
        if not removed:
            lock.unlink()
            removed.append(descriptor)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with run_lock(tmp_path):
        assert removed and lock.exists()


def test_of_many_that_start_at_once_one_alone_runs(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from data_cache.base.errors import UserError\n"
        "from data_cache.base.locks import run_lock\n"
        "try:\n"
        "    with run_lock(Path(sys.argv[1])): print('ran', flush=True); sys.stdin.read()\n"
        "except UserError: print('refused', flush=True)"
    )
    command, root = [sys.executable, "-c", code, str(tmp_path)], ROOT
    runs = [
        subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    answers = sorted(run.stdout.readline().strip() for run in runs if run.stdout)
    for run in runs:
        run.communicate()
    assert answers == ["ran"] + 5 * ["refused"]


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


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock(tmp_path):
        assert "knows no locks" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"\.lock: cannot be written"), run_lock(folder):
            pass
