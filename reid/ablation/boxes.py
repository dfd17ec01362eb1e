"""Control boxes that measure what part boxes are worth: true ones, random ones, and the detector's boxes shifted.

Each is a part cache with its own fingerprint, so that runs on different boxes are never mixed up.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import ARRAYS, PartBoxes
from data_cache.parts.import_coco import import_coco
from data_cache.parts.verification import differing_names

BoxKind = Literal["detector", "truth", "rarest", "random", "shifted"]
TRUTH_FILES = ("parts_train.json", "parts_test.json")  # COCO, as `cli.py synth` writes them
SLOTS = 64  # K of the true boxes: the largest D of a recipe
SHIFT = 0.25  # of the image's width and height


def random_boxes(parts: PartBoxes, *, seed: int) -> PartBoxes:
    """Return boxes of the same number, sizes and scores in every image, at random positions given by `seed`."""
    random = np.random.default_rng(seed)
    room = _image_sizes(parts) - _box_sizes(parts)
    return _moved(parts, random.random(room.shape) * room, {"boxes": "random", "seed": seed})


def shifted_boxes(parts: PartBoxes) -> PartBoxes:
    """Return the boxes shifted by a quarter of the image to the right and down; sizes and scores are kept.

    Along an axis, a box that would leave the image moves the other way; one that fits neither way (longer than half
    the image) moves to the farther end.
    """
    low, room = parts.boxes[..., :2].astype(np.float64), _image_sizes(parts) - _box_sizes(parts)
    step = SHIFT * _image_sizes(parts)
    farther_end = np.where(low < room / 2, room, 0.0)
    moved = np.where(low + step <= room, low + step, np.where(low >= step, low - step, farther_end))
    return _moved(parts, moved, {"boxes": "shifted", "by": SHIFT})


def has_truth(dataset: Dataset) -> bool:
    """Return whether the data set's root contains the files of the true boxes."""
    return all((dataset.folder / name).is_file() for name in TRUTH_FILES)


def true_boxes(dataset: Dataset) -> PartBoxes:
    """Return the true boxes, the largest of each image first; all have score 1, so sizes decide which D are used.

    Raises UserError if the files in the data set's root are missing or damaged, or lack an image.
    """
    pieces = [import_coco(dataset.folder / name, dataset=None, top_k=SLOTS).parts for name in TRUTH_FILES]
    fingerprint = {"control": {"boxes": "truth"}, "files": [dict(piece.fingerprint) for piece in pieces]}
    parts = _merged(pieces, fingerprint)
    missing, _ = differing_names(parts.names, dataset)
    if missing:
        raise UserError(
            f"{dataset.root}: {' and '.join(TRUTH_FILES)} lack {len(missing)} images of {dataset.name}, "
            f"first {missing[0]}; add them, without boxes if they have no part"
        )
    area = _box_sizes(parts).prod(axis=-1)
    return _reordered(parts, np.lexsort((-area, -parts.scores), axis=-1))  # empty slots have score 0 and stay last


def rarest_boxes(dataset: Dataset) -> PartBoxes:
    """Return the true boxes, parts that are rarest in the training images first, then the largest.

    Parts that few vehicles have tell them apart best. Raises UserError as `true_boxes`.
    """
    parts = true_boxes(dataset)
    training_names = set(dataset.training_images["name"])
    labels = parts.labels[[name in training_names for name in parts.names]]
    frequency = np.bincount(labels[labels >= 0], minlength=len(parts.part_names))
    order = np.lexsort((frequency[parts.labels], parts.labels < 0), axis=-1)  # stable: the largest stay first
    return replace(_reordered(parts, order), fingerprint={**parts.fingerprint, "control": {"boxes": "rarest"}})


TRUE_BOXES: Mapping[BoxKind, Callable[[Dataset], PartBoxes]] = {"truth": true_boxes, "rarest": rarest_boxes}


def _merged(pieces: list[PartBoxes], fingerprint: Mapping[str, Any]) -> PartBoxes:
    """Return one cache of the pieces, whose names may interleave, sorted by name."""
    if len({piece.part_names for piece in pieces}) > 1:
        raise UserError(f"{' and '.join(TRUTH_FILES)} have different categories")
    names = [name for piece in pieces for name in piece.names]
    failures = [failure for piece in pieces for failure in piece.failure]
    order = sorted(range(len(names)), key=names.__getitem__)
    return PartBoxes(
        names=tuple(names[row] for row in order),
        failure=tuple(failures[row] for row in order),
        part_names=pieces[0].part_names,
        fingerprint=fingerprint,
        **{name: np.concatenate([getattr(piece, name) for piece in pieces])[order] for name in ARRAYS},
    )


def _reordered(parts: PartBoxes, order: NDArray[np.intp]) -> PartBoxes:
    """Return the boxes of each image in the order `order` (N, K)."""
    return replace(
        parts,
        boxes=np.take_along_axis(parts.boxes, order[..., None], axis=1),
        scores=np.take_along_axis(parts.scores, order, axis=1),
        labels=np.take_along_axis(parts.labels, order, axis=1),
    )


def _image_sizes(parts: PartBoxes) -> NDArray[np.float64]:
    """Return width and height of each image, (N, 1, 2)."""
    return parts.image_size.astype(np.float64)[:, None, :]


def _box_sizes(parts: PartBoxes) -> NDArray[np.float64]:
    """Return width and height of each box, (N, K, 2)."""
    corners = parts.boxes.astype(np.float64)
    return np.asarray(corners[..., 2:] - corners[..., :2])


def _moved(parts: PartBoxes, low: NDArray[np.float64], control: Mapping[str, Any]) -> PartBoxes:
    """Return the boxes with upper left corners `low` (N, K, 2), keeping sizes up to float32 rounding."""
    limit = np.broadcast_to(_image_sizes(parts), low.shape).astype(np.float32)
    # keep a positive area inside the image even if float32 would round the box to nothing
    first = np.minimum(low.astype(np.float32), np.nextafter(limit, np.float32(0)))
    last = np.maximum((low + _box_sizes(parts)).astype(np.float32), np.nextafter(first, np.float32(np.inf)))
    boxes = np.where((parts.labels >= 0)[..., None], np.concatenate([first, last], axis=-1), np.float32(0))
    return replace(parts, boxes=boxes, fingerprint={**parts.fingerprint, "control": dict(control)})
