"""Stage one: the parts of every image of a data set, found once and written to the part cache.

Everything that a finished run needs is decided from files before torch or MMDetection is imported.
"""

import dataclasses
import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_cache.base.errors import UserError, worker_death_as_user_error
from data_cache.base.locks import run_lock
from data_cache.base.progress import is_first_rank, track
from data_cache.images.loading import ImageError, load_image, path_inside
from data_cache.parts.cache import ARRAYS, STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes, read_parts, write_parts
from data_cache.parts.names import PART_NAMES
from data_cache.parts.shards import clear_up, has_leftovers, merge_shards, plan_shards, shard_path, shards_folder
from data_cache.parts.source_files import with_files, with_files_of
from data_cache.parts.statistics import CacheStatistics, cache_statistics
from detect.extraction.job import DetectionJob, Shard
from detect.extraction.torchrun import own_share, versions, wait_for_others

if TYPE_CHECKING:
    from detect.model.detector import Detector
    from detect.model.nms import PartBatch
    from detect.model.reading import ReadBatch

log = logging.getLogger(__name__)


def readable_again(parts: PartBoxes, root: Path) -> list[str]:
    """Return the names of the images that failed in `parts` and can be read below `root` now."""
    failed = (name for name, status in zip(parts.names, parts.status, strict=True) if status == STATUS_FAILED)
    return [name for name in failed if _is_readable(root, name)]


def _is_readable(root: Path, name: str) -> bool:
    try:
        load_image(path_inside(root, name))
    except ImageError:
        return False
    return True


def with_rows(parts: PartBoxes, newer: PartBoxes) -> PartBoxes:
    """Return `parts` with the rows of `newer` in place of its own of the same names."""
    rows = parts.rows(newer.names)
    arrays = {name: getattr(parts, name).copy() for name in ARRAYS}
    for name, array in arrays.items():
        array[rows] = getattr(newer, name)
    reasons = dict(zip(parts.names, parts.failure, strict=True)) | dict(zip(newer.names, newer.failure, strict=True))
    return dataclasses.replace(parts, failure=tuple(reasons.values()), **arrays)


@dataclass(frozen=True)
class DetectionSummary:
    """What a pass over a data set came to: the cache in numbers, and what was done now.

    `made_now` counts the images that this run looked at, on all its processes, in `seconds`; 0 where all was finished.
    """

    output: Path
    statistics: CacheStatistics
    made_now: int
    seconds: float
    first_failure: str  # name and reason; empty where none failed

    @property
    def images_per_second(self) -> float | None:
        """The rate of this run; None where all was finished before."""
        return self.made_now / self.seconds if self.made_now else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        done = {"made_now": self.made_now, "seconds": self.seconds, "images_per_second": self.images_per_second}
        return {"output": str(self.output), **self.statistics.to_dict(), **done, "first_failure": self.first_failure}


def detect_parts(job: DetectionJob, *, device: str, workers: int, batch_size: int = 32) -> DetectionSummary | None:
    """Find the parts of the job's images on `device` (auto | cpu | cuda) and write them to its output.

    Finished shards are kept, so a stopped run goes on where it was and ends with the same bytes; under `torchrun` every
    process makes its share of the shards and the first one merges. Returns None on the others. A bad image becomes a
    row with its reason and never stops the run; the next run looks at it again. Raises UserError where the output or
    its shards were made by another detector, or where another run writes them.
    """
    with worker_death_as_user_error():
        finished = job.finished()
        if finished is not None:
            return _mend(job, finished, device, workers, batch_size) if is_first_rank() else None
        if is_first_rank():
            with run_lock(shards_folder(job.output)):
                return _make_and_merge(job, device, workers, batch_size)
        missing = job.missing(own_share(job.shards))
        if missing and job.finished() is None:  # the first process may have merged, and removed the shards, meanwhile
            write_shards(_load(job, device), job, missing, workers=workers, batch_size=batch_size)
        return None


def _mend(job: DetectionJob, parts: PartBoxes, device: str, workers: int, batch_size: int) -> DetectionSummary:
    """Find the parts of images that failed before and can be read now; the rest of the finished cache stays."""
    names = readable_again(parts, job.root)
    if not names:
        if has_leftovers(job.output):
            with suppress(UserError), run_lock(shards_folder(job.output)):  # another run is at it: these are its own
                clear_up(job.output)
        log.info(f"{job.output}: finished before, all {len(job.names):,} images")
        return _summary(job, parts, 0, 0.0)
    log.info(f"{job.output}: finished before; {len(names):,} images that failed can be read now, first {names[0]}")
    folder = shards_folder(job.output)
    with run_lock(folder):
        detector, started = _load(job, device), time.monotonic()
        shard = Shard(shard_path(job.output, 0), names)
        write_shards(detector, job, [shard], workers=workers, batch_size=batch_size)
        mended = read_parts(shard.path)
        parts = with_files_of(with_rows(parts, mended), [parts, mended])
        write_parts(job.output, parts)
        clear_up(job.output)
        return _summary(job, parts, len(names), time.monotonic() - started)


def _make_and_merge(job: DetectionJob, device: str, workers: int, batch_size: int) -> DetectionSummary:
    """Make this process's shards, wait for the others', and merge all."""
    before = versions([shard.path for shard in job.shards])
    missing = job.missing(job.shards)
    made = sum(len(shard.names) for shard in missing)
    if made < len(job.names):
        log.info(f"going on: {len(job.names) - made:,} of {len(job.names):,} images were finished before")
    own = [shard for shard in own_share(job.shards) if shard in missing]
    detector = _load(job, device) if own else None
    started = time.monotonic()
    if detector is not None:
        write_shards(detector, job, own, workers=workers, batch_size=batch_size)
    wait_for_others({shard.path: before[shard.path] for shard in missing if shard not in own})
    parts = merge_shards([shard.path for shard in job.shards], job.output)
    return _summary(job, parts, made, time.monotonic() - started)


def _load(job: DetectionJob, device: str) -> "Detector":
    """Return the job's detector, on this process's GPU where there are several."""
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
    """Find the parts of the images of `shards` and put each shard down when it is whole."""
    from detect.model.reading import read_batches

    plan = [batch for shard in shards for batch in plan_shards(shard.names, batch_size)]
    pinned = detector.device == "cuda"
    loader = read_batches(plan, job.root, job.recipe.input_size, workers, pinned=pinned)
    total = sum(len(shard.names) for shard in shards)
    batches = track(loader, "finding parts (images)", total, len)
    with worker_death_as_user_error():
        for shard in shards:
            read: list[ReadBatch] = []
            found: list[PartBatch] = []
            while sum(map(len, read)) < len(shard.names):
                batch = next(batches)
                found.append(detector.find(batch.pixels, batch.sizes))
                read.append(batch.without_pixels())
            write_parts(shard.path, with_files(pack_parts(read, found, job.fingerprint), job.root))
        next(batches, None)  # there is none; the bar ends


def pack_parts(read: Sequence["ReadBatch"], found: Sequence["PartBatch"], fingerprint: Mapping[str, Any]) -> PartBoxes:
    """Pack batches and what was found in them into the cache's arrays."""
    failures = tuple(failure for batch in read for failure in batch.failures)
    boxes, scores, labels = (
        np.concatenate([getattr(batch, name).cpu().numpy() for batch in found])
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


def _summary(job: DetectionJob, parts: PartBoxes, made: int, seconds: float) -> DetectionSummary:
    failures = (f"{name} ({reason})" for name, reason in zip(parts.names, parts.failure, strict=True) if reason)
    return DetectionSummary(job.output, cache_statistics(parts), made, seconds, next(failures, ""))
