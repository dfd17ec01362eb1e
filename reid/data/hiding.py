"""Parts hidden from a network: their boxes are covered in the pixels of the stored image, before anything else.

A network that reads an image with `hide: [plate]` gets no pixel that the plate's text changes, as far as its box was
found: the covered rectangle also takes in what lens and detector leave beside the box, and whole blocks of a JPEG file,
through which a changed letter spreads.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.config import unknown
from data_cache.parts.cache import PartBoxes
from data_cache.parts.selection import boxes_in_slots, of_named_kinds, select_parts, slots_where, useful_confidence
from reid.data.augmentation import MEAN_PIXEL, Boxes, Pixels
from reid.recipes import ReidRecipe

LEAST_CONFIDENCE = 0.1  # every plate that the shipped detector finds at all on photographs is found above it
MARGIN = 0.5  # of the shorter side of a box, on all sides: blur of the lens, and edges that the detector misses
LEAST_MARGIN = 4  # pixels
BLOCK = 16  # pixels along each side of a JPEG file's blocks with halved colour; the largest of the common ones
SMOOTHING = 1  # pixel by which a decoder spreads the colour of a block over the next
HIDING: dict[str, Any] = {  # in fingerprints: what determines the covered pixels besides the boxes
    "least_confidence": LEAST_CONFIDENCE,
    "margin": [MARGIN, LEAST_MARGIN],
    "block": [BLOCK, SMOOTHING],
    "colour": MEAN_PIXEL.tolist(),
}


def network_parts(parts: PartBoxes, recipe: ReidRecipe) -> PartBoxes:
    """Return the boxes of a part cache that a network reads, the most confident first, with what is hidden from it.

    To PGAN+ labels are kinds of parts, see `of_named_kinds`. Raises UserError if the cache has no such part as the
    recipe hides, or none that PGAN+ knows.
    """
    if recipe.hide:
        parts = hide_parts(parts, recipe.hide)
        if not recipe.uses_parts:
            return boxes_in_slots(parts, np.zeros((len(parts.names), 0), np.intp))
    if recipe.part_crops and recipe.uses_parts:
        parts = of_named_kinds(parts)
    return select_parts(parts, recipe.box_choice)


def hide_parts(parts: PartBoxes, kinds: Sequence[str]) -> PartBoxes:
    """Return a cache without the boxes of some kinds of parts, which are `hidden`, and named in the fingerprint.

    All boxes of a kind are dropped, and those of LEAST_CONFIDENCE or more are hidden, however many there are; if scores
    are not confidences, all of them. Raises UserError for a kind that the cache does not have.
    """
    for kind in kinds:
        if kind not in parts.part_names:
            raise unknown("part", kind, parts.part_names)
    dropped = np.isin(parts.labels, [parts.part_names.index(kind) for kind in kinds])
    least = 0.0 if useful_confidence(parts) is None else LEAST_CONFIDENCE
    covered = dropped & (parts.scores >= least)
    kept = slots_where(~dropped & (parts.labels >= 0))
    hidden = boxes_in_slots(parts, slots_where(covered)[:, : covered.sum(axis=1).max(initial=0)])
    fingerprint = {**parts.fingerprint, "hidden": {"parts": sorted(kinds), **HIDING}}
    return replace(boxes_in_slots(parts, kept), hidden=hidden.boxes, fingerprint=fingerprint)


def hidden_boxes(parts: PartBoxes, names: Sequence[str]) -> Boxes | None:
    """Return the boxes that are hidden in the named images, (M, H, 4) in pixels, 0 for none; None if nothing is."""
    return None if parts.hidden is None else parts.hidden[parts.rows(names)]


def cover(pixels: Pixels, boxes: Boxes) -> Pixels:
    """Return an image (H, W, 3) as stored, with the `covered_region` of each box in the mean colour of ImageNet.

    The colour is that of erasing, 0 once normalised: one taken from the surroundings would differ from image to image.
    """
    covered = pixels.copy()
    for box in boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]:
        rows, columns = covered_region(box, pixels.shape[1], pixels.shape[0])
        covered[rows, columns] = MEAN_PIXEL
    return covered


def covered_region(box: NDArray[np.float32], width: int, height: int) -> tuple[slice, slice]:
    """Return the rows and columns that hide a box, xyxy in pixels of an image of that size.

    The box grows by MARGIN of its shorter side, LEAST_MARGIN at least, then to whole blocks and SMOOTHING beyond.
    """
    margin = max(LEAST_MARGIN, MARGIN * float(min(box[2] - box[0], box[3] - box[1])))
    left, top = (int((value - margin) // BLOCK) * BLOCK - SMOOTHING for value in box[:2].tolist())
    right, bottom = (-int(-(value + margin) // BLOCK) * BLOCK + SMOOTHING for value in box[2:].tolist())
    return slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
