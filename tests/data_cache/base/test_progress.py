"""Progress: items pass unchanged in every mode, standard output stays clean, only the first rank prints."""

import errno
import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from data_cache.base.progress import SECONDS_BETWEEN_LINES, hidden_progress, track
from helpers.paths import ROOT

log = logging.getLogger("reid.training.loop")


class Terminal(io.StringIO):
    """Standard error that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on by a second with every look, so that nothing has to wait."""
    seconds = iter(range(10**6))
    monkeypatch.setattr("data_cache.base.progress.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))


@pytest.mark.parametrize("rank", [None, "0", "1"])
@pytest.mark.parametrize("terminal", [False, True])
def test_items_pass_in_order_and_standard_output_stays_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str | None, terminal: bool
) -> None:
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    if terminal:
        monkeypatch.setattr(sys, "stderr", Terminal())
    items = [object() for _ in range(40)]
    assert list(track(iter(items), "work", len(items))) == items
    assert list(track([], "nothing", 0)) == []
    assert capsys.readouterr().out == ""
    if terminal:
        printed = sys.stderr.getvalue()  # type: ignore[attr-defined]
        assert printed == "" if rank == "1" else "40/40" in printed


@pytest.mark.parametrize("terminal", [False, True])
def test_hidden_progress_shows_nothing(monkeypatch: pytest.MonkeyPatch, slow_clock: None, terminal: bool) -> None:
    monkeypatch.delenv("RANK", raising=False)
    printed = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    with pytest.raises(KeyError), hidden_progress():
        assert list(track(range(40), "work", 40)) == list(range(40)) and printed.getvalue() == ""
        raise KeyError
    list(track(range(40), "work", 40))
    assert "40/40" in printed.getvalue()


def test_items_are_taken_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    taken = []

    def source() -> Iterator[int]:
        for number in range(5):
            taken.append(number)
            yield number

    for number in track(source(), "work", 5):
        assert taken == list(range(number + 1))


def test_an_error_of_the_source_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")

    def source() -> Iterator[int]:
        yield 1
        raise RuntimeError("broken")

    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(RuntimeError, match="broken"):
            list(track(source(), "work", 5))


@pytest.mark.usefixtures("slow_clock")
def test_plain_lines_show_counts_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "0")
    assert len(list(track(range(100), "reading", 100))) == 100
    lines = capsys.readouterr().err.splitlines()
    period = int(SECONDS_BETWEEN_LINES)
    assert [line.split(":")[0] for line in lines] == ["reading"] * len(lines)
    counts = [int(line.split(": ")[1].split("/")[0]) for line in lines]
    assert counts == [*range(period, 100, period), 100]
    # a second an item by this clock
    assert f"{period}/100, 1.0/s, {100 - period} s left" in lines[0]


@pytest.mark.usefixtures("slow_clock")
def test_size_counts_the_images_of_a_batch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "0")
    batches = [[0] * 4] * 25 + [[0] * 2]
    assert list(track(batches, "reading", 102, len)) == batches
    lines, period = capsys.readouterr().err.splitlines(), int(SECONDS_BETWEEN_LINES)
    # a batch of four a second by this clock
    assert f"{4 * period}/102, 4.0/s, {(102 - 4 * period) / 4:.0f} s left" in lines[0]
    assert "reading: 102/102" in lines[-1]
    monkeypatch.setattr(sys, "stderr", Terminal())
    list(track(batches, "reading", 102, len))
    assert "102/102" in sys.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("slow_clock")
def test_other_ranks_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "3")
    log.warning("not printed")
    list(track(range(100), "reading", 100))
    assert capsys.readouterr() == ("", "")


def test_a_message_is_one_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    log.info("found 3\nparts")
    assert capsys.readouterr() == ("", "found 3\\nparts\n")
    logging.getLogger("elsewhere").info("not ours")
    assert capsys.readouterr() == ("", "")


def test_a_message_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    class FullDisk(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", FullDisk())
    log.warning("lost")
    assert tried == ["lost\n"]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_note_is_computed_only_when_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], slow_clock: None, terminal: bool
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if terminal:
        monkeypatch.setattr(sys, "stderr", Terminal())
    asked = []

    def note() -> str:
        asked.append(1)
        return f"loss {len(asked)}"

    list(track(range(60), "work", 60, note=note))
    printed = sys.stderr.getvalue() if terminal else capsys.readouterr().err  # type: ignore[attr-defined]
    assert 0 < len(asked) <= 60 and "loss " in printed
    if not terminal:
        lines = [line for line in printed.splitlines() if "left" in line]
        assert len(lines) == len(asked) and lines[-1].endswith(f" s left, loss {len(asked)}")


@pytest.mark.parametrize("terminal", [False, True])
def test_items_done_before_are_shown_but_do_not_count_for_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], slow_clock: None, terminal: bool
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(track(range(40), "work", 100, done=60)) == list(range(40))
    if terminal:
        assert "100/100" in stream.getvalue()
    else:
        said = [line for line in stream.getvalue().splitlines() if "left" in line]
        first = said[0]
        reached = int(first.split("work: ")[1].split("/")[0])
        rate = float(first.split(", ")[1].removesuffix("/s"))
        seconds = int(first.split(", ")[2].split()[0])
        assert reached > 60 and rate < 2  # about one look at the clock an item
        assert seconds == pytest.approx((100 - reached) / rate, abs=2)


@pytest.mark.parametrize(("options", "shown"), [([], False), (["-W", "default"], True)])
def test_commands_hide_warnings_of_libraries_unless_they_are_asked_for(options: list[str], shown: bool) -> None:
    run = "main(['detect', '--help'], standalone_mode=False)"
    code = f"import warnings; from cli import main; {run}; warnings.warn('of a library')"
    done = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert ("of a library" in done.stderr) == shown
