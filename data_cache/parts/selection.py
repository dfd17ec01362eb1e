"""Which D of an image's K boxes the network reads: the most confident, or boxes of more kinds of parts.

Scores of different labels are not comparable: where a detector is sure of wheels, its D most confident boxes may be
wheels and lamps alone, and the one sticker that tells two vehicles apart is left out.
"""

import logging
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError, printable
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes
from data_cache.parts.names import PART_NAMES, VARYING_PARTS

log = logging.getLogger(__name__)

First = Literal["confident", "varying"]
LEAST_SCORE = 0.3  # of a varying part that goes before more confident boxes; below it, half and more are wrong
# Boxes of this confidence or more are counted as parts found: of the shipped detector's boxes between 0.5 and 0.6, most
# are right on each of three test sets, of those between 0.4 and 0.5 on rendered vehicles only (docs/results/parts.md)
USEFUL_CONFIDENCE = 0.5
RANK_ONLY = "rank only"  # the fingerprint's remark on scores that order boxes and say nothing else


@dataclass(frozen=True)
class BoxChoice:
    """How `top_d` boxes of an image are chosen; by default the most confident, as in the paper.

    With `first="varying"` the best box of each of VARYING_PARTS goes before all others, if its score is LEAST_SCORE or
    more. With `per_label` at most so many boxes of a label are chosen, and the best of each label goes before a second.
    """

    top_d: int = 8
    per_label: int | None = None
    first: First = "confident"

    @property
    def is_by_confidence(self) -> bool:
        """Whether the chosen boxes are the first D of the part cache."""
        return self.per_label is None and self.first == "confident"


def useful_boxes(parts: PartBoxes) -> NDArray[np.bool_]:
    """Return which slots hold a box that counts as a part found, (N, K): its confidence is USEFUL_CONFIDENCE or more.

    A detector's cache also keeps boxes that are probably wrong, for networks that weigh them. If scores are not
    confidences, as those of imported masks, every box counts.
    """
    present = parts.labels >= 0
    return present if useful_confidence(parts) is None else present & (parts.scores >= USEFUL_CONFIDENCE)


def useful_confidence(parts: PartBoxes) -> float | None:
    """Return the least confidence of the boxes that are counted, None if scores are not confidences."""
    return None if parts.fingerprint.get("scores") == RANK_ONLY else USEFUL_CONFIDENCE


def selected_slots(parts: PartBoxes, choice: BoxChoice) -> NDArray[np.intp]:
    """Return the slots of the chosen boxes of each image, (N, D), ascending, with -1 behind the last one.

    D is `choice.top_d`, or the number of slots if that is less.
    """
    labels, slots = parts.labels, parts.labels.shape[1]
    better = np.zeros(labels.shape, np.intp)  # boxes of the same label in the image that are more confident
    for slot in range(slots):
        better[:, slot] = (labels[:, :slot] == labels[:, slot : slot + 1]).sum(axis=1)
    allowed = (labels >= 0) & (better < (choice.per_label or slots))
    turn = np.where(allowed, 1, 3)
    if choice.per_label is not None:
        turn += allowed & (better > 0)
    if choice.first == "varying":
        varying = [label for label, name in enumerate(parts.part_names) if name in VARYING_PARTS]
        turn[np.isin(labels, varying) & (better == 0) & (parts.scores >= LEAST_SCORE)] = 0
    chosen = np.argsort(turn, axis=1, kind="stable")[:, : choice.top_d]
    chosen = np.sort(np.where(np.take_along_axis(allowed, chosen, axis=1), chosen, slots), axis=1)
    return np.where(chosen < slots, chosen, -1)


def select_parts(parts: PartBoxes, choice: BoxChoice) -> PartBoxes:
    """Return a cache of the chosen boxes, the most confident first.

    By confidence it is `parts` as they are: the most confident boxes are the first D.
    """
    return parts if choice.is_by_confidence else boxes_in_slots(parts, selected_slots(parts, choice))


def of_named_kinds(parts: PartBoxes) -> PartBoxes:
    """Return a cache whose labels are the numbers of PART_NAMES, for networks to which a label means a kind of part.

    Boxes of other names are left out, and a message tells. Imported caches have names of their own, in any order.
    Raises UserError if no name is known.
    """
    if parts.part_names == PART_NAMES:
        return parts
    known = {name: label for label, name in enumerate(PART_NAMES)}
    other = ", ".join(name for name in parts.part_names if name not in known)
    if parts.part_names and known.keys().isdisjoint(parts.part_names):
        raise UserError(
            f"the boxes are of {printable(other)}, which are no parts that PGAN+ compares ({', '.join(PART_NAMES)}); "
            "rename them and import again, or choose a recipe without part_crops, as pgan"
        )
    if other:
        log.info(f"boxes of {printable(other)} are left out: PGAN+ has no slot for them")
    kinds = np.array([*(known.get(name, -1) for name in parts.part_names), -1], np.int8)  # the last one for no box, -1
    kept = boxes_in_slots(parts, slots_where(kinds[parts.labels] >= 0))
    fingerprint = {**parts.fingerprint, "kinds": "by name"}
    return replace(kept, labels=kinds[kept.labels], part_names=PART_NAMES, fingerprint=fingerprint)


def slots_where(wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the wanted slots (N, K) of each image, ascending, with -1 behind the last one."""
    order = np.argsort(~wanted, axis=1, kind="stable")
    return np.where(np.take_along_axis(wanted, order, axis=1), order, -1)


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


def label_coverage(parts: PartBoxes, choice: BoxChoice) -> dict[str, float]:
    """Return by part name the share of images with a useful box of that label among the chosen ones.

    Images that failed do not count.
    """
    chosen = boxes_in_slots(parts, selected_slots(parts, choice))
    labels = np.where(useful_boxes(chosen), chosen.labels, -1)[parts.status != STATUS_FAILED]
    return {
        name: float((labels == label).any(axis=1).sum() / max(len(labels), 1))
        for label, name in enumerate(parts.part_names)
    }
