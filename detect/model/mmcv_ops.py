"""A replacement for `mmcv._ext`, MMCV's compiled operators, based on torchvision.

The plain install of onedl-mmcv has no compiled operators, and `import mmdet.models` fails without them, although SSD
only needs NMS. A compiled `mmcv._ext` is used if it is installed.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn

from torch import Tensor

MODULE = "mmcv._ext"
REPLACEMENT = "torchvision operators"
COMPILED = "compiled mmcv._ext"


class OperatorMissing(NotImplementedError):
    """The called MMCV operator exists only in the compiled package."""


def supply_operators() -> str:
    """Install the replacement unless `mmcv._ext` is compiled; return `operators_in_use()`.

    Call it before using MMCV; repeated calls change nothing.
    """
    if MODULE not in sys.modules and not _is_compiled():
        module = _Replacement(MODULE)
        module.__spec__ = ModuleSpec(MODULE, loader=None, origin=REPLACEMENT)
        module.__dict__["nms"] = nms
        sys.modules[MODULE] = module
    return operators_in_use()


def operators_in_use() -> str:
    """Return "compiled mmcv._ext" or "torchvision operators", without importing either."""
    if MODULE in sys.modules:
        return REPLACEMENT if isinstance(sys.modules[MODULE], _Replacement) else COMPILED
    return COMPILED if _is_compiled() else REPLACEMENT


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Return the indices (M,) kept by greedy NMS, best first, for `boxes` (N, 4) xyxy and `scores` (N,).

    With `offset` 1, as in old MMCV models, a box from x0 to x1 has the width x1 - x0 + 1.
    """
    from torchvision.ops import nms as torchvision_nms

    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    kept: Tensor = torchvision_nms(boxes.float(), scores.float(), iou_threshold)
    return kept


class _Replacement(ModuleType):
    """A module with every operator name; all but NMS raise OperatorMissing when called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def operator(*_: Any, **__: Any) -> NoReturn:
            raise OperatorMissing(f"{name} is not in the plain install of mmcv (needs the compiled {MODULE})")

        return operator


def _is_compiled() -> bool:
    package = importlib.util.find_spec("mmcv")
    if package is None or package.submodule_search_locations is None:
        return False
    return PathFinder.find_spec(MODULE, package.submodule_search_locations) is not None
