"""The learning rate of a whole training rises to the recipe's and decays, for any number of steps."""

import pytest
import torch

from detect.model.ssd import build_network
from detect.recipes import PRESETS
from detect.training.optim import make_optimizer, make_schedules
from helpers.toy.annotations import TINY


def learning_rates(warm_up: float, steps: int) -> list[float]:
    """Return the learning rate of each step, as MMEngine's runner applies them."""
    recipe = TINY.model_copy(update={"warm_up_fraction": warm_up, "learning_rate": 1.0})
    optimizer = make_optimizer(recipe, torch.nn.Linear(2, 2), "cpu")
    schedules = make_schedules(recipe, optimizer, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.get_lr()["lr"][0])
        optimizer.optimizer.step()
        for schedule in schedules:
            schedule.step()
    return rates


@pytest.mark.parametrize("warm_up", [0, 0.01, 0.05, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("steps", [1, 2, 3, 24, 30, 200])
def test_learning_rate_rises_to_the_recipes_and_decays(warm_up: float, steps: int) -> None:
    rates = learning_rates(warm_up, steps)
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1, abs=0.02)
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert all(rate > 0 for rate in rates)
    if steps == 200:
        assert top == pytest.approx(warm_up * steps, abs=2) and (warm_up > 0.9 or rates[-1] < 0.03)


def test_backbone_learns_at_its_own_rate_and_frozen_stages_not_at_all() -> None:
    recipe = PRESETS["ssd320_mobilenetv2"]
    network = build_network(recipe)
    groups = make_optimizer(recipe, network, "cpu").optimizer.param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    frozen = ("backbone.conv1.", "backbone.layer1.", "backbone.layer2.")
    for name, parameter in network.named_parameters():
        trunk = name.startswith("backbone.")
        expected = None if name.startswith(frozen) else recipe.learning_rate * (recipe.trunk_rate if trunk else 1)
        assert rates.get(id(parameter)) == expected, name
    no_decay = [parameter.ndim for group in groups if group["weight_decay"] == 0 for parameter in group["params"]]
    assert set(no_decay) == {1}
