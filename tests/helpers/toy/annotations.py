"""Toy data for the detector: coloured rectangles on noise, one colour per part, as COCO JSON; and a tiny SSD."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_cache.parts.names import PART_NAMES
from detect.extraction.job import prepare_job
from detect.extraction.run import DetectionSummary, detect_parts
from detect.recipes import DetectorRecipe

TINY = DetectorRecipe(
    architecture="ssdlite_mobilenetv2",
    input_size=96,
    widen_factor=0.5,
    extra_channels=(32,),
    strides=(8, 16, 32, 64),
    anchor_sizes=(0.1, 0.2, 0.35, 0.6, 0.9),
    anchor_ratios=((2.0,),) * 4,
    epochs=80,
    batch_size=6,
    learning_rate=1e-2,
    zoom_in=0.0,
    zoom_out=0.0,
    flip=0.0,
    colour_jitter=0.0,
    hue_jitter=0.0,
    grey=0.0,
    degrade=0.0,
    validate_every=20,
    held_out=0.0,
)
QUARTERS = ((0, 0), (80, 0), (0, 60), (80, 60))  # one part in each, so that none covers another


def toy_set(folder: Path, count: int, seed: int = 0) -> Path:
    """Write `count` images of 160 x 120 with four parts each and parts.json; return the path of the JSON."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    colours = np.random.default_rng(7).integers(0, 255, (len(PART_NAMES), 3))
    images, annotations = [], []
    for index in range(count):
        pixels = random.integers(90, 160, (120, 160, 3)).astype(np.uint8)
        name = f"images/{index:04d}.png"
        labels = random.choice(len(PART_NAMES), len(QUARTERS), replace=False)
        for (left, top), label in zip(QUARTERS, labels, strict=True):
            width, height = (int(side) for side in random.integers(20, 45, 2))
            x, y = left + int(random.integers(0, 30)), top + int(random.integers(0, 14))
            pixels[y : y + height, x : x + width] = colours[label]
            box = {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0}
            key = {"id": len(annotations) + 1, "image_id": index + 1, "category_id": int(label) + 1}
            annotations.append(key | box)
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": index + 1, "file_name": name, "width": 160, "height": 120, "vehicle_id": str(index // 2)})
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(PART_NAMES)]
    document: dict[str, Any] = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "parts.json").write_text(json.dumps(document))
    return folder / "parts.json"


def detect_toy(
    data: Path,
    output: Path,
    weights: str = "w.safetensors",
    *,
    workers: int = 0,
    limit: int | None = None,
    engine: str = "process",
) -> DetectionSummary | None:
    """Run stage one on the toy images of `data` with the `weights` there, four images per shard."""
    names = [path.relative_to(data).as_posix() for path in data.glob("images/*.png")]
    job = prepare_job(names, data, data / weights, output, dataset="toy", limit=limit, shard_size=4)
    return detect_parts(job, device="cpu", workers=workers, batch_size=3, engine=engine)


def changed(path: Path, *changes: Callable[[dict[str, Any]], object]) -> Path:
    """Apply `changes` to the JSON document in `path`; return the path."""
    document = json.loads(path.read_text())
    for change in changes:
        change(document)
    path.write_text(json.dumps(document))
    return path
