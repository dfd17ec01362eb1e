"""The weights from which a detector training starts: those of another detector, or only of the backbone."""

import logging
from pathlib import Path

from detect.model import shipped
from detect.model.ssd import build_network
from detect.model.weights import fits
from detect.recipes import DetectorRecipe

log = logging.getLogger(__name__)
NONE = "none"


def chosen_start(start: str | None, recipe: DetectorRecipe) -> Path | None:
    """Return the detector that training starts from, None for the recipe's backbone weights.

    `start` is "shipped", "none" or a weights file. By default it is the shipped detector if that has the tensors of the
    recipe's network, otherwise none; a message says which. Raises UserError if the shipped file is missing or damaged.
    """
    if start == NONE:
        return None
    if start not in (None, shipped.NAME):
        return Path(start)
    weights = shipped.weights()
    if start is None and not fits(weights, build_network(recipe)):
        log.info("not starting from the shipped detector, as the network of this recipe has other tensors")
        return None
    return weights
