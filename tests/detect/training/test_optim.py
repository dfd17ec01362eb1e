"""The detector's learning rate over a whole training: up to the recipe's, and down again, however few its steps are."""

import pytest
import torch

from detect.training.optim import make_optimizer, make_schedules
from helpers.toy.annotations import TINY


def rates(fraction: float, steps: int) -> list[float]:
    """Return the rate of every step, as MMEngine's runner goes through them."""
    recipe = TINY.model_copy(update={"warm_up_fraction": fraction, "learning_rate": 1.0})
    optimizer = make_optimizer(recipe, torch.nn.Linear(2, 2), "cpu")
    schedules = make_schedules(recipe, optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.get_lr()["lr"][0])
        optimizer.optimizer.step()
        for schedule in schedules:
            schedule.step()
    return found


@pytest.mark.parametrize("fraction", [0, 0.01, 0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 3, 24, 30, 200])
def test_the_rate_rises_to_the_recipes_and_falls(fraction: float, steps: int) -> None:
    found = rates(fraction, steps)
    top = found.index(max(found))
    assert max(found) == pytest.approx(1, abs=0.02)
    assert found[:top] == sorted(found[:top]) and found[top:] == sorted(found[top:], reverse=True)
    assert all(rate > 0 for rate in found)
    if steps == 200:
        assert top == pytest.approx(fraction * steps, abs=2) and (fraction > 0.9 or found[-1] < 0.03)
