"""Run a detector over annotated images and measure it."""

from collections.abc import Sequence
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.progress import track
from data_cache.parts.shards import plan_shards
from detect.annotations.reading import AnnotatedImage
from detect.evaluation.metrics import DetectorMetrics, measure
from detect.evaluation.precision_recall import BOXES
from detect.model.detector import Detector
from detect.model.reading import ReadBatch, read_batches


def evaluate_detector(
    detector: Detector, images: Sequence[AnnotatedImage], image_root: Path, *, workers: int
) -> DetectorMetrics:
    """Return the metrics of `detector` on `images`.

    Raises UserError for an image that cannot be read, or is of another size than its annotations say.
    """
    # COCO measures AP on up to 100 boxes an image; a crowded picture shows more parts than the cache keeps
    detector = detector.keeping(BOXES)
    plan = plan_shards([image.name for image in images], detector.recipe.batch_size)
    sizes = {image.name: (image.width, image.height) for image in images}
    found = []
    batches = read_batches(plan, image_root, detector.recipe.input_size, workers)
    for batch in track(batches, "measuring the detector (batches)", len(plan)):
        _require_as_annotated(batch, sizes)
        found += detector.detect(batch.pixels, batch.sizes)
    return measure(images, found)


def _require_as_annotated(batch: ReadBatch, sizes: dict[str, tuple[int, int]]) -> None:
    for name, failure, (width, height) in zip(batch.names, batch.failures, batch.sizes.tolist(), strict=True):
        if failure:
            raise UserError(failure)
        if (width, height) != sizes[name]:
            annotated = "{} x {}".format(*sizes[name])
            raise UserError(f"{name}: {width} x {height} as stored, annotated as {annotated}; correct the annotations")
