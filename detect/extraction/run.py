"""Stage one: detect the parts of every image once and write them to the part cache, in resumable shards.

Everything that a finished run needs is decided from files before torch or MMDetection is imported.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_cache.base.devices import choose_device
from data_cache.base.errors import UserError, worker_death_as_user_error
from data_cache.base.locks import run_lock
from data_cache.base.progress import is_first_rank
from data_cache.base.remote.addresses import Location
from data_cache.engine.session import choose_ray_device
from data_cache.images.loading import ImageError, load_image, path_inside
from data_cache.parts.cache import ARRAYS, STATUS_FAILED, PartBoxes, read_parts, write_parts
from data_cache.parts.shards import has_leftovers, merge_shards, remove_leftovers, shard_path, shards_folder
from data_cache.parts.source_files import with_joined_files_hash
from data_cache.parts.statistics import CacheStatistics, cache_statistics
from detect.extraction.job import DetectionJob, Shard
from detect.extraction.ray_tasks import write_shards_in_ray
from detect.extraction.shards import write_shards
from detect.extraction.torchrun import file_version, own_share, wait_for_others

if TYPE_CHECKING:
    from detect.model.detector import Detector

log = logging.getLogger(__name__)

WriteShards = Callable[[Sequence[Shard]], None]
Prepare = Callable[[], WriteShards]  # loads the detector, if this process needs it


@dataclass(frozen=True)
class DetectionSummary:
    """Statistics of the cache and the work of this run: `made_now` images, by all processes, in `seconds`."""

    output: Path
    statistics: CacheStatistics
    made_now: int
    seconds: float
    first_failure: str  # name and reason; empty if no image failed

    @property
    def images_per_second(self) -> float | None:
        """The rate of this run; None if it had nothing to do."""
        return self.made_now / self.seconds if self.made_now else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        work = {"made_now": self.made_now, "seconds": self.seconds, "images_per_second": self.images_per_second}
        return {"output": str(self.output), **self.statistics.to_dict(), **work, "first_failure": self.first_failure}


def detect_parts(
    job: DetectionJob, *, device: str, workers: int, batch_size: int = 32, engine: str = "process"
) -> DetectionSummary | None:
    """Detect the parts of the job's images on `device` (auto | cpu | cuda) and write them to its output.

    Finished shards are kept, so an interrupted run resumes and ends with the same bytes. With the engine "ray" workers
    of Ray make the shards, see `write_shards_in_ray`. Under `torchrun` every process makes a share of the shards, the
    first one merges them, and the others return None. An unreadable image becomes a row with the reason; the next run
    tries it again. Raises UserError if another detector made the output or a shard, or if another run is writing them.
    """
    prepare = partial(_prepare, job, device, workers, batch_size, engine)
    with worker_death_as_user_error():
        finished = job.finished()
        if finished is not None:
            return _retry_failed(job, finished, prepare) if is_first_rank() else None
        if is_first_rank():
            with run_lock(shards_folder(job.output)):
                return _detect_and_merge(job, prepare)
        missing = job.missing(own_share(job.shards))
        if missing and job.finished() is None:  # the first process may have merged and removed the shards meanwhile
            prepare()(missing)
        return None


def _detect_and_merge(job: DetectionJob, prepare: Prepare) -> DetectionSummary:
    """Make this process's shards, wait for the others' and merge them all."""
    before = {shard.path: file_version(shard.path) for shard in job.shards}
    missing = job.missing(job.shards)
    to_do = sum(len(shard.names) for shard in missing)
    if to_do < len(job.names):
        log.info(f"resuming: {len(job.names) - to_do:,} of {len(job.names):,} images were finished before")
    own = [shard for shard in own_share(job.shards) if shard in missing]
    write = prepare() if own else None
    started = time.monotonic()
    if write is not None:
        write(own)
    wait_for_others({shard.path: before[shard.path] for shard in missing if shard not in own})
    parts = merge_shards([shard.path for shard in job.shards], job.output)
    return _summary(job, parts, to_do, time.monotonic() - started)


def _retry_failed(job: DetectionJob, parts: PartBoxes, prepare: Prepare) -> DetectionSummary:
    """Detect the parts of images that failed before and are readable now; other rows of the finished cache stay."""
    failed = [name for name, status in zip(parts.names, parts.status, strict=True) if status == STATUS_FAILED]
    names = [name for name in failed if _is_readable(job.root, name)]
    if not names:
        if has_leftovers(job.output):
            with suppress(UserError), run_lock(shards_folder(job.output)):  # if locked, they belong to a running one
                remove_leftovers(job.output)
        log.info(f"{job.output}: finished before, all {len(job.names):,} images")
        return _summary(job, parts, 0, 0.0)
    log.info(f"{job.output}: finished before; {len(names):,} failed images can be read now, first {names[0]}")
    with run_lock(shards_folder(job.output)):
        write, started = prepare(), time.monotonic()
        shard = Shard(shard_path(job.output, 0), names)
        write([shard])
        retried = read_parts(shard.path)
        parts = with_joined_files_hash(_replace_rows(parts, retried), [parts, retried])
        write_parts(job.output, parts)
        remove_leftovers(job.output)
        return _summary(job, parts, len(names), time.monotonic() - started)


def _is_readable(root: Location, name: str) -> bool:
    try:
        load_image(path_inside(root, name))
    except ImageError:
        return False
    return True


def _replace_rows(parts: PartBoxes, newer: PartBoxes) -> PartBoxes:
    """Return `parts` with the rows of `newer` in place of those with the same names."""
    rows = parts.rows(newer.names)
    arrays = {name: getattr(parts, name).copy() for name in ARRAYS}
    for name, array in arrays.items():
        array[rows] = getattr(newer, name)
    failures = dict(zip(parts.names, parts.failure, strict=True)) | dict(zip(newer.names, newer.failure, strict=True))
    return dataclasses.replace(parts, failure=tuple(failures.values()), **arrays)


def _summary(job: DetectionJob, parts: PartBoxes, made: int, seconds: float) -> DetectionSummary:
    failures = (f"{name} ({reason})" for name, reason in zip(parts.names, parts.failure, strict=True) if reason)
    return DetectionSummary(job.output, cache_statistics(parts), made, seconds, next(failures, ""))


def _prepare(job: DetectionJob, device: str, workers: int, batch_size: int, engine: str) -> WriteShards:
    """Return what makes and writes shards: Ray, or this process with the detector loaded."""
    if engine == "ray":
        device = choose_ray_device(device)
        return partial(write_shards_in_ray, job, device=device, workers=workers, batch_size=batch_size)
    return partial(write_shards, _load(job, device), job, workers=workers, batch_size=batch_size)


def _load(job: DetectionJob, device: str) -> "Detector":
    """Return the job's detector, on this process's GPU if there are several."""
    import torch

    from detect.model.detector import load_detector

    device = choose_device(device)
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return load_detector(job.weights, device)
