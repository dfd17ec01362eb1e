"""Work on image files in several processes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from data_cache.base.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, *, chunk: int) -> Iterator[Result]:
    """Yield `work` of each job, in order, by `workers` processes that take `chunk` jobs at a time; 0: by this process.

    Raises UserError if a process is killed.
    """
    if workers == 0:
        yield from map(work, jobs)
        return
    try:
        # spawn: a forked child would inherit the threads of the caller's libraries
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield from pool.map(work, jobs, chunksize=chunk)
    except BrokenProcessPool as error:
        raise UserError(
            "a process that decodes images was killed; if memory is short use fewer --workers, then run it again"
        ) from error
