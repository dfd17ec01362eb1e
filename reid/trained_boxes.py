"""Whether part boxes come from the detector whose boxes a network was trained on."""

from collections.abc import Mapping
from typing import Any

from data_cache.errors import UserError
from data_cache.merging import OF_THE_IMAGES
from data_cache.parts import PartBoxes, require_fingerprint
from reid.network import Checkpoint

NOT_THE_DETECTOR = (*OF_THE_IMAGES, "limit", "versions")  # in a fingerprint
REMEDY = "name its own boxes by --parts, or train it on these"


def require_trained_boxes(checkpoint: Checkpoint, parts: PartBoxes) -> None:
    """Raise UserError, with the first difference, where `parts` are another detector's than the network's.

    Other images, and other versions of packages, make no difference; of imported weights nothing is known.
    """
    told = checkpoint.metadata.get("parts")
    if told is None:
        return
    if isinstance(told, Mapping) and "control" in told:
        raise UserError(
            f"{checkpoint.path}: was trained on boxes that the ablation chose; `python cli.py ablate` scores it"
        )
    require_fingerprint(_detector(told), _detector(parts.fingerprint), checkpoint.path, REMEDY)


def _detector(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    return {f"parts.{name}": value for name, value in fingerprint.items() if name not in NOT_THE_DETECTOR}
