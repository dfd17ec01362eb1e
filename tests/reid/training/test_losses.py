"""Batch-hard triplets and eq. 5 against loops in float64, and their edge cases."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from reid.model.pgan import PGANOutput
from reid.training.losses import Criterion, batch_hard_triplet, pairwise_distances

MARGIN = 0.3
LABELS = [[0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 0, 1, 1, 1, 2], [4, 1, 4, 1, 4, 1, 2, 2]]


def literal_triplet(vectors: Tensor, labels: list[int], margin: float) -> Tensor:
    """Mean of max(0, margin + farthest positive - nearest negative) over the anchors that have both, by loops."""
    terms = []
    for anchor, label in enumerate(labels):
        distances = [(vectors[anchor] - vector).square().sum().sqrt() for vector in vectors]
        positives = [distances[other] for other, same in enumerate(labels) if same == label and other != anchor]
        negatives = [distances[other] for other, same in enumerate(labels) if same != label]
        if positives and negatives:
            terms.append(torch.relu(margin + max(positives) - min(negatives)))
    return sum(terms, torch.zeros((), dtype=vectors.dtype)) / max(1, len(terms))


def random_vectors(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def random_output() -> PGANOutput:
    random = torch.Generator().manual_seed(0)
    fusion, global_, part, logits = (torch.randn(8, size, generator=random) for size in (12, 6, 6, 5))
    return PGANOutput(logits, fusion, global_, part, fusion, torch.zeros(8, 2))


def test_distances_are_euclidean() -> None:
    vectors = random_vectors(6, 5)
    distances = pairwise_distances(vectors)
    for first in range(6):
        for second in range(6):
            expected = math.dist(vectors[first].tolist(), vectors[second].tolist())
            assert distances[first, second].item() == pytest.approx(expected, abs=2e-3 if first == second else 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_distances_are_computed_in_float32(dtype: torch.dtype) -> None:
    assert pairwise_distances(random_vectors(3, 5).to(dtype)).dtype == torch.float32


def test_distances_of_vectors_far_from_the_origin_keep_their_precision() -> None:
    """Features before training are close to each other and far from 0, where |a|^2 + |b|^2 - 2ab cancels."""
    spread = random_vectors(8, 512, seed=3) * 0.1
    distances, exact = pairwise_distances(spread + 1), torch.cdist(spread.double(), spread.double())
    others = ~torch.eye(8, dtype=torch.bool)
    assert exact[others].max() < 5 < 20 < (spread + 1).norm(dim=1).min()
    np.testing.assert_allclose(distances[others], exact[others], rtol=1e-4)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("margin", [0.0, MARGIN, 5.0])
def test_triplet_and_its_gradient_are_those_of_the_loop(labels: list[int], margin: float) -> None:
    vectors = random_vectors(8, 6, seed=len(labels)).requires_grad_()
    exact = vectors.detach().double().requires_grad_()
    found, expected = batch_hard_triplet(vectors, torch.tensor(labels), margin), literal_triplet(exact, labels, margin)
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    gradient, exact_gradient = torch.autograd.grad(found, vectors)[0], torch.autograd.grad(expected, exact)[0]
    np.testing.assert_allclose(gradient, exact_gradient, atol=1e-5)


def test_a_worked_triplet() -> None:
    """On a line: 0 and 1 are one vehicle, 1.2 and 4 another."""
    vectors, vehicle = torch.tensor([[0.0], [1.0], [1.2], [4.0]]), torch.tensor([0, 0, 1, 1])
    hinges = [0.3 + 1 - 1.2, 0.3 + 1 - 0.2, 0.3 + 2.8 - 0.2, 0.3 + 2.8 - 3.0]
    assert batch_hard_triplet(vectors, vehicle, MARGIN).item() == pytest.approx(sum(hinges) / 4, abs=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_identical_vectors_cost_the_margin_and_have_a_finite_gradient(scale: float) -> None:
    vectors = (torch.ones(4, 1) * random_vectors(1, 512) * scale).requires_grad_()
    loss = batch_hard_triplet(vectors, torch.tensor([0, 0, 1, 1]), MARGIN)
    loss.backward()
    assert loss.item() == pytest.approx(MARGIN, abs=1e-3)
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


def test_two_identical_vectors_among_others_have_a_finite_gradient() -> None:
    vectors = random_vectors(4, 8)
    vectors[1] = vectors[0]
    vectors.requires_grad_()
    batch_hard_triplet(vectors, torch.tensor([0, 0, 1, 1]), 10.0).backward()
    assert vectors.grad is not None and torch.isfinite(vectors.grad).all() and vectors.grad.abs().sum() > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_makes_the_loss_not_finite(value: float) -> None:
    vectors = random_vectors(4, 8)
    vectors[1, 2] = value
    assert not torch.isfinite(batch_hard_triplet(vectors, torch.tensor([0, 0, 1, 1]), 0.3))


@pytest.mark.parametrize("labels", [[7] * 6, list(range(6)), [3]])
def test_without_positives_or_negatives_loss_and_gradient_are_0(labels: list[int]) -> None:
    vectors = random_vectors(len(labels), 4).requires_grad_()
    loss = batch_hard_triplet(vectors, torch.tensor(labels), MARGIN)
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None and (vectors.grad == 0).all()


def test_autocast_does_not_change_the_triplet() -> None:
    vectors, vehicle = random_vectors(8, 64), torch.tensor(LABELS[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = batch_hard_triplet(vectors, vehicle, MARGIN)
    assert torch.equal(found, batch_hard_triplet(vectors, vehicle, MARGIN))


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("triplets", [(), ("fusion",), ("fusion", "part"), ("fusion", "global", "part")])
def test_the_loss_is_eq_5(weight: float, triplets: tuple[str, ...]) -> None:
    output, vehicle = random_output(), torch.tensor([0, 0, 1, 1, 2, 2, 4, 4])
    terms = Criterion(weight, MARGIN, triplets)(output, vehicle)
    assert set(terms) == {"loss", "identity", *triplets}
    logits = output.logits.double().numpy()
    probability = np.exp(logits)[np.arange(8), vehicle] / np.exp(logits).sum(axis=1)
    assert terms["identity"].item() == pytest.approx(-np.log(probability).mean(), abs=1e-6)
    for name in triplets:
        vectors = {"fusion": output.fusion, "global": output.global_, "part": output.part}[name]
        assert vectors is not None
        expected = literal_triplet(vectors.double(), vehicle.tolist(), MARGIN).item()
        assert terms[name].item() == pytest.approx(expected, abs=1e-5)
    total = weight * terms["identity"].item() + sum(terms[name].item() for name in triplets)
    assert terms["loss"].item() == pytest.approx(total, abs=1e-5)


def test_the_baseline_has_only_the_terms_of_its_branch() -> None:
    output = random_output()._replace(global_=None, part=None)
    terms = Criterion()(output, torch.tensor([0, 0, 1, 1, 2, 2, 4, 4]))
    assert set(terms) == {"loss", "identity", "fusion"}
