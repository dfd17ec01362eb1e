"""Mutated files into every reader of users' files: each must be read, or refused in one line.

`python -m soak.fuzz --seconds 3600`, with PYTHONPATH=tests. Inputs that do anything else go to --findings.
"""

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
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from random import Random
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click
import torch

from data_cache.base.errors import UserError
from soak.inputs import binaries, ours, texts
from soak.inputs.mutation import Target
from soak.rows import Row, end_with

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TARGETS: dict[str, Target] = {**texts.TARGETS, **binaries.TARGETS, **ours.TARGETS}
PATIENCE = 20  # seconds for one input; a sound one takes milliseconds
MOST_MEMORY = 1 << 20  # KiB that one input may add to the peak


class TooSlow(Exception):
    """A reader takes too long; not a TimeoutError, because readers catch OSError."""


def target_files() -> list[tuple[str, str]]:
    """Return the target and the name of every file that is mutated."""
    return [(name, file) for name, target in TARGETS.items() for file in target.files()]


def mutants(target: Target, folder: Path, random: Random) -> Iterator[str | None]:
    """Read the target's files again and again, each time with another mutated; yield what went wrong, or None.

    While it yields, the mutated file is in `folder`.
    """
    target.write(folder)
    wrong = read(target, folder)
    assert wrong is None, f"the sound files are not read: {wrong}"
    files = target.files()
    while True:
        path = folder / random.choice(files)
        sound = path.read_bytes()
        path.write_bytes(target.mutate(sound, random))
        yield read(target, folder)
        path.write_bytes(sound)


def read(target: Target, folder: Path) -> str | None:
    """Read the files; return what went wrong, or None if they are read, or refused in one line."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), time_limit(PATIENCE):
            warnings.simplefilter("ignore")
            target.read(folder)
    except UserError as error:
        if "\n" in str(error) or not str(error).strip():
            return f"refused, but not in one line: {str(error)!r}"
    except Exception:
        return traceback.format_exc()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return f"took {grown >> 10} MiB" if grown > MOST_MEMORY else None


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise TooSlow in this process after so many seconds."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise TooSlow(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(seconds: float, seed: int, findings: Path | None = None, names: Sequence[str] = ()) -> list[Row]:
    """Try mutated files for so long in all targets, or in those named; return a row for each.

    Inputs that something was lost to are copied to the folder `findings`.
    """
    chosen = [name for name in TARGETS if not names or name in names]
    return [_in_a_process(name, seconds / len(chosen), seed, findings) for name in chosen]


def _in_a_process(name: str, seconds: float, seed: int, findings: Path | None) -> Row:
    """Try a target in a process of its own, because an input may end or hang the process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    tries = lost = 0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        process = context.Process(target=_fuzz_for, args=(name, Path(folder), seconds, seed, findings, sender))
        process.start()
        sender.close()
        with suppress(EOFError):
            while receiver.poll(3 * PATIENCE):
                tries, lost = receiver.recv()
        process.join(PATIENCE)
        process.kill()
        process.join()
        if process.exitcode:
            tries, lost = tries + 1, lost + 1
            _keep(findings, f"{name} {seed}", Path(folder), f"the process ended with {process.exitcode}")
    return Row(f"fuzz: {name}", tries, lost)


def _fuzz_for(name: str, folder: Path, seconds: float, seed: int, findings: Path | None, counts: "Connection") -> None:
    torch.set_num_threads(1)
    end = time.monotonic() + seconds
    kinds: set[str] = set()
    lost = 0
    for tries, wrong in enumerate(mutants(TARGETS[name], folder, Random(f"{name} {seed}")), start=1):
        kind = "" if wrong is None else wrong.rstrip().splitlines()[-1][:60]  # the type of an exception
        lost += wrong is not None
        if wrong is not None and kind not in kinds:
            kinds.add(kind)
            _keep(findings, f"{name} {seed}-{len(kinds)}", folder, wrong)
        counts.send((tries, lost))
        if time.monotonic() > end:
            return


def _keep(findings: Path | None, name: str, folder: Path, report: str) -> None:
    if findings is not None:
        kept = findings / name.replace(" ", "-").replace("/", "-")
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        (kept / "report.txt").write_text(report + "\n", encoding="utf-8", errors="backslashreplace")


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True, help="Time for all targets.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--findings", type=click.Path(path_type=Path, file_okay=False), help="Folder for inputs with losses.")
@click.option("--target", "names", multiple=True, help="Only this target; repeatable. See --list.")
@click.option("--list", "listed", is_flag=True, help="List the targets and exit.")
def main(seconds: float, seed: int, findings: Path | None, names: tuple[str, ...], listed: bool) -> None:
    """Try mutated files, print a row for each target, and exit with 1 if anything was lost."""
    if listed:
        click.echo("\n".join(TARGETS))
        return
    end_with(fuzz(seconds, seed, findings, names))


if __name__ == "__main__":
    main()
