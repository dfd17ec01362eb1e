"""Which D of an image's K boxes the network reads: the most confident, or the most confident of varied labels.

Scores of different labels are not comparable: where a detector is sure of wheels, its D most confident boxes may be
wheels and lamps alone, and the one sticker that tells two vehicles apart is left out.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes


def selected_slots(labels: NDArray[np.int8], top_d: int, per_label: int | None = None) -> NDArray[np.intp]:
    """Return the slots of the chosen boxes of each image, (N, D), ascending, with -1 behind the last one.

    `labels` (N, K) are those of a part cache: the most confident box first, -1 in empty slots. D is `top_d`, or K if
    that is less. With `per_label` at most so many boxes of a label are chosen, the best of each label first.

    >>> selected_slots(np.array([[3, 3, 3, 5, -1]]), 3), selected_slots(np.array([[3, 3, 3, 5, -1]]), 3, per_label=2)
    (array([[0, 1, 2]]), array([[0, 1, 3]]))
    """
    slots = labels.shape[1]
    better = np.zeros(labels.shape, np.intp)  # boxes of the same label in the image that are more confident
    if per_label is not None:
        for slot in range(slots):
            better[:, slot] = (labels[:, :slot] == labels[:, slot : slot + 1]).sum(axis=1)
    allowed = (labels >= 0) & (better < (slots if per_label is None else per_label))
    turn = np.where(allowed, np.minimum(better, 1), 2)  # the best of each label, the others, the rest
    chosen = np.argsort(turn, axis=1, kind="stable")[:, :top_d]
    chosen = np.sort(np.where(np.take_along_axis(allowed, chosen, axis=1), chosen, slots), axis=1)
    return np.where(chosen < slots, chosen, -1)


def select_parts(parts: PartBoxes, top_d: int, per_label: int | None) -> PartBoxes:
    """Return a cache of the boxes that `selected_slots` chooses, the most confident first.

    Without `per_label` it is `parts` as they are: the most confident boxes are the first D.
    """
    if per_label is None:
        return parts
    return boxes_in_slots(parts, selected_slots(parts.labels, top_d, per_label))


def boxes_in_slots(parts: PartBoxes, slots: NDArray[np.intp]) -> PartBoxes:
    """Return a cache of the boxes in `slots` (N, D) of each image, which end with -1 where there are fewer.

    The status of an image that loses all its boxes changes to that of one without parts.
    """
    present = slots >= 0
    boxes = np.take_along_axis(parts.boxes, slots[..., None], axis=1)
    return replace(
        parts,
        boxes=np.where(present[..., None], boxes, np.float32(0)),
        scores=np.where(present, np.take_along_axis(parts.scores, slots, axis=1), np.float32(0)),
        labels=np.where(present, np.take_along_axis(parts.labels, slots, axis=1), np.int8(-1)),
        status=np.where((parts.status == STATUS_FOUND) & ~present.any(axis=1), STATUS_EMPTY, parts.status),
    )


def label_coverage(parts: PartBoxes, top_d: int, per_label: int | None = None) -> dict[str, float]:
    """Return by part name the share of images with a box of that label among the chosen ones.

    Images that failed do not count.
    """
    slots = selected_slots(parts.labels, top_d, per_label)
    labels = np.where(slots >= 0, np.take_along_axis(parts.labels, slots, axis=1), -1)
    labels = labels[parts.status != STATUS_FAILED]
    return {
        name: float((labels == label).any(axis=1).sum() / max(len(labels), 1))
        for label, name in enumerate(parts.part_names)
    }
