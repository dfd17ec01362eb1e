"""Controls for what part boxes are worth: those of the ground truth, others at random, and the detector's moved away.

Each is a part cache whose fingerprint tells what was done, so that what was learned from one is never taken for what
was learned from another.
"""

from collections.abc import Mapping
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
TRUTH = ("parts_train.json", "parts_test.json")  # COCO, as the renderer of synthetic vehicles writes them
PLACES = 64  # K: the most parts that a recipe can ask for
SHIFT = 0.25  # of the image's width and height


def random_boxes(parts: PartBoxes, *, seed: int) -> PartBoxes:
    """Return as many boxes in every image, of the same sizes, each placed anywhere in the image; scores are kept.

    The same parts and seed give the same boxes, every time an image is read.
    """
    random = np.random.default_rng(seed)
    room = _limits(parts) - _sizes(parts)
    return _moved(parts, random.random(room.shape) * room, {"boxes": "random", "seed": seed})


def shifted_boxes(parts: PartBoxes) -> PartBoxes:
    """Return the same boxes a quarter of the image to the right and down: sizes, scores and layout are kept.

    Along an axis where a box would leave the image it moves as far to the other side; a box longer than half the image
    that fits neither way goes to the end of the axis that is farther away.
    """
    low, room = parts.boxes[..., :2].astype(np.float64), _limits(parts) - _sizes(parts)
    step = SHIFT * _limits(parts)
    farther = np.where(low < room / 2, room, 0.0)
    moved = np.where(low + step <= room, low + step, np.where(low >= step, low - step, farther))
    return _moved(parts, moved, {"boxes": "shifted", "by": SHIFT})


def has_truth(dataset: Dataset) -> bool:
    """Whether the true boxes of a data set lie in its root, as `cli.py synth` writes them."""
    return all((dataset.root / name).is_file() for name in TRUTH)


def true_boxes(dataset: Dataset) -> PartBoxes:
    """Return the boxes of the ground truth, the largest of an image first; all are certain, so sizes decide which D.

    Raises UserError where the files in the data set's root are missing or damaged, or leave an image out.
    """
    pieces = [import_coco(dataset.root / name, dataset=None, top_k=PLACES).parts for name in TRUTH]
    joined = _joined(pieces, {"control": {"boxes": "truth"}, "files": [dict(piece.fingerprint) for piece in pieces]})
    missing, _ = differing_names(joined.names, dataset)
    if missing:
        raise UserError(
            f"{dataset.root}: {' and '.join(TRUTH)} leave out {len(missing)} images of {dataset.name}, "
            f"first {missing[0]}; add them there, without boxes where they have no part"
        )
    return _largest_first(joined)


def rarest_boxes(dataset: Dataset) -> PartBoxes:
    """Return the boxes of the ground truth, those of the rarest kinds of part first, of a kind the largest.

    How rare a kind is, its boxes in the training images tell. What few vehicles have tells them apart best. Raises
    UserError as `true_boxes`.
    """
    parts = true_boxes(dataset)
    trained = set(dataset.table["name"][dataset.table["split"] == "train"])
    labels = parts.labels[[name in trained for name in parts.names]]
    boxes_of_kind = np.bincount(labels[labels >= 0], minlength=len(parts.part_names))
    order = np.lexsort((boxes_of_kind[parts.labels], parts.labels < 0), axis=-1)  # stable: the largest stay first
    fingerprint = {**parts.fingerprint, "control": {"boxes": "rarest"}}
    return replace(_ordered(parts, order), fingerprint=fingerprint)


def _joined(pieces: list[PartBoxes], fingerprint: Mapping[str, Any]) -> PartBoxes:
    """Return one cache of images that lie in no order over the pieces."""
    if len({piece.part_names for piece in pieces}) > 1:
        raise UserError(f"{' and '.join(TRUTH)}: their categories differ")
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


def _largest_first(parts: PartBoxes) -> PartBoxes:
    area = _sizes(parts).prod(axis=-1)  # 0 where a place is empty, whose score is 0 too: it stays behind
    return _ordered(parts, np.lexsort((-area, -parts.scores), axis=-1))


def _ordered(parts: PartBoxes, order: NDArray[np.intp]) -> PartBoxes:
    """Return the boxes of each image in the order of `order`, (N, K)."""
    return replace(
        parts,
        boxes=np.take_along_axis(parts.boxes, order[..., None], axis=1),
        scores=np.take_along_axis(parts.scores, order, axis=1),
        labels=np.take_along_axis(parts.labels, order, axis=1),
    )


def _limits(parts: PartBoxes) -> NDArray[np.float64]:
    """Return width and height of each image, (N, 1, 2)."""
    return parts.image_size.astype(np.float64)[:, None, :]


def _sizes(parts: PartBoxes) -> NDArray[np.float64]:
    """Return width and height of each box, (N, K, 2)."""
    corners = parts.boxes.astype(np.float64)
    return np.asarray(corners[..., 2:] - corners[..., :2])


def _moved(parts: PartBoxes, low: NDArray[np.float64], told: Mapping[str, Any]) -> PartBoxes:
    """Return the boxes with their upper left corners at `low` (N, K, 2), sizes kept as far as float32 can."""
    limit = np.broadcast_to(_limits(parts), low.shape).astype(np.float32)
    # a box smaller than float32 can tell apart out there keeps an area nevertheless, and stays inside
    first = np.minimum(low.astype(np.float32), np.nextafter(limit, np.float32(0)))
    last = np.maximum((low + _sizes(parts)).astype(np.float32), np.nextafter(first, np.float32(np.inf)))
    boxes = np.where((parts.labels >= 0)[..., None], np.concatenate([first, last], axis=-1), np.float32(0))
    return replace(parts, boxes=boxes, fingerprint={**parts.fingerprint, "control": dict(told)})
