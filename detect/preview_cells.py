"""One image of a preview: what was found in it, beside what is true where that is known."""

from collections.abc import Collection
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from data_cache.attributes import PART_NAMES
from data_cache.contact_sheet import Cell
from data_cache.drawn_boxes import LIGHT, QUIET, Mark, Rectangle, part_colour
from data_cache.images import ImageError, load_image, path_inside
from data_cache.parts import PartBoxes
from detect.annotations import AnnotatedImage
from detect.matching import NOT_FOUND
from detect.metrics import finding_ranks
from detect.postprocess import RawParts

WHITE, WRONG = (255, 255, 255), (255, 130, 120)


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
    """Return the cell of the image in a row of `parts`: its boxes numbered by confidence, the reason where it is bad.

    At most `top` boxes are shown, none below `minimum_score`. With `truth`, true parts are dashed, those without a box
    lettered, and the name of a box without a true part is red, if its label is among the `annotated` ones.
    """
    name = parts.names[row]
    image, reason = _read(parts, row, root)
    if image is None:
        return Cell(None, reason=reason, caption=(name,))
    found = _chosen(parts, row, top, minimum_score)
    size = f"{image.shape[1]} x {image.shape[0]}"
    if truth is None:
        return Cell(image, _found_marks(found, parts.part_names, found.labels >= 0), (name, size))
    ranks = finding_ranks(truth, found, with_label=True)
    right = np.isin(np.arange(len(found)), ranks)
    judged = np.isin(found.labels, list(annotated))
    told = f"{right.sum()} of {judged.sum()} boxes right, {(ranks == NOT_FOUND).sum()} of {len(ranks)} parts missed"
    marks = _found_marks(found, parts.part_names, right | ~judged) + _true_marks(truth, ranks == NOT_FOUND)
    return Cell(image, marks, (name, f"{size}; {told}"))


def _read(parts: PartBoxes, row: int, root: Path) -> tuple[NDArray[np.uint8] | None, str]:
    """Return the image and no reason, or no image and the reason."""
    if parts.failure[row]:
        return None, parts.failure[row]
    try:
        image = load_image(path_inside(root, parts.names[row]))
    except ImageError as error:
        return None, str(error)
    now, then = image.shape[1::-1], tuple(parts.image_size[row].tolist())
    if now != then:
        return None, f"{now[0]} x {now[1]}, but {then[0]} x {then[1]} when its parts were found; detect them again"
    return image, ""


def _chosen(parts: PartBoxes, row: int, top: int, minimum_score: float) -> RawParts:
    kept = np.flatnonzero((parts.labels[row] >= 0) & (parts.scores[row] >= minimum_score))[:top]
    return RawParts(parts.boxes[row, kept], parts.scores[row, kept], parts.labels[row, kept].astype(np.int64))


def _found_marks(found: RawParts, part_names: tuple[str, ...], fine: NDArray[np.bool_]) -> tuple[Mark, ...]:
    return tuple(
        Mark(
            _rectangle(found.boxes[rank]),
            part_colour(label),
            key=str(rank + 1),
            text=f"{found.scores[rank]:.2f}  {part_names[label]}",
            tone=LIGHT if fine[rank] else WRONG,
        )
        for rank, label in enumerate(found.labels.tolist())
    )


def _true_marks(truth: AnnotatedImage, missed: NDArray[np.bool_]) -> tuple[Mark, ...]:
    keys = iter(letter * times for times in range(1, len(missed) + 1) for letter in ascii_lowercase)
    return tuple(
        Mark(_rectangle(box), WHITE, next(keys) if absent else "", PART_NAMES[label], tone=QUIET, dashed=True)
        for box, label, absent in zip(truth.boxes, truth.labels.tolist(), missed.tolist(), strict=True)
    )


def _rectangle(box: NDArray[np.float32]) -> Rectangle:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1
