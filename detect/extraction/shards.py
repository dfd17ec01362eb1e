"""Making shards of the part cache: batches of images through the detector, packed as rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from data_cache.base.errors import worker_death_as_user_error
from data_cache.base.progress import track
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes, write_parts
from data_cache.parts.names import PART_NAMES
from data_cache.parts.shards import plan_shards
from data_cache.parts.source_files import with_files_hash
from detect.extraction.job import DetectionJob, Shard

if TYPE_CHECKING:
    from detect.model.detector import Detector
    from detect.model.nms import PartBatch
    from detect.model.reading import ReadBatch


def write_shards(
    detector: "Detector", job: DetectionJob, shards: Sequence[Shard], *, workers: int, batch_size: int
) -> None:
    """Detect the parts of the images of `shards` and write each shard when it is complete."""
    for shard, parts in make_shards(detector, job, shards, workers=workers, batch_size=batch_size):
        write_parts(shard.path, parts)


def make_shards(
    detector: "Detector", job: DetectionJob, shards: Sequence[Shard], *, workers: int, batch_size: int
) -> Iterator[tuple[Shard, PartBoxes]]:
    """Yield each of `shards` with the parts of its images."""
    from data_cache.images.batches import loaded_batches
    from detect.model.reading import read_batches

    plans = [plan_shards(shard.names, batch_size) for shard in shards]
    plan = [batch for batches in plans for batch in batches]
    loader = read_batches(plan, job.root, job.recipe.input_size, workers, pinned=detector.device == "cuda")
    batches = track(loaded_batches(loader), "finding parts (images)", sum(map(len, plan)), len)
    for shard, shard_plan in zip(shards, plans, strict=True):
        parts = detect_batches(detector, islice(batches, len(shard_plan)), job.fingerprint)
        yield shard, with_files_hash(parts, job.root)
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
