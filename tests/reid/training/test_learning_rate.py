"""The learning rate by worked examples: the paper's halving, and the cosine of the small recipes."""

import pytest

from reid.recipes import PRESETS, ReidRecipe
from reid.training.loop import learning_rate

PAPER = 1.75e-4
EXAMPLES = {
    0: 0.01,
    1: 0.109,
    5: 0.505,
    9: 0.901,
    10: 1,
    29: 1,
    30: 1 / 2,
    49: 1 / 2,
    50: 1 / 4,
    70: 1 / 8,
    129: 1 / 32,
}


@pytest.mark.parametrize(("epoch", "share"), EXAMPLES.items())
def test_the_schedule_of_the_paper(epoch: int, share: float) -> None:
    assert learning_rate(PRESETS["pgan"], epoch) == pytest.approx(PAPER * share)


def test_without_warm_up_the_first_epoch_has_the_full_rate() -> None:
    recipe = ReidRecipe(warmup_epochs=0)
    assert [learning_rate(recipe, epoch) for epoch in (0, 19, 20)] == pytest.approx([PAPER, PAPER, PAPER / 2])


def test_the_cosine_falls_from_the_full_rate_to_a_hundredth() -> None:
    recipe = ReidRecipe(schedule="cosine", epochs=60, warmup_epochs=10, learning_rate=1.0)
    assert [learning_rate(recipe, epoch) for epoch in (0, 10, 35, 60)] == pytest.approx([0.01, 1, 0.505, 0.01])
    rates = [learning_rate(recipe, epoch) for epoch in range(10, 60)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", ["halving", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_a_warm_up_longer_than_the_training_keeps_the_rate_positive(schedule: str, warmup: int) -> None:
    recipe = ReidRecipe(schedule=schedule, epochs=3, warmup_epochs=warmup)
    assert all(0 < learning_rate(recipe, epoch) <= PAPER for epoch in range(3))
