"""The command `detect` with a stand-in for its network, run in this process or in one of its own."""

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from torch import Tensor

from cli import main
from data_cache.base.options import command_file
from detect.model.detector import Detector
from detect.model.nms import PartBatch
from detect.recipes import DetectorRecipe
from helpers.faults import processes
from helpers.faults.processes import Ended, Run
from helpers.faults.traps import Trap, file_size_limit, trapped
from helpers.places.stand_in import StandIn, stand_in, words


class TrappedStandIn(StandIn):
    """A stand-in whose batches can be trapped."""

    def detect(self, pixels: Tensor, sizes: NDArray[np.integer[Any]]) -> PartBatch:
        sys.audit("detect")
        return super().detect(pixels, sizes)


class KillWorker(Trap):
    """Kill one of the processes that read images, as the out-of-memory killer does."""

    def act(self, path: Path) -> None:
        os.kill(min(worker.pid or 0 for worker in multiprocessing.active_children()), signal.SIGKILL)


def here(
    arguments: Sequence[str], trap: Trap | None = None, make: Callable[[DetectorRecipe], Detector] = TrappedStandIn
) -> Ended:
    """Run the command in this process; an exception that escapes from it is reported as a traceback."""
    with stand_in(make), trapped(trap):
        result = CliRunner().invoke(main, arguments)
    escaped = "" if isinstance(result.exception, SystemExit | None) else f"Traceback: {result.exception!r}"
    return Ended(result.exit_code, result.output + escaped)


def start(arguments: Sequence[str], log: Path, trap: Trap | None = None, largest: int | None = None) -> Run:
    """Start the command in a process of its own, which may write no file of more than `largest` bytes.

    It writes by how many KiB its peak memory has grown to `log` with the suffix .memory.
    """
    return processes.start(partial(_stand_in_command, log, trap, largest), arguments, log)


def _stand_in_command(log: Path, trap: Trap | None, largest: int | None, arguments: Sequence[str]) -> None:
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with stand_in(TrappedStandIn), trapped(trap), file_size_limit(largest):
        try:
            main(arguments)
        finally:
            log.with_suffix(".memory").write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def undisturbed_calls(data: Path, output: Path) -> list[tuple[str, Path]]:
    """Write the cache of an undisturbed run to `output`; return its calls below the folder of the output."""
    trap = Trap(output.parent)
    assert here(words(data, output), trap).code == 0
    return trap.seen


def assert_one_line(ended: Ended, *parts: str) -> None:
    """Assert exit code 1 and one line of error, the last, that holds all of `parts`."""
    assert ended.code == 1 and "Traceback" not in ended.output, ended
    (line,) = ended.error_lines()
    assert ended.output.rstrip().endswith(line) and all(part in line for part in parts), ended.output


def leftovers(output: Path) -> list[str]:
    """Return the names beside a finished cache: temporary files, shards, locks."""
    return sorted(path.name for path in output.parent.iterdir() if path not in (output, command_file(output)))
