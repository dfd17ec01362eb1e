"""Jobs that only sleep, by workers of which one may be slow and one be killed, in two ways.

- By `in_ray`, as `detect` and `features` with --engine ray: a worker takes the next job when it is free, and the job of
  a killed worker is done again.
- In one process per share, as under torchrun: process r of n does jobs r, r + n, r + 2n, ...; when one is killed,
  torchrun ends all, and the same command is run again at once for the jobs without a result. These processes start at
  once, while a new worker of Ray first imports torch.

The slow worker is the first to start. The killed one dies in the middle of its share, in the middle of a job.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory

from data_cache.engine.queue import in_ray

Finish = Callable[["Work"], float]  # does all jobs, returns the seconds


@dataclass(frozen=True)
class Work:
    """Jobs of `seconds` each by `workers`; `slow` is the factor of one worker, `killed` whether another is killed.

    `folder` has a file for each worker, for the kill, and for each result.
    """

    folder: Path
    workers: int
    jobs: int
    seconds: float
    slow: float = 1
    killed: bool = False

    def result(self, job: int) -> Path:
        """Return the file of a job's result."""
        return self.folder / f"{job:06d}"


@dataclass
class Worker:
    """A worker: its number in the order of starting, and how many jobs it has begun."""

    work: Work
    number: int
    begun: int = 0

    def do(self, job: int) -> None:
        """Do a job; worker 1 is killed once, in the middle of what would be a fixed share."""
        work, seconds = self.work, self.work.seconds * (self.work.slow if self.number == 0 else 1)
        self.begun += 1
        if work.killed and self.number == 1 and self.begun > work.jobs // work.workers // 2 and self.first("killed"):
            time.sleep(seconds / 2)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
        work.result(job).touch()

    def first(self, name: str) -> bool:
        """Return whether no worker has called this with `name` before."""
        try:
            (self.work.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def started(work: Work) -> Worker:
    """Return a worker with the first number that is free."""
    worker = Worker(work, -1)
    numbers = (number for number in range(work.jobs) if worker.first(f"worker-{number}"))
    return replace(worker, number=next(numbers))


def do(worker: Worker, job: int) -> None:
    """Do a job, in a worker of Ray."""
    worker.do(job)


def by_queue(work: Work) -> float:
    """Do the jobs by Ray's queue, in a session that is open; return the seconds."""
    before = time.monotonic()
    for _ in in_ray(do, started, work, range(work.jobs), device="cpu", threads=1, workers=work.workers):
        pass
    return time.monotonic() - before


def by_shares(work: Work) -> float:
    """Do the jobs by a process per fixed share, again until all are done; return the seconds."""
    before = time.monotonic()
    while not all(work.result(job).exists() for job in range(work.jobs)):
        _run_shares(work)
    return time.monotonic() - before


def _run_shares(work: Work) -> None:
    """Run all processes until they end; if one is killed, end the others."""
    missing = [[job for job in share if not work.result(job).exists()] for share in _shares(work)]
    context = get_context("fork")
    processes = [context.Process(target=_do_share, args=(work, rank, share)) for rank, share in enumerate(missing)]
    for process in processes:
        process.start()
    running = list(processes)
    while running:
        wait([process.sentinel for process in running])
        if any(process.exitcode for process in processes):
            for process in processes:
                process.kill()
        running = [process for process in running if process.is_alive()]
    for process in processes:
        process.join()


def _shares(work: Work) -> list[Sequence[int]]:
    return [range(rank, work.jobs, work.workers) for rank in range(work.workers)]


def _do_share(work: Work, rank: int, share: Sequence[int]) -> None:
    worker = Worker(work, rank)
    for job in share:
        worker.do(job)


def measured(finish: Finish, work: Work) -> float:
    """Return the seconds in which `finish` does the jobs, in an empty folder."""
    with TemporaryDirectory() as folder:
        return finish(replace(work, folder=Path(folder)))


def ideal(work: Work) -> float:
    """Return the seconds if no work is lost or waits: workers of these speeds share the jobs without remainder."""
    return work.jobs * work.seconds / (work.workers - 1 + 1 / work.slow)
