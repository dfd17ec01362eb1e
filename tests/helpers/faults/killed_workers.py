"""The tasks of Ray's workers, of which the first kills its worker once, as a lost machine does."""

import os
import signal
from pathlib import Path

from detect.extraction import ray_tasks as detection
from detect.extraction.ray_tasks import ShardTask
from detect.model.detector import Detector
from reid.data.vehicle_images import FileViews
from reid.features import ray_tasks as features
from reid.features.blocks import Block
from reid.features.ray_tasks import BlockTask
from reid.model.checkpoint import Network

MARKER = "killed"  # a file: its worker was killed


def kill_once(marker: Path) -> None:
    """Kill this process unless `marker` exists."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def make_shard(detector: Detector, task: ShardTask) -> bytes:
    """Return the file of a shard; the marker is beside the output."""
    kill_once(task.job.output.with_name(MARKER))
    return detection.make_shard(detector, task)


def embed_block(network: Network, task: BlockTask) -> Block:
    """Return a block of features; the marker is beside the folder of the images."""
    views = task.images.views
    assert isinstance(views, FileViews)
    kill_once(views.paths[0].parent.with_name(MARKER))
    return features.embed_block(network, task)
