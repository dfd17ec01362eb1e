"""A contact sheet to check a detector by eye: images with the detected boxes and, if annotated, the true ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.progress import track
from data_cache.base.remote.addresses import require_path
from data_cache.images.contact_sheet import Cell, write_sheet
from data_cache.images.drawing import LIGHT, QUIET, Mark, Rectangle, part_colour
from data_cache.images.loading import ImageError, load_image, path_inside
from data_cache.parts.cache import PartBoxes
from data_cache.parts.names import PART_NAMES
from data_cache.parts.shards import plan_shards
from detect.annotations.images import AnnotatedImage
from detect.annotations.reading import matching_names, read_annotations
from detect.evaluation.metrics import NOT_FOUND, finding_ranks
from detect.extraction.job import list_images
from detect.extraction.shards import detect_batches

LEGEND = "Solid: detected parts; the number at a box is its confidence."
TRUE_LEGEND = "Dashed: true parts, with a letter if no box finds them. Red name: no true part of that name (IoU 0.5)."
BATCH_SIZE = 32  # as in `detect`, so that boxes are equal bit for bit
WHITE, WRONG = (255, 255, 255), (255, 130, 120)


@dataclass(frozen=True)
class ImageSource:
    """Images to choose from: `names` below `root`, their true parts by name if annotated, and a label for the set."""

    label: str
    root: Path
    names: Sequence[str]
    truth: Mapping[str, AnnotatedImage]


def find_images(dataset: str, data_root: Path, images: Path | None, annotations: Path | None) -> ImageSource:
    """Return the images of COCO `annotations` if given, otherwise of the folder `images`, otherwise of the data set.

    Annotated images are below `images`, by default beside the JSON file. Raises UserError if there are no images.
    """
    if annotations is not None:
        root = images or annotations.parent
        truth = {image.name: image for image in read_annotations(annotations, root)}
        return ImageSource(annotations.stem, root, list(truth), truth)
    name, folder, names = list_images(dataset, data_root, images)
    return ImageSource(name, require_path(folder), names, truth={})


def choose_names(names: Sequence[str], *, count: int, pattern: str | None = None, seed: int | None = None) -> list[str]:
    """Return at most `count` of the names that match `pattern`, sorted: evenly spaced, or random if `seed` is given.

    The pattern is a shell pattern for the whole name, such as `test/*_c01_*`. Raises UserError if no name matches.
    """
    matching = matching_names(names, pattern)
    count = min(count, len(matching))
    if seed is None:
        return [matching[index * len(matching) // count] for index in range(count)]
    drawn = np.random.default_rng(seed).choice(len(matching), count, replace=False)
    return [matching[index] for index in sorted(drawn.tolist())]


def worst_names(parts: PartBoxes, truth: Mapping[str, AnnotatedImage], *, top: int, count: int) -> list[str]:
    """Return the names of the `count` images with the smallest share of true parts found, the worst first.

    Parts are found by the `top` most confident boxes, with any label; images without true parts are left out.
    """
    shares = {}
    for name, row in zip(truth, parts.rows(list(truth)).tolist(), strict=True):
        ranks = finding_ranks(truth[name], parts.boxes[row, parts.labels[row] >= 0])
        if len(ranks):
            shares[name] = float((ranks < top).mean())
    return sorted(shares, key=lambda name: (shares[name], name))[:count]


def detect_images(names: Sequence[str], root: Path, weights: Path, *, device: str, workers: int) -> PartBoxes:
    """Return the parts that the detector of `weights` finds in images below `root`; `names` are sorted."""
    from detect.model.detector import load_detector
    from detect.model.reading import read_batches

    detector = load_detector(weights, device)
    loader = read_batches(plan_shards(names, BATCH_SIZE), root, detector.recipe.input_size, workers)
    return detect_batches(detector, track(loader, "finding parts (images)", len(names), len))


def write_preview(
    parts: PartBoxes,
    names: Sequence[str],
    root: Path,
    target: Path,
    *,
    title: str,
    truth: Mapping[str, AnnotatedImage] | None = None,
    top: int = 8,
    minimum_score: float = 0.0,
) -> Path:
    """Write a PNG of the named images below `root`, each with its `top` most confident boxes, and return its path.

    Boxes below `minimum_score` are left out; `truth` has the true parts by image name. An unreadable image is a grey
    cell with the reason. Raises UserError if `parts` lacks an image, or if its part names are not the annotated ones.
    """
    truth = truth or {}
    if truth and parts.part_names != PART_NAMES:
        raise UserError("the part names of the cache are not those of the annotations; leave out --annotations")
    annotated = {int(label) for image in truth.values() for label in image.labels}
    cells = [
        preview_cell(parts, row, root, truth=truth.get(name), annotated=annotated, top=top, minimum_score=minimum_score)
        for name, row in zip(names, parts.rows(names).tolist(), strict=True)
    ]
    least = f" with a score of {minimum_score} or more" if minimum_score else ""
    lines = [
        f"{title}: {len(cells)} images, at most {top} boxes each{least}",
        LEGEND + (f" {TRUE_LEGEND}" if truth else ""),
    ]
    return write_sheet(cells, target, lines)


def preview_cell(
    parts: PartBoxes,
    row: int,
    root: Path,
    *,
    top: int,
    minimum_score: float,
    truth: AnnotatedImage | None = None,
    annotated: Collection[int] = (),
) -> Cell:
    """Return the cell of the image in a row of `parts`: its boxes with their confidence, or the reason of failure.

    With `truth`, true parts are dashed, and lettered if no box finds them; a box that finds no true part has its name
    in red, if its label is one of the `annotated` ones.
    """
    name = parts.names[row]
    image, reason = _load(parts, row, root)
    if image is None:
        return Cell(None, reason=reason, caption=(name,))
    slots = np.flatnonzero((parts.labels[row] >= 0) & (parts.scores[row] >= minimum_score))[:top]
    labels = parts.labels[row, slots]
    size = f"{image.shape[1]} x {image.shape[0]}"
    if truth is None:
        return Cell(image, _detected_marks(parts, row, slots, labels >= 0), (name, size))
    ranks = finding_ranks(truth, parts.boxes[row, slots], labels)
    right = np.isin(np.arange(len(slots)), ranks)
    judged = np.isin(labels, list(annotated))
    counts = f"{right.sum()} of {judged.sum()} boxes right, {(ranks == NOT_FOUND).sum()} of {len(ranks)} parts missed"
    marks = _detected_marks(parts, row, slots, right | ~judged) + _true_marks(truth, ranks == NOT_FOUND)
    return Cell(image, marks, (name, f"{size}; {counts}"))


def _load(parts: PartBoxes, row: int, root: Path) -> tuple[NDArray[np.uint8] | None, str]:
    """Return the image and "", or None and the reason."""
    if parts.failure[row]:
        return None, parts.failure[row]
    try:
        image = load_image(path_inside(root, parts.names[row]), turned=parts.turned)
    except ImageError as error:
        return None, str(error)
    size, cached = image.shape[1::-1], tuple(parts.image_size[row].tolist())
    if size != cached:
        before = f"{cached[0]} x {cached[1]} when its parts were found"
        return None, f"{size[0]} x {size[1]}, but {before}; detect them again"
    return image, ""


def _detected_marks(parts: PartBoxes, row: int, slots: NDArray[np.int64], fine: NDArray[np.bool_]) -> tuple[Mark, ...]:
    marks = []
    for rank, slot in enumerate(slots.tolist()):
        label = int(parts.labels[row, slot])
        mark = Mark(
            _rectangle(parts.boxes[row, slot]),
            part_colour(label),
            key=f"{parts.scores[row, slot]:.2f}",
            text=parts.part_names[label],
            text_colour=LIGHT if fine[rank] else WRONG,
        )
        marks.append(mark)
    return tuple(marks)


def _true_marks(truth: AnnotatedImage, missed: NDArray[np.bool_]) -> tuple[Mark, ...]:
    keys = iter(letter * times for times in range(1, len(missed) + 1) for letter in ascii_lowercase)
    return tuple(
        Mark(_rectangle(box), WHITE, next(keys) if absent else "", PART_NAMES[label], text_colour=QUIET, dashed=True)
        for box, label, absent in zip(truth.boxes, truth.labels.tolist(), missed.tolist(), strict=True)
    )


def _rectangle(box: NDArray[np.float32]) -> Rectangle:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1
