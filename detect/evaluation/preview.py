"""A contact sheet by which a reader checks a detector: images with the boxes that it found, and the true ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.base.files import passing_folder
from data_cache.images.contact_sheet import Cell, write_sheet
from data_cache.images.drawing import LIGHT, QUIET, Mark, Rectangle, part_colour
from data_cache.images.loading import ImageError, load_image, path_inside
from data_cache.parts.cache import PartBoxes, read_parts
from data_cache.parts.names import PART_NAMES
from detect.annotations.reading import AnnotatedImage, read_annotations
from detect.evaluation.metrics import NOT_FOUND, finding_ranks
from detect.extraction.job import chosen_images
from detect.model.nms import RawParts

LEGEND = "Solid, numbered: found, with score, 1 the most confident."
TRUE_LEGEND = (
    "Dashed: true parts, lettered where no box finds them. Red name: no true part of that name there (IoU 0.5)."
)
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
            text_colour=LIGHT if fine[rank] else WRONG,
        )
        for rank, label in enumerate(found.labels.tolist())
    )


def _true_marks(truth: AnnotatedImage, missed: NDArray[np.bool_]) -> tuple[Mark, ...]:
    keys = iter(letter * times for times in range(1, len(missed) + 1) for letter in ascii_lowercase)
    return tuple(
        Mark(_rectangle(box), WHITE, next(keys) if absent else "", PART_NAMES[label], text_colour=QUIET, dashed=True)
        for box, label, absent in zip(truth.boxes, truth.labels.tolist(), missed.tolist(), strict=True)
    )


def _rectangle(box: NDArray[np.float32]) -> Rectangle:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


@dataclass(frozen=True)
class Pictures:
    """Images to choose from: `names` below `root`, the true parts by name where they are known, a `label` for them."""

    label: str
    root: Path
    names: Sequence[str]
    truth: Mapping[str, AnnotatedImage]


def pictures_of(dataset: str, data_root: Path, images: Path | None, annotations: Path | None) -> Pictures:
    """Return the images of COCO `annotations`, else those below the folder `images`, else those of the data set.

    Annotated images lie below `images`, by default beside the JSON. Raises UserError where there are none.
    """
    if annotations is not None:
        root = images or annotations.parent
        truth = {image.name: image for image in read_annotations(annotations, root)}
        return Pictures(annotations.stem, root, list(truth), truth)
    return Pictures(*chosen_images(dataset, data_root, images), truth={})


def choose_names(names: Sequence[str], *, count: int, pattern: str | None = None, seed: int | None = None) -> list[str]:
    """Return at most `count` of `names`, sorted: evenly spaced among those that match `pattern`, or drawn by `seed`.

    A pattern is a shell's, as `test/*_c01_*`; it must match the whole name. Raises UserError where it matches none.
    """
    matching = sorted(name for name in set(names) if pattern is None or fnmatchcase(name, pattern))
    if not matching:
        raise UserError(f"no name of {len(names)} images matches --names '{pattern}'; the first is {min(names)}")
    count = min(count, len(matching))
    if seed is None:
        return [matching[place * len(matching) // count] for place in range(count)]
    drawn = np.random.default_rng(seed).choice(len(matching), count, replace=False)
    return [matching[place] for place in sorted(drawn.tolist())]


def find_parts(names: Sequence[str], root: Path, weights: Path, *, device: str, workers: int) -> PartBoxes:
    """Return what stage one finds in the images of those names below `root`, with the detector of `weights`."""
    from detect.extraction.job import prepare_job
    from detect.extraction.run import detect_parts

    with passing_folder() as folder:
        cache = folder / "parts.h5"
        detect_parts(prepare_job(names, root, weights, cache, dataset="preview"), device=device, workers=workers)
        return read_parts(cache)


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
    """Write a PNG of the images of those names below `root`, each with its `top` most confident boxes, and return it.

    Boxes below `minimum_score` are left out; `truth` gives the true parts by name of image. An image that cannot be
    read is a grey cell with the reason. Raises UserError where `parts` lacks an image or knows other part names.
    """
    truth = truth or {}
    if truth and parts.part_names != PART_NAMES:
        raise UserError("the part names of the cache are not those of the annotations; leave out --annotations")
    annotated = {int(label) for image in truth.values() for label in image.labels}
    cells = [
        preview_cell(parts, row, root, truth=truth.get(name), annotated=annotated, top=top, minimum_score=minimum_score)
        for name, row in zip(names, parts.rows(names).tolist(), strict=True)
    ]
    least = f" of score {minimum_score} or more" if minimum_score else ""
    lines = [
        f"{title}: {len(cells)} images, at most {top} boxes each{least}",
        LEGEND + (f" {TRUE_LEGEND}" if truth else ""),
    ]
    return write_sheet(cells, target, lines)
