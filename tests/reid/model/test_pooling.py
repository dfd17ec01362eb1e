"""GeM pooling against its definition cell by cell, and what the option changes in the network."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.toy.vehicles import TINY
from reid.model.checkpoint import build_network
from reid.model.pgan import GeneralisedMean, Refine, global_average_pool

GEM = TINY.model_copy(update={"pooling": "gem"})


def pool(exponent: float) -> GeneralisedMean:
    """GeM with a given exponent, in float64."""
    layer = GeneralisedMean().double()
    layer.p.data.fill_(exponent)
    return layer


def random_map(seed: int = 0) -> Tensor:
    return torch.randn(3, 5, 4, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive(x: Tensor, p: float) -> list[list[float]]:
    """The generalised mean of each channel, of its positive cells less that of its negative ones."""
    found = []
    for image in x.tolist():
        found.append([])
        for channel in image:
            cells = [cell for row in channel for cell in row]
            up = sum(cell**p for cell in cells if cell > 0) / len(cells)
            down = sum((-cell) ** p for cell in cells if cell < 0) / len(cells)
            found[-1].append(up ** (1 / p) - down ** (1 / p))
    return found


@pytest.mark.parametrize("exponent", [1.0, 1.5, 3.0, 8.0])
def test_pooling_is_the_generalised_mean(exponent: float) -> None:
    for x in (random_map(), random_map(1).relu()):
        with torch.no_grad():
            np.testing.assert_allclose(pool(exponent)(x).numpy(), naive(x, exponent), rtol=1e-10, atol=1e-12)


def test_a_worked_example() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]]]], dtype=torch.float64)
    with torch.no_grad():
        assert pool(3)(x).item() == pytest.approx(9 ** (1 / 3))  # (1 + 8 + 27 + 0) / 4 = 9
        assert pool(3)(-x).item() == pytest.approx(-(9 ** (1 / 3)))


def test_order_1_is_the_average_and_a_high_order_the_largest_value() -> None:
    x = random_map()
    with torch.no_grad():
        torch.testing.assert_close(pool(1)(x), x.mean(dim=(2, 3)))
        torch.testing.assert_close(pool(0.2)(x), x.mean(dim=(2, 3)))  # no order below 1
        torch.testing.assert_close(pool(5000)(x.relu()), x.relu().amax(dim=(2, 3)), rtol=1e-3, atol=0)


def test_it_grows_with_the_exponent_and_in_proportion_to_the_map() -> None:
    x = random_map().abs()
    with torch.no_grad():
        pooled = [pool(exponent)(x) for exponent in (1, 2, 3, 5)]
        assert all((low < high).all() for low, high in pairwise(pooled))
        for factor in (1e-9, 1e9):
            torch.testing.assert_close(pool(3)(factor * x), factor * pooled[2])


def test_gradients_are_those_of_finite_differences() -> None:
    layer, x = pool(2.5), random_map().requires_grad_()
    assert torch.autograd.gradcheck(lambda values, p: torch.func.functional_call(layer, {"p": p}, values), (x, layer.p))


@pytest.mark.parametrize("exponent", [1.0, 3.0, 60.0])
@pytest.mark.parametrize("values", ["zero", "one sign", "huge", "tiny", "one cell"])
def test_output_and_gradients_stay_finite_under_bfloat16(exponent: float, values: str) -> None:
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    x = {"zero": 0 * x, "one sign": -x.abs(), "huge": 1e30 * x, "tiny": 1e-30 * x, "one cell": x[:, :, :1, :1]}[values]
    x = x.bfloat16().requires_grad_()
    layer = GeneralisedMean()
    layer.p.data.fill_(exponent)
    with torch.autocast("cpu", torch.bfloat16):
        pooled = layer(x)
    pooled.float().sum().backward()
    assert pooled.dtype == torch.bfloat16 and pooled.shape == (2, 3)
    assert all(found.isfinite().all() for found in (pooled, x.grad, layer.p.grad))
    assert pooled.any() or values in ("zero", "tiny")


def test_the_refine_block_pools_the_same_map() -> None:
    torch.manual_seed(0)
    refine, x = Refine(16, 8, "gem").eval(), torch.randn(2, 16, 3, 5)
    with torch.no_grad():
        refined = refine[1](refine[0](x.clone()))
        assert torch.equal(refine(x.clone()), GeneralisedMean()(refined))
        refine[2].p.fill_(1)
        torch.testing.assert_close(refine(x.clone()), global_average_pool(refined))


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("attention", ["parts", "none"])
def test_the_option_adds_one_exponent_per_vector_and_no_other_weight_changes(attention: str) -> None:
    recipes = [recipe.model_copy(update={"attention": attention}) for recipe in (TINY, GEM)]
    average, gem = (build_network(recipe, 8).state_dict() for recipe in recipes)
    vectors = ["fusion"] if attention == "none" else ["fusion", "global", "part"]
    assert set(gem) - set(average) == {f"refine_{vector}.2.p" for vector in vectors}
    assert all(torch.equal(gem[name], value) for name, value in average.items())
    assert all(gem[name].tolist() == [3] for name in set(gem) - set(average))
