"""Stage one from files to shards, against its own network on ready tensors and against MMDetection's inference call.

The weights are random: nearly every score is above the threshold, so that all candidates enter NMS. Trained weights
leave less of that work, not more.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.measure import best_seconds
from benchmarks.pictures import RECIPE, copied_job
from data_cache.parts.shards import plan_shards
from detect.extraction.job import DetectionJob
from detect.extraction.run import write_shards
from detect.model.detector import Detector, in_streams
from detect.model.reading import read_batches
from detect.model.ssd import quiet

BATCH, WORKERS, ROUNDS = 32, 2, 4
FEW = 64  # images of the calls that need no more for a rate


def stage_one_rows(folder: Path, network: nn.Module) -> list[tuple[str, str, str, str, str]]:
    """Return the table's rows: the pipeline's rate on the pictures in `folder`, and the rates of what it stands beside.

    `network` is of the weights in `folder`, as MMDetection builds it.
    """
    job = copied_job(folder)
    detector = Detector(network, job.recipe, "cpu")
    calls = {
        "pipeline": lambda: write_shards(detector, job, job.shards, workers=WORKERS, batch_size=BATCH),
        "bare": bare_network(detector, job),
        "as built": network_as_built(network, job),
        "theirs": mmdetection(network, job),
        "theirs in bfloat16": in_bfloat16(mmdetection(network, job)),
    }
    images = {"pipeline": len(job.names), "bare": len(job.names) // FEW * FEW}
    rates = {name: images.get(name, FEW) / seconds for name, seconds in best_seconds(calls, ROUNDS).items()}
    beside = {
        "bare": ("its own network alone, folded, pieces side by side", ""),
        "as built": (f"the bare network on ready tensors, bfloat16, {BATCH} at once", ">= 0.90"),
        "theirs": ("inference_detector of MMDetection", ">= 2"),
        "theirs in bfloat16": ("the same in bfloat16", ">= 2"),
    }
    return [
        (
            f"stage one, files to shards, {RECIPE}",
            f"{rates['pipeline']:.1f} images/s",
            f"{other}: {rates[name]:.1f} images/s",
            f"{rates['pipeline'] / rates[name]:.2f} of its rate",
            target,
        )
        for name, (other, target) in beside.items()
    ]


def bare_network(detector: Detector, job: DetectionJob) -> Callable[[], object]:
    """Return a call of the pipeline's own network alone, on as many images at once and in as many streams as there.

    It takes about as many images in all as the pipeline: a short call would find more quiet moments of the machine.
    """
    plan = plan_shards(job.names[:FEW], detector.images_at_once)
    batches = read_batches(plan, job.root, job.recipe.input_size, 0)
    inputs = [detector.normalise(batch.pixels) for batch in batches]
    return lambda: in_streams(detector.forward, inputs * (len(job.names) // FEW))


def network_as_built(network: nn.Module, job: DetectionJob) -> Callable[[], object]:
    """Return a call of the network that MMDetection builds, in bfloat16 and channels last."""
    size = job.recipe.input_size
    inputs = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    built: Any = copy.deepcopy(network).to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def run() -> None:
        for _ in range(FEW // BATCH):
            built.bbox_head(built.extract_feat(inputs))

    return in_bfloat16(run)


def mmdetection(network: nn.Module, job: DetectionJob) -> Callable[[], object]:
    """Return MMDetection's own call on files, one image at a time: its reading, transforms, network and NMS."""
    with quiet():
        from mmcv.transforms import Compose, LoadImageFromFile
        from mmdet.apis import inference_detector
        from mmdet.datasets.transforms import PackDetInputs, Resize
        from mmengine.config import ConfigDict

    side = job.recipe.input_size
    told = ("ori_shape", "img_shape", "scale_factor")
    steps = Compose([LoadImageFromFile(), Resize(scale=(side, side), keep_ratio=False), PackDetInputs(meta_keys=told)])
    files = [str(job.root / name) for name in job.names[:FEW]]
    theirs: Any = copy.deepcopy(network).eval()
    theirs.bbox_head.loss_cls = None  # `predict` asks for it, but SSDHead never sets it (mmdetection 11063, 11305)
    nms = {"type": "nms", "iou_threshold": job.recipe.nms_iou}
    theirs.bbox_head.test_cfg = ConfigDict(
        nms_pre=job.recipe.candidates,
        nms=nms,
        min_bbox_size=0,
        score_thr=job.recipe.score_threshold,
        max_per_img=job.recipe.top_k,
    )
    theirs.cfg = None  # it is asked for, and not used where the steps are given
    return lambda: inference_detector(theirs, files, steps)


def in_bfloat16(call: Callable[[], object]) -> Callable[[], object]:
    """Return the call under autocast."""

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            call()

    return run
