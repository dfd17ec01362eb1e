"""Run a detector on annotated images and measure it."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.progress import track
from data_cache.parts.selection import BoxChoice
from data_cache.parts.shards import plan_shards
from detect.annotations.images import AnnotatedImage
from detect.evaluation.metrics import MOST_CONFIDENT, DetectorMetrics, measure
from detect.evaluation.precision_recall import MAX_DETECTIONS
from detect.extraction.shards import detect_batches
from detect.model.detector import Detector
from detect.model.reading import ReadBatch, read_batches


def evaluate_detector(
    detector: Detector,
    images: Sequence[AnnotatedImage],
    image_root: Path,
    *,
    workers: int,
    choice: BoxChoice = MOST_CONFIDENT,
) -> DetectorMetrics:
    """Return the metrics of `detector` on `images`, which are sorted by name; for `choice` see `measure`.

    Raises UserError for an image that cannot be read, or whose size is not the annotated one.
    """
    plan = plan_shards([image.name for image in images], detector.recipe.batch_size)
    loader = read_batches(plan, image_root, detector.recipe.input_size, workers)
    batches = track(loader, "measuring the detector (batches)", len(plan))
    # COCO's AP is over up to 100 boxes per image, more than the part cache keeps
    detector = detector.with_top_k(MAX_DETECTIONS)
    return measure(images, detect_batches(detector, _require_annotated_size(batches, images)), choice=choice)


def _require_annotated_size(batches: Iterable[ReadBatch], images: Sequence[AnnotatedImage]) -> Iterator[ReadBatch]:
    annotated = {image.name: (image.width, image.height) for image in images}
    for batch in batches:
        for name, failure, (width, height) in zip(batch.names, batch.failures, batch.sizes.tolist(), strict=True):
            if failure:
                raise UserError(failure)
            if (width, height) != annotated[name]:
                size = "{} x {}".format(*annotated[name])
                raise UserError(f"{name}: {width} x {height} pixels, annotated as {size}; correct the annotations")
        yield batch
