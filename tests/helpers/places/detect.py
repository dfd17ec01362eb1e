"""A toy set with a detector in its run folder; apart from the set, which loads no torch."""

from pathlib import Path

import torch

from detect.model.ssd import build_network
from detect.model.weights import write_weights
from detect.training.train import METRICS, WEIGHTS
from helpers.toy.annotations import TINY, toy_set


def toy_place(folder: Path) -> Path:
    """Write toy data with a CSV, and under `runs` a detector named demo, of random weights; return `folder`."""
    toy_set(folder / "data", 4)
    names = sorted(path.name for path in (folder / "data/images").iterdir())
    rows = [f"images/{name},{index // 2},0,train" for index, name in enumerate(names)]
    (folder / "data/images.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *rows]) + "\n")
    torch.manual_seed(0)
    write_weights(folder / "runs/detector/demo" / WEIGHTS, build_network(TINY), TINY)
    (folder / "runs/detector/demo" / METRICS).write_text("{}")
    return folder
