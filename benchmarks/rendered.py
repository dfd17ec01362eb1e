"""Rendered pictures and a detector with random weights, for benchmarks that read files."""

import shutil
from pathlib import Path

import torch
from torch import nn

from data_cache.datasets.catalogue import load_dataset
from data_cache.synthetic import SyntheticSettings, write_synthetic
from detect.extraction.job import DetectionJob, prepare_job
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from detect.recipes import DEFAULT_RECIPE, PRESETS

RECIPE = DEFAULT_RECIPE
VEHICLES, COPIES = 30, 3  # ten pictures per vehicle; copies, because rendering takes longer than detection
WEIGHTS = "weights.safetensors"


def render(folder: Path, workers: int) -> nn.Module:
    """Render the data set `synthetic` into `folder` and write detector weights beside it; return their network."""
    settings = SyntheticSettings(vehicles=VEHICLES, cameras_per_vehicle=5, images_per_camera=2)
    write_synthetic(settings, folder / "synthetic", workers=workers)
    torch.manual_seed(0)
    network = build_network(PRESETS[RECIPE])
    write_weights(folder / WEIGHTS, network, PRESETS[RECIPE])
    return network


def rendered_job(folder: Path) -> DetectionJob:
    """Return the detection job over the pictures that `render` wrote."""
    data = load_dataset("synthetic", folder)
    return prepare_job(data.names(), data.root, folder / WEIGHTS, folder / "parts.h5", dataset="synthetic")


def copied_job(folder: Path) -> DetectionJob:
    """Return the detection job over `COPIES` copies of every picture that `render` wrote."""
    for copy in range(COPIES):
        shutil.copytree(folder / "synthetic/images", folder / f"copies/{copy}")
    names = [path.relative_to(folder / "copies").as_posix() for path in (folder / "copies").rglob("*.jpg")]
    return prepare_job(names, folder / "copies", folder / WEIGHTS, folder / "copies.h5", dataset="copies")
