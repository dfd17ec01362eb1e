"""Optimizer and learning-rate schedule of detector training, as MMEngine objects."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from torch import nn

from data_cache.base.devices import autocast
from detect.recipes import DetectorRecipe

FIRST_RATE = 0.01  # learning rate at the start of the warm-up, as a fraction of the recipe's
LAST_RATE = 0.01  # and at the end of the cosine


class AutocastOptimWrapper(OptimWrapper):  # type: ignore[misc]
    """Computes the loss under `data_cache.base.devices.autocast`; MMEngine's AmpOptimWrapper does not support CPUs."""

    def __init__(self, device: str, **options: Any) -> None:
        super().__init__(**options)
        self.device = device

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast for forward pass and loss."""
        with super().optim_context(model), autocast(self.device):
            yield


def make_optimizer(recipe: DetectorRecipe, network: nn.Module, device: str) -> AutocastOptimWrapper:
    """Return the optimizer of all weights, without weight decay for norms and biases."""
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if recipe.trunk_rate == 1:
        groups = _by_decay([parameter for _, parameter in named])
    else:
        trunk = _by_decay([parameter for name, parameter in named if name.startswith("backbone.")])
        rest = _by_decay([parameter for name, parameter in named if not name.startswith("backbone.")])
        groups = [*rest, *(group | {"lr": recipe.trunk_rate * recipe.learning_rate} for group in trunk)]
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=0.9, **options)
    else:
        optimizer = torch.optim.AdamW(groups, **options)
    return AutocastOptimWrapper(device, optimizer=optimizer, clip_grad={"max_norm": recipe.clip_gradient})


def _by_decay(parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


def make_schedules(recipe: DetectorRecipe, optimizer: AutocastOptimWrapper, steps: int) -> list[Any]:
    """Return a linear warm-up over the first part of `steps`, if that is at least two, and a cosine over the rest."""
    warm_up = min(round(recipe.warm_up_fraction * steps), steps - 1)
    shared = {"optimizer": optimizer, "by_epoch": False}
    schedules: list[Any] = []
    if warm_up > 1:  # MMEngine's LinearLR over one step would stay at its first rate
        schedules.append(LinearLR(start_factor=FIRST_RATE, begin=0, end=warm_up, **shared))
    lowest, begin = LAST_RATE * recipe.learning_rate, warm_up if schedules else 0
    schedules.append(CosineAnnealingLR(eta_min=lowest, begin=begin, end=steps, T_max=steps - begin, **shared))
    return schedules
