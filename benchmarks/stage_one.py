"""Stage one from files to shards, against its own network on ready tensors and against MMDetection's inference call.

The weights are random: nearly every score is above the threshold, so that all candidates enter NMS. Trained weights
leave less of that work, not more.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.measure import Call, Row, best_seconds, in_bfloat16
from benchmarks.rendered import RECIPE, copied_job
from data_cache.parts.shards import plan_shards
from detect.extraction.job import DetectionJob
from detect.extraction.shards import write_shards
from detect.model.detector import Detector, in_streams
from detect.model.reading import read_batches
from detect.model.ssd import quiet

BATCH, WORKERS, ROUNDS = 32, 2, 4
FEW = 64  # images, enough to measure the rate of the slower calls


def stage_one_rows(folder: Path, network: nn.Module) -> list[Row]:
    """Return the table's rows; `folder` contains rendered pictures and the weights of `network`."""
    job = copied_job(folder)
    detector = Detector(network, job.recipe, "cpu")
    calls: dict[str, Call] = {
        "pipeline": lambda: write_shards(detector, job, job.shards, workers=WORKERS, batch_size=BATCH),
        "its own network alone, batch norm folded, in parallel streams": own_network(detector, job),
        f"the bare network on ready tensors, bfloat16, {BATCH} at once": network_as_built(network, job),
        "inference_detector of MMDetection": mmdetection(network, job),
        "the same in bfloat16": in_bfloat16(mmdetection(network, job)),
    }
    images = [len(job.names), len(job.names) // FEW * FEW, FEW, FEW, FEW]
    targets = ["", ">= 0.90", ">= 2", ">= 2"]
    seconds = best_seconds(calls, ROUNDS)
    rates = {name: count / seconds[name] for name, count in zip(calls, images, strict=True)}
    ours = rates.pop("pipeline")
    return [
        Row(
            f"stage one, files to shards, {RECIPE}",
            f"{ours:.1f} images/s",
            f"{other}: {rate:.1f} images/s",
            f"{ours / rate:.2f} of its rate",
            target,
        )
        for (other, rate), target in zip(rates.items(), targets, strict=True)
    ]


def own_network(detector: Detector, job: DetectionJob) -> Call:
    """Return a call of the pipeline's network alone, with the pipeline's batches and streams.

    It runs on about as many images as the pipeline: a short call would benefit more from quiet moments of the machine.
    """
    plan = plan_shards(job.names[:FEW], detector.images_at_once)
    batches = read_batches(plan, job.root, job.recipe.input_size, 0)
    inputs = [detector.normalise(batch.pixels) for batch in batches]
    return lambda: in_streams(detector.forward, inputs * (len(job.names) // FEW))


def network_as_built(network: nn.Module, job: DetectionJob) -> Call:
    """Return a call of the network that MMDetection builds, in bfloat16 and channels last."""
    size = job.recipe.input_size
    inputs = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    built: Any = copy.deepcopy(network).to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def run() -> None:
        for _ in range(FEW // BATCH):
            built.bbox_head(built.extract_feat(inputs))

    return in_bfloat16(run)


def mmdetection(network: nn.Module, job: DetectionJob) -> Call:
    """Return MMDetection's own call on files, one image at a time: its reading, transforms, network and NMS."""
    with quiet():
        from mmcv.transforms import Compose, LoadImageFromFile
        from mmdet.apis import inference_detector
        from mmdet.datasets.transforms import PackDetInputs, Resize
        from mmengine.config import ConfigDict

    side, meta_keys = job.recipe.input_size, ("ori_shape", "img_shape", "scale_factor")
    resize = Resize(scale=(side, side), keep_ratio=False)
    pipeline = Compose([LoadImageFromFile(), resize, PackDetInputs(meta_keys=meta_keys)])
    files = [str(job.root / name) for name in job.names[:FEW]]
    model: Any = copy.deepcopy(network).eval()
    model.bbox_head.loss_cls = None  # `predict` reads it, but SSDHead never sets it (mmdetection 11063, 11305)
    model.bbox_head.test_cfg = ConfigDict(
        nms_pre=job.recipe.candidates,
        nms={"type": "nms", "iou_threshold": job.recipe.nms_iou},
        min_bbox_size=0,
        score_thr=job.recipe.score_threshold,
        max_per_img=job.recipe.top_k,
    )
    model.cfg = None  # read, but not used if a pipeline is given
    return lambda: inference_detector(model, files, pipeline)
