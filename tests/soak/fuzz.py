"""Spoilt files into every reader of users' files: each is read, or refused in one line; nothing else may happen.

`python -m soak.fuzz --seconds 3600`, with the folder tests/ on the path (PYTHONPATH=tests). Inputs that reach new lines
of the reader are kept and spoilt further. What is found is put into --findings, with its traceback.
"""

import contextlib
import io
import multiprocessing
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click
import torch

from data_cache.base.errors import UserError
from soak.inputs import binaries, ours, texts
from soak.inputs.reach import Lines, lines_reached
from soak.inputs.target import Target
from soak.rows import Row, end_with

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TARGETS: dict[str, Target] = {**texts.TARGETS, **binaries.TARGETS, **ours.TARGETS}
PATIENCE = 20  # seconds for one input; a sound one takes milliseconds
MOST_MEMORY = 1 << 20  # KiB that one input may add to the peak
MOST_KEPT = 500  # inputs of a file


@dataclass(frozen=True)
class Finding:
    """An input that did something else than to be read or refused in one line."""

    file: str
    data: bytes
    told: str


class TooSlow(Exception):
    """An input that takes too long."""


@dataclass
class Hunt:
    """The search in one target: what was kept so far, and which lines it reached."""

    target: Target
    folder: Path
    random: Random
    kept: dict[str, list[bytes]] = field(default_factory=dict)
    reached: Lines = field(default_factory=set)
    tries: int = 0
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Lay the sound files down; they must be read."""
        self.sound = dict(self.target.make())
        for name, data in self.sound.items():
            self.write(name, data)
        told, self.reached = self._read()
        if told is not None:
            raise RuntimeError(f"the sound files are not read: {told}")
        chosen = self.target.spoilt or tuple(self.sound)
        self.kept = {name: [self.sound[name]] for name in chosen}

    def once(self) -> None:
        """Spoil one file, read it, and keep it where it reaches new lines."""
        name = self.random.choice(list(self.kept))
        some = self.kept[name]
        data = self.target.spoil(self.random.choice(some), self.random.choice(some), self.random)
        self.write(name, data)
        told, reached = self._read()
        self.tries += 1
        if told is not None:
            self.findings.append(Finding(name, data, told))
        elif not reached <= self.reached and len(some) < MOST_KEPT:
            some.append(data)
        self.reached |= reached
        self.write(name, self.sound[name])

    def write(self, name: str, data: bytes) -> None:
        """Lay a file down."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(data)

    def _read(self) -> tuple[str | None, Lines]:
        """Return what went wrong, None where all is as it should be, and the lines that were reached."""
        told: list[str] = []
        reached = lines_reached(self.target.modules, lambda: told.extend(_outcome(self.target, self.folder)))
        return (told[0] if told else None), reached


def _outcome(target: Target, folder: Path) -> Iterator[str]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), _limited(PATIENCE):
            warnings.simplefilter("ignore")
            target.read(folder)
    except UserError as error:
        if "\n" in str(error) or not str(error).strip():
            yield f"refused, but not in one line: {str(error)!r}"
    except Exception:
        yield traceback.format_exc()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > MOST_MEMORY:
        yield f"took {grown >> 10} MiB"


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise TooSlow(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def hunt(target: Target, folder: Path, *, tries: int, seed: int) -> Hunt:
    """Return a search of so many tries, the same for the same seed."""
    found = Hunt(target, folder, Random(seed))
    for _ in range(tries):
        found.once()
    return found


def fuzz(seconds: float, seed: int, findings: Path | None = None, names: Sequence[str] = ()) -> list[Row]:
    """Search for `seconds` in all targets, or in those named, and return a row for each.

    Each has a process of its own, so that one which ends a process is told as well; the inputs that something was lost
    to go into the folder `findings`.
    """
    chosen = {name: target for name, target in TARGETS.items() if not names or name in names}
    return [_in_a_process(name, seconds / len(chosen), seed, findings) for name in chosen]


def _in_a_process(name: str, seconds: float, seed: int, findings: Path | None) -> Row:
    """Search in one target until its time is over, anew after each input that ends the process."""
    end = time.monotonic() + seconds
    tries = lost = 0
    while not tries or time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            counts, exit_code = _watched(name, Path(folder), seed + lost, end, findings)
            tries, lost = tries + counts[0], lost + counts[1]
            if exit_code:
                tries, lost = tries + 1, lost + 1
                _keep(findings, f"{name} {lost}", Path(folder), f"the process ended with {exit_code}")
    return Row(f"fuzz: {name}", tries, tries - lost, lost)


def _watched(name: str, folder: Path, seed: int, end: float, findings: Path | None) -> tuple[tuple[int, int], int]:
    """Search in a process of its own; return tries and losses, and its exit code, where it hangs that of its end."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_search, args=(name, folder, seed, end, findings, there))
    process.start()
    there.close()
    counts = (0, 0)
    with contextlib.suppress(EOFError):
        while here.poll(max(end - time.monotonic(), 0) + 3 * PATIENCE):
            counts = here.recv()
    process.join(3 * PATIENCE)
    process.kill()
    process.join()
    return counts, process.exitcode or 0


def _search(name: str, folder: Path, seed: int, end: float, findings: Path | None, counts: "Connection") -> None:
    torch.set_num_threads(1)
    found = Hunt(TARGETS[name], folder, Random(f"{name} {seed}"))
    kinds: set[str] = set()
    while not found.tries or time.monotonic() < end:
        found.once()
        for finding in found.findings[-1:]:
            kind = finding.told.rstrip().splitlines()[-1][:60]  # an exception by its name, whatever it says
            if kind not in kinds:
                kinds.add(kind)
                found.write(finding.file, finding.data)
                _keep(findings, f"{name} {seed}-{len(kinds)}", folder, f"{finding.file}\n{finding.told}")
                found.write(finding.file, found.sound[finding.file])
        counts.send((found.tries, len(found.findings)))


def _keep(findings: Path | None, name: str, folder: Path, told: str) -> None:
    if findings is not None:
        place = findings / name.replace(" ", "-").replace("/", "-")
        shutil.copytree(folder, place, dirs_exist_ok=True)
        (place / "told.txt").write_text(told + "\n", encoding="utf-8", errors="backslashreplace")


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="Time for all targets.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for what is found.")
@click.option("--target", "names", multiple=True, help="Only this target; repeatable. They are told with --list.")
@click.option("--list", "listed", is_flag=True, help="Tell the targets, and end.")
def main(seconds: float, seed: int, findings: Path | None, names: tuple[str, ...], listed: bool) -> None:
    """Search, print a row for each target, and end with 1 where something was lost."""
    if listed:
        click.echo("\n".join(TARGETS))
        return
    end_with(fuzz(seconds, seed, findings, names))


if __name__ == "__main__":
    main()
