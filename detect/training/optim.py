"""Optimiser and learning-rate schedule of a detector's training, in MMEngine's form."""

from typing import Any

import torch
from mmengine.optim import CosineAnnealingLR, LinearLR
from torch import nn

from detect.recipes import DetectorRecipe
from detect.training.runner import AutocastOptimWrapper

FIRST_RATE = 0.01  # of the learning rate, where the warm-up begins
LAST_RATE = 0.01  # of it, where the cosine ends


def make_optimizer(recipe: DetectorRecipe, network: nn.Module, device: str) -> AutocastOptimWrapper:
    """Return the optimizer of all weights; norms and biases are not decayed."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, momentum=0.9, **options)
    else:
        optimizer = torch.optim.AdamW(groups, **options)
    return AutocastOptimWrapper(device, optimizer=optimizer, clip_grad={"max_norm": recipe.clip_gradient})


def make_schedules(recipe: DetectorRecipe, optimizer: AutocastOptimWrapper, steps: int) -> list[Any]:
    """Return a linear warm-up over the first part of `steps`, where that is two or more, and a cosine over the rest."""
    warm_up = min(round(recipe.warm_up_fraction * steps), steps - 1)
    shared = {"optimizer": optimizer, "by_epoch": False}
    schedules: list[Any] = []
    if warm_up > 1:  # MMEngine's, of one step, would stay at its first rate
        schedules.append(LinearLR(start_factor=FIRST_RATE, begin=0, end=warm_up, **shared))
    lowest, begin = LAST_RATE * recipe.learning_rate, warm_up if schedules else 0
    schedules.append(CosineAnnealingLR(eta_min=lowest, begin=begin, end=steps, T_max=steps - begin, **shared))
    return schedules
