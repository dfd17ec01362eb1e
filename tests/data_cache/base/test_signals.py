"""SIGTERM leaves through the code's own exits, and is told once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import Group
from data_cache.base.errors import UserError
from data_cache.base.files import replacing
from data_cache.base.signals import ending_in_order


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No torchrun around the test."""
    monkeypatch.delenv("RANK", raising=False)


@pytest.fixture
def handler() -> Iterator[object]:
    """The handler of SIGTERM before the test, which must be there after it."""
    before = signal.getsignal(signal.SIGTERM)
    yield before
    assert signal.getsignal(signal.SIGTERM) is before


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


@pytest.mark.parametrize(("rank", "kind"), [("0", UserError), ("1", SystemExit)])
def test_an_end_of_which_a_library_makes_another_error_is_the_end(
    handler: object, monkeypatch: pytest.MonkeyPatch, rank: str, kind: type[BaseException]
) -> None:
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(kind), ending_in_order():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except BaseException:
            raise ValueError("Invalid affine transformation matrix") from None


def test_an_error_that_nobody_asked_for_is_that_error(handler: object) -> None:
    with pytest.raises(ValueError, match="of its own"), ending_in_order():
        raise ValueError("of its own")


class Swallowing:
    """Its end gets SIGTERM, and Python lets no exception out of there."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass


@pytest.mark.parametrize(("rank", "kind"), [("0", UserError), ("1", SystemExit)])
def test_an_end_that_python_swallows_comes_once_more(
    handler: object, monkeypatch: pytest.MonkeyPatch, rank: str, kind: type[BaseException]
) -> None:
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(kind), ending_in_order():
        Swallowing()
        time.sleep(60)


def test_what_else_python_swallows_is_told_as_before(handler: object, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException | None] = []
    hook = lambda swallowed: told.append(swallowed.exc_value)  # noqa: E731 - compared below
    monkeypatch.setattr(sys, "unraisablehook", hook)

    class Failing:
        def __del__(self) -> None:
            raise KeyError("of its own")

    with ending_in_order():
        Failing()
    assert [type(error) for error in told] == [KeyError] and sys.unraisablehook is hook


def test_what_is_left_is_told(handler: object) -> None:
    with pytest.raises(UserError, match=r"\(SIGTERM\); nothing is left$"), ending_in_order("nothing is left"):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)


def test_every_command_ends_in_order(handler: object, tmp_path: Path) -> None:
    """A file that is being written when SIGTERM comes leaves nothing under any name."""
    group = Group()

    @group.command()
    def write() -> None:
        with replacing(tmp_path / "page.html") as scratch:
            scratch.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    result = CliRunner().invoke(group, ["write"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ("Error: stopped from outside (SIGTERM); what is finished is kept, run it again to go on\n")
    assert list(tmp_path.iterdir()) == []
