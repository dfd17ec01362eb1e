"""The part cache in use: a second run of a finished `detect`, and reading the parts of a batch in stage two."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, best_seconds
from benchmarks.rendered import WEIGHTS, rendered_job
from data_cache.parts.cache import STATUS_FOUND, PartBoxes
from data_cache.parts.names import PART_NAMES
from detect.extraction.run import detect_parts
from reid.data.vehicle_images import part_arrays

IMAGES, SLOTS, BATCH, TOP_D, ROUNDS = 50_000, 16, 64, 8, 5  # VeRi-776 has about as many images


def part_cache_rows(folder: Path) -> list[Row]:
    """Return the table's rows; `folder` contains rendered pictures and a detector."""
    job = rendered_job(folder)
    detect_parts(job, device="cpu", workers=2)
    command = ["cli.py", "detect", "--dataset", "synthetic", "--data-root", str(folder)]
    command += ["--detector", str(folder / WEIGHTS), "--output", str(job.output), "--json"]
    parts = random_parts()
    names = [parts.names[row] for row in np.random.default_rng(0).choice(IMAGES, BATCH, replace=False)]
    calls = {"rerun": lambda: run_python(command), "read": lambda: part_arrays(parts, names, TOP_D)}
    seconds = best_seconds(calls, ROUNDS)
    loaded = " torch." in run_python(["-X", "importtime", *command])
    return [
        Row(
            f"second run of a finished `detect`, {len(job.names)} images",
            f"{seconds['rerun']:.2f} s",
            "torch was imported" if loaded else "torch was not imported",
            target="<= 3 s",
        ),
        Row(
            f"parts of a batch of {BATCH} out of {IMAGES:,} images",
            f"{1000 * seconds['read']:.2f} ms",
            target="<= 1 ms",
        ),
    ]


def run_python(arguments: Sequence[str]) -> str:
    """Run Python in a new process and return its standard error. Raises CalledProcessError if it fails."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stderr


def random_parts() -> PartBoxes:
    """Return a part cache of `IMAGES` images with all slots filled."""
    random = np.random.default_rng(0)
    low = random.uniform(0, 100, (IMAGES, SLOTS, 2))
    boxes = np.concatenate([low, low + random.uniform(1, 50, low.shape)], axis=2)
    return PartBoxes(
        names=tuple(f"image_train/{row:06d}.jpg" for row in range(IMAGES)),
        image_size=np.full((IMAGES, 2), 200, np.int32),
        boxes=boxes.astype(np.float32),
        scores=-np.sort(-random.random((IMAGES, SLOTS), np.float32), axis=1),
        labels=random.integers(0, len(PART_NAMES), (IMAGES, SLOTS)).astype(np.int8),
        status=np.full(IMAGES, STATUS_FOUND, np.uint8),
        failure=("",) * IMAGES,
        part_names=PART_NAMES,
        fingerprint={},
    )
