"""A queue of jobs on Ray: each worker loads a model once and takes one job at a time.

A job whose worker is killed, or whose machine is lost, is done again elsewhere. Models, jobs and results travel through
Ray, so that the workers need no file of the driver, the process that calls `in_ray`, but the images.
"""

import os
import socket
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from data_cache.base.errors import UserError, printable
from data_cache.base.options import given_options, remedies_with
from data_cache.base.progress import hidden_progress
from data_cache.engine.session import ray_session, require_ray

Source = TypeVar("Source")
Model = TypeVar("Model")
Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES = 20  # of a job whose worker is killed: enough for any failing machine, not for a job that kills its workers
WAITING = 2  # jobs per CPU that Ray holds: one running and one next
LEAST_WAITING = 16
VARIABLES = "VEHICLE_"  # begins the names of this project's environment variables
PACKAGES = ("torch", "torchvision", "numpy", "pillow")  # their versions decide bytes


@dataclass(frozen=True)
class Driver:
    """What workers take over from the driver: torch threads, the working folder and this project's variables.

    `program` and the `options` of the command are for the messages of errors; `versions` must be those of the worker.
    """

    threads: int
    folder: Path
    variables: Mapping[str, str]
    program: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]

    @classmethod
    def here(cls, threads: int) -> "Driver":
        """Return what this process gives to its workers."""
        variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
        return cls(threads, Path.cwd(), variables, sys.argv[0] if sys.argv else "", given_options(), _versions())

    def take_over(self) -> None:
        """Make a worker like the driver. Raises UserError if its packages have other versions."""
        import torch

        if _versions() != self.versions:
            versions = f"{_versions()}, the driver {dict(self.versions)}"
            raise UserError(f"--engine ray: {socket.gethostname()} has {versions}; install the same versions")
        torch.set_num_threads(self.threads)
        os.environ.update(self.variables)
        sys.argv[:1] = [self.program]
        if self.folder.is_dir():  # paths may be relative
            os.chdir(self.folder)


def in_ray(
    work: Callable[[Model, Job], Result],
    load: Callable[[Source], Model],
    source: Source,
    jobs: Iterable[Job],
    *,
    device: str,
    threads: int,
    workers: int,
) -> Generator[tuple[int, Result], None, None]:
    """Yield the number of each job and `work(load(source), job)`, as they finish.

    `work` and `load` are functions of a module; `load` runs once in each worker. A worker takes a GPU if `device` is
    "cuda", otherwise `threads` CPUs, and computes with so many torch threads. Without a cluster there are `workers` of
    them, at least one. An error of a job is raised here as in this process. Raises UserError if the cluster has no GPU,
    if a job kills its worker again and again, or if workers have other versions of packages.
    """
    with ray_session(max(workers, 1) * threads) as ray:
        options = _resources(ray, device, threads)
        task = ray.remote(max_retries=RETRIES, max_calls=0, **options)(_run)  # max_calls: a worker on a GPU stays
        driver = Driver.here(threads)
        queue, running = enumerate(jobs), dict[Any, int]()
        model = (ray.put(source),)  # in a tuple, or Ray would hand over the value with every job
        try:
            while True:
                for number, job in islice(queue, max(_room(ray) - len(running), 0)):
                    running[task.remote(work, load, model, job, driver)] = number
                if not running:
                    return
                finished, _ = ray.wait(list(running))
                yield running.pop(finished[0]), _result(ray, finished[0])
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _resources(ray: ModuleType, device: str, threads: int) -> dict[str, float]:
    """Return what a task takes of a machine; of its CPUs never more than the largest machine has."""
    if device != "cuda":
        largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        return {"num_cpus": min(threads, largest) or threads}
    if not ray.cluster_resources().get("GPU"):
        raise UserError("--device cuda: no machine of the Ray cluster has a GPU; use --device cpu")
    return {"num_cpus": 1, "num_gpus": 1}


def _room(ray: ModuleType) -> int:
    """Return how many jobs Ray may hold now; a cluster can grow."""
    return max(LEAST_WAITING, WAITING * int(ray.cluster_resources().get("CPU", 0)))


def _result(ray: ModuleType, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        reason = printable(str(error).strip().splitlines()[0][:200])
        raise UserError(
            f"--engine ray: workers were killed {RETRIES + 1} times at the same work, or the cluster was lost "
            f"({reason}); if memory is short use fewer --workers; finished work is kept, run it again to resume"
        ) from error


def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


def _run(
    work: Callable[[Any, Job], Result], load: Callable[[Any], Any], model: tuple[Any], job: Job, driver: Driver
) -> Result:
    """Do a job in a worker."""
    driver.take_over()
    with hidden_progress(), remedies_with(driver.options):
        return work(_loaded(load, model[0]), job)


@lru_cache(maxsize=1)
def _loaded(load: Callable[[Any], Any], source: Any) -> Any:
    """Return the model of this worker; references to one object are equal."""
    return load(require_ray().get(source))
