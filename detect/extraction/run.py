"""Stage one: detect the parts of every image once and write them to the part cache, in resumable shards.

Everything that a finished run needs is decided from files before torch or MMDetection is imported.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_cache.base.errors import UserError, worker_death_as_user_error
from data_cache.base.locks import run_lock
from data_cache.base.progress import is_first_rank, track
from data_cache.images.loading import ImageError, load_image, path_inside
from data_cache.parts.cache import ARRAYS, STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes, read_parts, write_parts
from data_cache.parts.names import PART_NAMES
from data_cache.parts.shards import (
    has_leftovers,
    merge_shards,
    plan_shards,
    remove_leftovers,
    shard_path,
    shards_folder,
)
from data_cache.parts.source_files import with_files_hash, with_joined_files_hash
from data_cache.parts.statistics import CacheStatistics, cache_statistics
from detect.extraction.job import DetectionJob, Shard
from detect.extraction.torchrun import file_version, own_share, wait_for_others

if TYPE_CHECKING:
    from detect.model.detector import Detector
    from detect.model.nms import PartBatch
    from detect.model.reading import ReadBatch

log = logging.getLogger(__name__)


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


def detect_parts(job: DetectionJob, *, device: str, workers: int, batch_size: int = 32) -> DetectionSummary | None:
    """Detect the parts of the job's images on `device` (auto | cpu | cuda) and write them to its output.

    Finished shards are kept, so an interrupted run resumes and ends with the same bytes. Under `torchrun` every process
    makes a share of the shards, the first one merges them, and the others return None. An unreadable image becomes a
    row with the reason; the next run tries it again. Raises UserError if another detector made the output or a shard,
    or if another run is writing them.
    """
    with worker_death_as_user_error():
        finished = job.finished()
        if finished is not None:
            return _retry_failed(job, finished, device, workers, batch_size) if is_first_rank() else None
        if is_first_rank():
            with run_lock(shards_folder(job.output)):
                return _detect_and_merge(job, device, workers, batch_size)
        missing = job.missing(own_share(job.shards))
        if missing and job.finished() is None:  # the first process may have merged and removed the shards meanwhile
            write_shards(_load(job, device), job, missing, workers=workers, batch_size=batch_size)
        return None


def _detect_and_merge(job: DetectionJob, device: str, workers: int, batch_size: int) -> DetectionSummary:
    """Make this process's shards, wait for the others' and merge them all."""
    before = {shard.path: file_version(shard.path) for shard in job.shards}
    missing = job.missing(job.shards)
    to_do = sum(len(shard.names) for shard in missing)
    if to_do < len(job.names):
        log.info(f"resuming: {len(job.names) - to_do:,} of {len(job.names):,} images were finished before")
    own = [shard for shard in own_share(job.shards) if shard in missing]
    detector = _load(job, device) if own else None
    started = time.monotonic()
    if detector is not None:
        write_shards(detector, job, own, workers=workers, batch_size=batch_size)
    wait_for_others({shard.path: before[shard.path] for shard in missing if shard not in own})
    parts = merge_shards([shard.path for shard in job.shards], job.output)
    return _summary(job, parts, to_do, time.monotonic() - started)


def _retry_failed(job: DetectionJob, parts: PartBoxes, device: str, workers: int, batch_size: int) -> DetectionSummary:
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
        detector, started = _load(job, device), time.monotonic()
        shard = Shard(shard_path(job.output, 0), names)
        write_shards(detector, job, [shard], workers=workers, batch_size=batch_size)
        retried = read_parts(shard.path)
        parts = with_joined_files_hash(_replace_rows(parts, retried), [parts, retried])
        write_parts(job.output, parts)
        remove_leftovers(job.output)
        return _summary(job, parts, len(names), time.monotonic() - started)


def _is_readable(root: Path, name: str) -> bool:
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


def _load(job: DetectionJob, device: str) -> "Detector":
    """Return the job's detector, on this process's GPU if there are several."""
    from data_cache.base.devices import choose_device

    device = choose_device(device)
    import torch

    from detect.model.detector import load_detector

    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return load_detector(job.weights, device)


def write_shards(
    detector: "Detector", job: DetectionJob, shards: Sequence[Shard], *, workers: int, batch_size: int
) -> None:
    """Detect the parts of the images of `shards` and write each shard when it is complete."""
    from detect.model.reading import read_batches

    plans = [plan_shards(shard.names, batch_size) for shard in shards]
    plan = [batch for batches in plans for batch in batches]
    loader = read_batches(plan, job.root, job.recipe.input_size, workers, pinned=detector.device == "cuda")
    batches = track(loader, "finding parts (images)", sum(map(len, plan)), len)
    for shard, shard_plan in zip(shards, plans, strict=True):
        parts = detect_batches(detector, islice(batches, len(shard_plan)), job.fingerprint)
        write_parts(shard.path, with_files_hash(parts, job.root))
    next(batches, None)  # ends the progress bar


def detect_batches(
    detector: "Detector", batches: Iterable["ReadBatch"], fingerprint: Mapping[str, Any] | None = None
) -> PartBoxes:
    """Return the parts of all images in `batches`, as rows of a part cache; their names come sorted."""
    read, detected = [], []
    with worker_death_as_user_error():
        for batch in batches:
            detected.append(detector.detect(batch.pixels, batch.sizes))
            read.append(batch.without_pixels())
    return pack_parts(read, detected, fingerprint or {})


def pack_parts(
    read: Sequence["ReadBatch"], detected: Sequence["PartBatch"], fingerprint: Mapping[str, Any]
) -> PartBoxes:
    """Return the parts detected in the batches `read` as rows of a part cache."""
    failures = tuple(failure for batch in read for failure in batch.failures)
    boxes, scores, labels = (
        np.concatenate([getattr(batch, name).cpu().numpy() for batch in detected])
        for name in ("boxes", "scores", "labels")
    )
    status = np.where((labels >= 0).any(axis=1), STATUS_FOUND, STATUS_EMPTY)
    return PartBoxes(
        names=tuple(name for batch in read for name in batch.names),
        image_size=np.concatenate([batch.sizes for batch in read]),
        boxes=boxes,
        scores=scores,
        labels=labels.astype(np.int8),
        status=np.where(np.array(failures, dtype=bool), STATUS_FAILED, status).astype(np.uint8),
        failure=failures,
        part_names=PART_NAMES,
        fingerprint=dict(fingerprint),
    )
