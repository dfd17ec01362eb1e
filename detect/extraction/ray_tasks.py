"""Making shards on Ray: workers hold the detector and send finished shards, which the driver writes."""

import dataclasses
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from data_cache.base.devices import choose_device
from data_cache.base.errors import UserError
from data_cache.base.files import write_atomically
from data_cache.base.progress import track
from data_cache.base.remote.addresses import require_other_processes
from data_cache.engine.queue import in_ray
from data_cache.parts.cache import encode_parts
from detect.extraction.job import DetectionJob, Shard
from detect.extraction.shards import make_shards

if TYPE_CHECKING:
    from detect.model.detector import Detector

THREADS = 1  # of torch in a worker; boxes in bfloat16 are equal, bit for bit, for any number


@dataclass(frozen=True)
class DetectorFile:
    """The bytes of a weights file, and "cpu" or "cuda"."""

    content: bytes
    device: str


@dataclass(frozen=True)
class ShardTask:
    """A shard to make: a detection job of this one shard, with the fingerprint of the whole."""

    job: DetectionJob
    batch_size: int


def write_shards_in_ray(
    job: DetectionJob, shards: Sequence[Shard], *, device: str, workers: int, batch_size: int
) -> None:
    """Detect the parts of the images of `shards` in workers of Ray, see `in_ray`; write each shard when it arrives.

    The workers read the images at their paths or addresses. Raises UserError as `in_ray` and `load_detector`.
    """
    require_other_processes(job.root, "leave --engine ray out")
    tasks = (
        ShardTask(dataclasses.replace(job, names=tuple(shard.names), shards=(shard,)), batch_size) for shard in shards
    )
    detector = DetectorFile(job.weights.read_bytes(), device)
    made = in_ray(make_shard, load, detector, tasks, device=device, threads=THREADS, workers=workers)
    images = sum(len(shard.names) for shard in shards)
    with closing(made):
        for number, content in track(made, "finding parts (images)", images, lambda one: len(shards[one[0]].names)):
            write_atomically(shards[number].path, content)


def load(file: DetectorFile) -> "Detector":
    """Return the detector, in a worker. Raises UserError if the file is damaged or no detector, or without a GPU."""
    from detect.model.detector import load_detector

    with TemporaryDirectory() as folder:
        path = Path(folder, "detector.safetensors")
        path.write_bytes(file.content)
        return load_detector(path, choose_device(file.device))


def make_shard(detector: "Detector", task: ShardTask) -> bytes:
    """Return the file of a shard, in a worker. Raises UserError if its machine lacks the folder of the images."""
    root = task.job.root
    if isinstance(root, Path) and not root.is_dir():  # otherwise each of its images would fail
        raise UserError(f"{root}: no such folder on {socket.gethostname()}; all workers must read the images")
    ((_, parts),) = make_shards(detector, task.job, task.job.shards, workers=0, batch_size=task.batch_size)
    return encode_parts(parts)
