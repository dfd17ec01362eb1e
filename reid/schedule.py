"""The learning rate of an epoch."""

import math

from reid.recipes import ReidRecipe

WARMUP_START = 0.01
HALVING_EPOCHS = 20


def learning_rate(recipe: ReidRecipe, epoch: int) -> float:
    """Return the rate of an epoch, counted from 0: a linear warm-up from 0.01 of it, then halving or a cosine.

    Halving is the paper's: x 0.5 every 20 epochs after the warm-up (the authors' configuration: at 30, 50, ...).
    """
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * (WARMUP_START + (1 - WARMUP_START) * epoch / recipe.warmup_epochs)
    after = epoch - recipe.warmup_epochs
    if recipe.schedule == "cosine":
        share = after / max(1, recipe.epochs - recipe.warmup_epochs)
        return recipe.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
    return recipe.learning_rate * math.pow(0.5, after // HALVING_EPOCHS)
