"""An evaluated run without a network: five vehicles by three cameras, with hostile names and ids."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.protocols import Protocol
from data_cache.parts.cache import PartBoxes
from reid.evaluation.answers import find_answers
from reid.evaluation.calibration import CalibratedRun
from reid.features.file import Features
from reid.report.answers_page import write_answers_page
from reid.report.evaluated_run import EvaluatedRun
from reid.report.pictures.covering import GRID, Covering
from reid.report.pictures.heatmaps import Heatmaps
from reid.retrieval.open_set import EVIDENCE, FIRST, Calibration
from reid.retrieval.scoring import AfterNetwork, Scoring

HOSTILE = "<script>alert('x')</script>\"&"
SIZE = (50, 30)
COUNT = len(EVIDENCE)
NONE = (0.0,) * (COUNT - 1)
BY_COSINE = Calibration(  # confidence = sigmoid(10 (cosine - 0.8))
    (0.8, *NONE), (1.0,) * COUNT, (-1.0,) * COUNT, (99.0,) * COUNT, (10.0, *NONE), 0.0, 0.5
)


def make_evaluated_run(root: Path, *, cameras: bool = True, name: str = "pgan_small", noise: int = 0) -> EvaluatedRun:
    """Write the images into `root` and return a run on them in `root`/NAME; `noise` seeds its features."""
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
    features = make_features(names, noise)
    scores = Scoring().score({"trained": features}, dataset, "test", device="cpu").scores["trained"].to_dict()
    metrics: dict[str, Any] = {
        "dataset": "folder",
        "split": "test",
        "protocol": {"same_camera_is_junk": cameras, "draws": 1, "seed": None},
        "recipe": {"trunk": "resnet18", "note": HOSTILE},
        "recipe_name": name,
        "checkpoint": {"file": "best.safetensors", "sha256": "c0ffee", "epoch": 7},
        "arguments": {"--dataset": "folder", "--data-root": str(root), "--untrained": True},
        "scores": {"trained": scores, "untrained": scores},
        "versions": {"torch": "2.14.1"},
        "commit": "abc123",
        "device": "CPU",
        "made": "2026-01-02T03:04:05+00:00",
    }
    return EvaluatedRun(root / name, dataset, metrics, features, make_wheel_and_mirror(names))


def make_features(names: tuple[str, ...], seed: int = 0) -> Features:
    """Return features close to those of the same vehicle, with attention 0.2 and 0.8 in every image."""
    random = np.random.default_rng(seed)
    matrix = np.eye(5)[[int(name[0]) for name in names]] + 0.4 * random.standard_normal((len(names), 5))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    attention = np.tile(np.float32([0.2, 0.8]), (len(names), 1))
    return Features(names, matrix.astype(np.float32), attention, {"weights": "c0ffee"})


def make_wheel_and_mirror(names: tuple[str, ...]) -> PartBoxes:
    """Return a part cache with the same wheel and mirror in every image."""
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


def with_metrics(run: EvaluatedRun, **changes: Any) -> EvaluatedRun:
    """Return the run with other entries in its metrics.json."""
    return replace(run, metrics={**run.metrics, **changes})


def with_columns(run: EvaluatedRun, **columns: Any) -> EvaluatedRun:
    """Return the run with other columns in the table of its data set."""
    return replace(run, dataset=replace(run.dataset, table=run.dataset.table.assign(**columns)))


def write_answers(
    run: EvaluatedRun,
    *,
    protocol: Protocol | None = None,
    after: AfterNetwork | None = None,
    calibration: Calibration | None = BY_COSINE,
    aim: str = "f1",
    count: int = 60,
    top_k: int = 10,
    remedy: str = "`python cli.py calibrate`",
) -> Path:
    """Write the page of answers of the run, by default calibrated, and return it."""
    protocol = run.protocol() if protocol is None else protocol
    plain = find_answers(run.features, run.dataset, protocol, FIRST)
    return write_answers_page(
        run.folder / "answer.html",
        run.dataset,
        protocol,
        plain if after is None else find_answers(run.features, run.dataset, protocol, FIRST, after),
        plain,
        None if calibration is None else CalibratedRun(calibration, "c0ffee", aim, 9, {}),
        run=run.name,
        remedy=remedy,
        count=count,
        top_k=top_k,
    )


def ramp_heatmaps(run: EvaluatedRun, names: list[str], *, device: str) -> dict[str, Heatmaps]:
    """Replace `EvaluatedRun.heatmaps`: the same linear ramp for every image."""
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    return {name: Heatmaps(ramp, 1.5 * ramp) for name in names}


def ramp_coverings(
    run: EvaluatedRun, pairs: Sequence[tuple[str, str]], *, device: str
) -> dict[tuple[str, str], Covering]:
    """Replace `EvaluatedRun.coverings`: the same linear ramp for every pair, and two part boxes."""
    ramp = np.linspace(-0.2, 0.1, GRID * GRID, dtype=np.float32).reshape(GRID, GRID)
    return {pair: Covering(0.75, ramp, np.float32([0.01, -0.02])) for pair in pairs}
