"""A command of cli.py on toy data with run conditions varied: `python -m soak.varied VARIATION COMMAND ...`."""

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

import pytest
import torch
from click.testing import CliRunner

import detect.extraction.job
import reid.features.extraction
from cli import main
from helpers.faults.processes import Ended
from helpers.paths import TESTS
from helpers.toy.vehicles import tiny_scale

LIMIT = 300  # seconds; a sound command takes a few


@dataclass(frozen=True)
class Variation:
    """How a command is run. None of it may change the result."""

    workers: int = 0
    start: str | None = None  # start method of worker processes; None: the system's default
    batch: int = 16  # images at a time, of detection and of features
    shard: int = 256  # images per shard of detection
    threads: int = 1
    ranks: int = 1  # processes of torchrun
    apart: bool = False  # in a process of its own, as with torchrun; otherwise in this one


@contextmanager
def applied(variation: Variation) -> Iterator[None]:
    """Run commands of this process so, with a backbone that trains in a moment."""
    before = multiprocessing.get_start_method(allow_none=True)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        stack.enter_context(tiny_scale())
        torch.set_num_threads(variation.threads)
        stack.callback(multiprocessing.set_start_method, before, force=True)
        multiprocessing.set_start_method(variation.start, force=True)
        patch.setattr(detect.extraction.job, "SHARD_SIZE", variation.shard)
        patch.setitem(reid.features.extraction.BATCH, "cpu", variation.batch)
        yield


def run_varied(variation: Variation, arguments: Sequence[str]) -> Ended:
    """Run a command so, and wait for its end; one that hangs is killed, with exit code -1."""
    if variation.apart or variation.ranks > 1:
        return _run_apart(variation, arguments)
    with applied(variation):
        result = CliRunner().invoke(main, arguments)
    escaped = "" if isinstance(result.exception, SystemExit | None) else repr(result.exception)
    return Ended(result.exit_code, result.output + escaped)


def _run_apart(variation: Variation, arguments: Sequence[str]) -> Ended:
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


if __name__ == "__main__":
    with applied(Variation(**json.loads(sys.argv[1]))):
        main(sys.argv[2:])
