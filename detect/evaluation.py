"""Run a detector over annotated images and measure it."""

from collections.abc import Sequence
from pathlib import Path

from data_cache.errors import UserError
from data_cache.progress import track
from data_cache.shards import plan_shards
from detect.annotations import AnnotatedImage
from detect.detector import Detector
from detect.metrics import DetectorMetrics, measure
from detect.reading import read_batches


def evaluate_detector(
    detector: Detector, images: Sequence[AnnotatedImage], image_root: Path, *, workers: int
) -> DetectorMetrics:
    """Return the metrics of `detector` on `images`. Raises UserError for an image that cannot be read."""
    plan = plan_shards([image.name for image in images], detector.recipe.batch_size)
    found = []
    batches = read_batches(plan, image_root, detector.recipe.input_size, workers)
    for batch in track(batches, "measuring the detector (batches)", len(plan)):
        if any(batch.failures):
            raise UserError(next(failure for failure in batch.failures if failure))
        found += detector.detect(batch.pixels, batch.sizes)
    return measure(images, found)
