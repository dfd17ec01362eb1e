"""An evaluated run to be shown, without a network: five vehicles by three cameras, with names that mean harm."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_cache.datasets.catalogue import load_dataset
from data_cache.parts.cache import PartBoxes
from reid.features.file import Features
from reid.report.evaluated_run import ShownRun
from reid.retrieval.scores import score

HOSTILE = "<script>alert('x')</script>\"&"
SIZE = (50, 30)


def shown_run(root: Path, *, cameras: bool = True, name: str = "pgan_small", noise: int = 0) -> ShownRun:
    """Write the pictures below `root`, and return a finished run on them in `root`/NAME; `noise` seeds its features."""
    lines = ["name,vehicle_id,camera_id,split"]
    for vehicle in range(5):
        label = HOSTILE.replace('"', '""') if vehicle == 0 else f"car {vehicle}"
        for camera in range(3):
            image = f"{vehicle}&<b>_{camera}.png"
            Image.new("RGB", SIZE, (50 * vehicle, 90, 120)).save(root / image)
            lines.append(f'{image},"{label}",{camera if cameras else ""},{"query" if camera == 0 else "gallery"}')
    (root / "images.csv").write_text("\n".join(lines))
    dataset = load_dataset("folder", root)
    names = tuple(dataset.names())
    features = some_features(names, noise)
    scores = score(features, dataset, "test").to_dict()
    metrics: dict[str, Any] = {
        "dataset": "folder",
        "split": "test",
        "protocol": {"same_camera_is_junk": cameras, "draws": 1, "seed": None},
        "recipe": {"trunk": "resnet18", "note": HOSTILE},
        "recipe_name": name,
        "checkpoint": {"file": "best.safetensors", "sha256": "c0ffee", "epoch": 7},
        "scores": {"trained": scores, "untrained": scores},
        "versions": {"torch": "2.14.1"},
        "commit": "abc123",
        "device": "CPU",
        "made": "2026-01-02T03:04:05+00:00",
    }
    return ShownRun(root / name, dataset, metrics, features, some_parts(names))


def some_features(names: tuple[str, ...], seed: int = 0) -> Features:
    """Features near their vehicle's, the attention 0.2 and 0.8 everywhere."""
    random = np.random.default_rng(seed)
    matrix = np.eye(5)[[int(name[0]) for name in names]] + 0.4 * random.standard_normal((len(names), 5))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    attention = np.tile(np.float32([0.2, 0.8]), (len(names), 1))
    return Features(names, matrix.astype(np.float32), attention, {"weights": "c0ffee"})


def some_parts(names: tuple[str, ...]) -> PartBoxes:
    """The same wheel and mirror in every image."""
    count = len(names)
    return PartBoxes(
        names=names,
        image_size=np.tile(np.int32(SIZE), (count, 1)),
        boxes=np.tile(np.float32([[2, 2, 12, 12], [20, 5, 35, 25]]), (count, 1, 1)),
        scores=np.tile(np.float32([0.9, 0.8]), (count, 1)),
        labels=np.tile(np.int8([1, 0]), (count, 1)),
        status=np.zeros(count, np.uint8),
        failure=("",) * count,
        part_names=("mirror", "wheel"),
        fingerprint={},
    )


def with_metrics(run: ShownRun, **changes: Any) -> ShownRun:
    """The run with other entries in its metrics.json."""
    return replace(run, metrics={**run.metrics, **changes})
