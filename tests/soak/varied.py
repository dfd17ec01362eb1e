"""A command of cli.py on toy data, with what may be varied in a run: `python -m soak.varied VARIATION COMMAND ...`."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from helpers.paths import TESTS

LIMIT = 300  # seconds; a sound command takes a few
STOPPED = ("Aborted!", "stopped from outside")  # what a command says that Ctrl-C or SIGTERM has ended


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and what it said."""

    code: int
    told: str


@dataclass(frozen=True)
class Variation:
    """How a command is run. None of it may change what is made."""

    workers: int = 0
    start: str | None = None  # method in which the processes that read images are started; None: the system's own
    batch: int = 16  # images at a time, of detection and of features
    shard: int = 256  # images a shard of detection
    threads: int = 1
    ranks: int = 1  # processes of torchrun
    apart: bool = False  # in a process of its own, as under torchrun; else in this one, which other commands ran in


@contextmanager
def applied(variation: Variation) -> Iterator[None]:
    """Run this process's commands so: its start method, its sizes, and a trunk that trains in a moment."""
    import pytest
    import torch

    import detect.extraction.job
    import reid.features.extraction
    from helpers.toy.vehicles import tiny_scale

    before = multiprocessing.get_start_method(allow_none=True)
    with ExitStack() as held, pytest.MonkeyPatch.context() as patch:
        held.enter_context(tiny_scale())
        torch.set_num_threads(variation.threads)
        held.callback(multiprocessing.set_start_method, before, force=True)
        multiprocessing.set_start_method(variation.start, force=True)
        patch.setattr(detect.extraction.job, "SHARD_SIZE", variation.shard)
        patch.setitem(reid.features.extraction.BATCH, "cpu", variation.batch)
        yield


def ended(variation: Variation, arguments: Sequence[str]) -> Ended:
    """Run a command so, and wait for its end; one that hangs is ended, with exit code -1."""
    if variation.apart or variation.ranks > 1:
        return _apart(variation, arguments)
    from click.testing import CliRunner

    from cli import main as command

    with applied(variation):
        result = CliRunner().invoke(command, arguments)
    if result.exit_code and any(word in result.output for word in STOPPED):
        raise KeyboardInterrupt  # it was not the command that was to be stopped
    escaped = "" if isinstance(result.exception, SystemExit | None) else repr(result.exception)
    return Ended(result.exit_code, result.output + escaped)


def _apart(variation: Variation, arguments: Sequence[str]) -> Ended:
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={variation.ranks}", "-m"]
    command = [sys.executable, "-m", *(launcher if variation.ranks > 1 else ())]
    command += ["soak.varied", json.dumps(asdict(variation)), *arguments]
    path = os.pathsep.join(map(str, (TESTS.parent, TESTS)))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired as error:
        return Ended(-1, f"it hangs: {error.stderr!r}")
    return Ended(done.returncode, done.stdout + done.stderr)


def main() -> None:
    """Run the command that the arguments tell."""
    from cli import main as command

    with applied(Variation(**json.loads(sys.argv[1]))):
        command(sys.argv[2:])


if __name__ == "__main__":
    main()
