"""A stand-in for `mmcv._ext`, the compiled operators of MMCV, made of torchvision's.

The plain install of onedl-mmcv has no compiled operators, and `import mmdet.models` fails without them although SSD
needs one alone: NMS. A compiled `mmcv._ext` is used where there is one.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from torch import Tensor

MODULE = "mmcv._ext"
STAND_IN = "torchvision operators"
COMPILED = "compiled mmcv._ext"


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Return the indices (M,) that greedy NMS keeps, best first, for `boxes` (N, 4) xyxy and `scores` (N,).

    `offset` 1 is the old convention in which a box from x0 to x1 is x1 - x0 + 1 wide, as in MMCV.
    """
    from torchvision.ops import nms as torchvision_nms

    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    kept: Tensor = torchvision_nms(boxes.float(), scores.float(), iou_threshold)
    return kept


class OperatorMissing(NotImplementedError):
    """An operator of MMCV was called that only the compiled package has."""


def _raising(name: str) -> Callable[..., NoReturn]:
    def operator(*_: Any, **__: Any) -> NoReturn:
        raise OperatorMissing(f"{name} is not in the plain install of mmcv (needs the compiled {MODULE})")

    operator.__name__ = name
    return operator


class _StandIn(ModuleType):
    """A module in which every name is an operator; those that torchvision lacks raise when they are called."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _raising(name)


def supply_operators() -> str:
    """Put the stand-in in place unless `mmcv._ext` was compiled; return what is in use.

    To be called before anything of MMCV is used; doing it again changes nothing.
    """
    if MODULE not in sys.modules and not _is_compiled():
        module = _StandIn(MODULE)
        module.__spec__ = ModuleSpec(MODULE, loader=None, origin=STAND_IN)
        module.__dict__["nms"] = nms
        sys.modules[MODULE] = module
    return operators_in_use()


def operators_in_use() -> str:
    """Return "compiled mmcv._ext" or "torchvision operators"; imports no operator."""
    if MODULE in sys.modules:
        return STAND_IN if isinstance(sys.modules[MODULE], _StandIn) else COMPILED
    return COMPILED if _is_compiled() else STAND_IN


def _is_compiled() -> bool:
    package = importlib.util.find_spec("mmcv")
    if package is None or package.submodule_search_locations is None:
        return False
    from importlib.machinery import PathFinder

    return PathFinder.find_spec(MODULE, package.submodule_search_locations) is not None
