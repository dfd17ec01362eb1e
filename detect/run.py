"""Stage one: the parts of every image of a data set, found once and written to the part cache.

Everything that a finished run needs is decided from files before torch or MMDetection is imported.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_cache.attributes import PART_NAMES
from data_cache.errors import UserError
from data_cache.files import run_lock, sha256_of_file, sha256_of_names
from data_cache.parts import (
    STATUS_EMPTY,
    STATUS_FAILED,
    STATUS_FOUND,
    PartBoxes,
    read_parts,
    require_fingerprint,
    write_parts,
)
from data_cache.progress import is_first_rank, say, track
from data_cache.shards import merge_shards, plan_shards, shard_is_finished, shard_path, shards_folder
from detect.recipes import DetectorRecipe
from detect.weights import read_recipe

if TYPE_CHECKING:
    from detect.postprocess import RawParts
    from detect.reading import ReadBatch

SHARD_SIZE = 256
PACKAGES = ("torch", "torchvision", "onedl-mmdetection")
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class DetectionSummary:
    """What a pass over a data set came to."""

    output: Path
    images: int
    found: int
    empty: int
    failed: int
    boxes: int
    made_now: int  # images that this run, on this rank, looked at; 0 where all was finished before
    first_failure: str = ""  # name and reason

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self) | {"output": str(self.output)}


@dataclass(frozen=True)
class _Shard:
    """A shard to make: where it goes, and the images in it."""

    path: Path
    names: Sequence[str]


def detect_parts(
    images: Sequence[str],
    root: Path,
    weights: Path,
    output: Path,
    *,
    dataset: str,
    device: str,
    workers: int,
    batch_size: int = 32,
    shard_size: int = SHARD_SIZE,
) -> DetectionSummary:
    """Write the parts of `images` (names below `root`), found by the detector of `weights`, to `output`.

    Finished shards are kept, so a stopped run goes on where it was and ends with the same bytes; under `torchrun` every
    rank makes its own shards and the first one merges. A bad image becomes a row with its reason. Raises UserError
    where `output` or its shards were made by another detector, or where another run writes them.
    """
    names = sorted(set(images))
    if not names:
        raise UserError(f"data set {dataset}: no images below {root}")
    recipe = read_recipe(weights)
    fingerprint = detector_fingerprint(weights, recipe, dataset, names)
    finished = _finished(output, names, fingerprint)
    if finished is not None:
        say(f"{output}: finished before, all {len(names)} images")
        return _summary(output, finished, 0)
    plan = plan_shards(names, shard_size)
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    shards = [_Shard(shard_path(output, index % ranks, index), names) for index, names in enumerate(plan)]
    if not is_first_rank():
        made = _make_shards(shards[rank::ranks], root, weights, recipe, fingerprint, device, workers, batch_size)
        return _summary(output, None, made)
    with run_lock(shards_folder(output)):
        made = _make_shards(shards[rank::ranks], root, weights, recipe, fingerprint, device, workers, batch_size)
        _wait_for([shard.path for shard in shards])
        return _summary(output, merge_shards([shard.path for shard in shards], output), made)


def detector_fingerprint(weights: Path, recipe: DetectorRecipe, dataset: str, names: Sequence[str]) -> dict[str, Any]:
    """Return all that decides the content of a part cache; batch size, workers and device are no part of it."""
    return {
        "dataset": dataset,
        "names_sha256": sha256_of_names(list(names)),
        "detector": recipe.model_dump(mode="json"),
        "weights_sha256": sha256_of_file(weights),
        "input_size": recipe.input_size,
        "score_threshold": recipe.score_threshold,
        "nms_iou": recipe.nms_iou,
        "top_k": recipe.top_k,
        "versions": {package: version(package) for package in PACKAGES},
    }


def _finished(output: Path, names: Sequence[str], fingerprint: Mapping[str, Any]) -> PartBoxes | None:
    if not output.exists():
        return None
    parts = read_parts(output)
    require_fingerprint(parts.fingerprint, fingerprint, output)
    return parts


def _make_shards(
    shards: Sequence[_Shard],
    root: Path,
    weights: Path,
    recipe: DetectorRecipe,
    fingerprint: Mapping[str, Any],
    device: str,
    workers: int,
    batch_size: int,
) -> int:
    """Make the shards that are not finished; return how many images that took."""
    missing = [shard for shard in shards if not shard_is_finished(shard.path, shard.names, fingerprint)]
    kept = sum(len(shard.names) for shard in shards) - sum(len(shard.names) for shard in missing)
    if kept:
        say(f"going on: {kept} images were finished before")
    if not missing:
        return 0
    from detect.detector import load_detector
    from detect.reading import read_batches

    detector = load_detector(weights, device)
    batches = [batch for shard in missing for batch in plan_shards(shard.names, batch_size)]
    loader = track(read_batches(batches, root, recipe.input_size, workers), "finding parts (batches)", len(batches))
    for shard in missing:
        rows: list[tuple[ReadBatch, list[RawParts]]] = []
        while sum(len(batch.names) for batch, _ in rows) < len(shard.names):
            batch = next(loader)
            rows.append((batch, detector.detect(batch.pixels, batch.sizes)))
        write_parts(shard.path, pack_rows(rows, recipe.top_k, fingerprint))
    return sum(len(shard.names) for shard in missing)


def pack_rows(
    rows: Sequence[tuple["ReadBatch", Sequence["RawParts"]]], places: int, fingerprint: Mapping[str, Any]
) -> PartBoxes:
    """Pack batches and their parts into the cache's arrays, `places` (K) parts an image."""
    names = tuple(name for batch, _ in rows for name in batch.names)
    failures = tuple(failure for batch, _ in rows for failure in batch.failures)
    boxes = np.zeros((len(names), places, 4), np.float32)
    scores = np.zeros((len(names), places), np.float32)
    labels = np.full((len(names), places), -1, np.int8)
    status = np.full(len(names), STATUS_EMPTY, np.uint8)
    found = [parts for _, batch_parts in rows for parts in batch_parts]
    for row, (parts, failure) in enumerate(zip(found, failures, strict=True)):
        if failure:
            status[row] = STATUS_FAILED
        elif len(parts):
            count, status[row] = len(parts), STATUS_FOUND
            boxes[row, :count], scores[row, :count], labels[row, :count] = parts.boxes, parts.scores, parts.labels
    return PartBoxes(
        names=names,
        image_size=np.concatenate([batch.sizes for batch, _ in rows]),
        boxes=boxes,
        scores=scores,
        labels=labels,
        status=status,
        failure=failures,
        part_names=PART_NAMES,
        fingerprint=dict(fingerprint),
    )


def _wait_for(paths: Sequence[Path]) -> None:
    """Wait until other ranks have put down their shards; a shard that exists is whole."""
    missing = [path for path in paths if not path.exists()]
    if missing:
        say(f"waiting for {len(missing)} shards of other ranks")
    while not all(path.exists() for path in missing):
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _summary(output: Path, parts: PartBoxes | None, made: int) -> DetectionSummary:
    if parts is None:
        return DetectionSummary(output, made, 0, 0, 0, 0, made)
    counts = np.bincount(parts.status, minlength=3)
    failures = [f"{name} ({reason})" for name, reason in zip(parts.names, parts.failure, strict=True) if reason]
    return DetectionSummary(
        output=output,
        images=len(parts.names),
        found=int(counts[STATUS_FOUND]),
        empty=int(counts[STATUS_EMPTY]),
        failed=int(counts[STATUS_FAILED]),
        boxes=int((parts.labels >= 0).sum()),
        made_now=made,
        first_failure=failures[0] if failures else "",
    )
