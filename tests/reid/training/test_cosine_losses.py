"""Circle loss, ArcFace and label smoothing against loops in float64, their limits and their edge cases."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from reid.model.backbones import Backbone
from reid.model.pgan import PGAN, PGANOutput
from reid.recipes import ReidRecipe
from reid.training.losses import Criterion, Margin, Objective, arcface_logits, batch_hard_triplet, circle_loss
from reid.training.state import start_state

MARGIN, SCALE = 0.25, 64.0
LABELS = [[0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 0, 1, 1, 1, 2], [4, 1, 4, 1, 4, 1, 2, 2]]


def random_vectors(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def cosine(one: Tensor, other: Tensor) -> float:
    return float(one @ other / one.norm() / other.norm())


def literal_circle(vectors: Tensor, labels: list[int], margin: float, scale: float) -> tuple[float, Tensor]:
    """Eq. 6 of the paper by loops, and its eq. 10: the derivatives by the cosine of each anchor (row) to each other."""
    losses, slopes = [], torch.zeros(len(labels), len(labels), dtype=torch.float64)
    for anchor, label in enumerate(labels):
        cosines = [cosine(vectors[anchor], vector) for vector in vectors]
        positives = [other for other, same in enumerate(labels) if same == label and other != anchor]
        negatives = [other for other, same in enumerate(labels) if same != label]
        if not positives or not negatives:
            continue
        weight = {p: max(0.0, 1 + margin - cosines[p]) for p in positives}
        weight |= {n: max(0.0, cosines[n] + margin) for n in negatives}
        near = {n: math.exp(scale * weight[n] * (cosines[n] - margin)) for n in negatives}
        far = {p: math.exp(-scale * weight[p] * (cosines[p] - (1 - margin))) for p in positives}
        losses.append(math.log1p(sum(near.values()) * sum(far.values())))
        outer = 1 - math.exp(-losses[-1])  # Z in the paper
        for n in negatives:
            slopes[anchor, n] = outer * near[n] / sum(near.values()) * scale * weight[n]
        for p in positives:
            slopes[anchor, p] = -outer * far[p] / sum(far.values()) * scale * weight[p]
    return sum(losses) / max(1, len(losses)), slopes / max(1, len(losses))


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(("margin", "scale"), [(0.0, 1.0), (MARGIN, SCALE), (0.4, 96.0)])
def test_the_circle_loss_and_its_gradient_are_those_of_the_paper(
    labels: list[int], margin: float, scale: float
) -> None:
    vectors = (3 * random_vectors(8, 6, seed=len(labels))).requires_grad_()
    exact = vectors.detach().double().requires_grad_()
    found = circle_loss(vectors, torch.tensor(labels), margin, scale)
    expected, slopes = literal_circle(exact.detach(), labels, margin, scale)
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    unit = exact / exact.norm(dim=1, keepdim=True)
    (gradient,) = torch.autograd.grad((slopes * (unit @ unit.T)).sum(), exact)  # slopes are constants here
    np.testing.assert_allclose(torch.autograd.grad(found, vectors)[0], gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("positive", "negative"), [(1 - MARGIN, MARGIN), (1.0, MARGIN * math.sqrt(2)), (0.8, 0.29155)])
@pytest.mark.parametrize("scale", [1.0, SCALE, 512.0])
def test_on_the_circle_of_the_paper_the_loss_is_log_2(positive: float, negative: float, scale: float) -> None:
    """Its decision boundary is the circle s_n^2 + (1 - s_p)^2 = 2 m^2; the third vector has no positive."""
    assert negative**2 + (1 - positive) ** 2 == pytest.approx(2 * MARGIN**2, abs=1e-5)
    angle, height = math.acos(positive) / 2, math.sqrt(1 - (negative / math.cos(math.acos(positive) / 2)) ** 2)
    pair = [[math.cos(angle), sign * math.sin(angle), 0.0] for sign in (-1, 1)]
    vectors = torch.tensor([*pair, [negative / math.cos(angle), 0.0, height]])
    loss = circle_loss(vectors, torch.tensor([0, 0, 1]), MARGIN, scale)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-5 * scale)


def test_with_margin_0_the_circle_loss_has_the_squares_of_what_is_missing() -> None:
    vectors, vehicle = random_vectors(8, 6), torch.tensor(LABELS[0])
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    cosines = (unit @ unit.T).double()
    terms = []
    for anchor in range(8):
        near = sum(math.exp(10 * max(0.0, float(cosines[anchor, n])) ** 2) for n in range(8) if n // 2 != anchor // 2)
        terms.append(math.log1p(near * math.exp(10 * (1 - float(cosines[anchor, anchor ^ 1])) ** 2)))
    assert circle_loss(vectors, vehicle, 0.0, 10.0).item() == pytest.approx(sum(terms) / 8, rel=1e-5)


@pytest.mark.parametrize("labels", [[7] * 6, list(range(6)), [3]])
def test_without_positives_or_negatives_circle_loss_and_gradient_are_0(labels: list[int]) -> None:
    vectors = random_vectors(len(labels), 4).requires_grad_()
    loss = circle_loss(vectors, torch.tensor(labels), MARGIN, SCALE)
    loss.backward()
    assert loss.item() == 0
    assert vectors.grad is not None and (vectors.grad == 0).all()


def test_anchors_without_a_positive_do_not_count_in_the_mean_but_are_negatives() -> None:
    vectors, vehicle = random_vectors(3, 4), torch.tensor([0, 0, 1])
    pairs = [literal_circle(vectors.double(), [0, 0, 1], MARGIN, SCALE)[0]]
    assert circle_loss(vectors, vehicle, MARGIN, SCALE).item() == pytest.approx(pairs[0], rel=1e-5)
    nearer = torch.stack([vectors[0], vectors[1], vectors[0]])
    assert circle_loss(nearer, vehicle, MARGIN, SCALE) > circle_loss(vectors, vehicle, MARGIN, SCALE)


def test_neither_length_nor_order_of_the_vectors_matters_to_the_circle_loss() -> None:
    vectors, vehicle = random_vectors(8, 6), torch.tensor(LABELS[1])
    expected = circle_loss(vectors, vehicle, MARGIN, SCALE)
    lengths, order = torch.linspace(0.1, 50, 8)[:, None], torch.randperm(8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(circle_loss(vectors * lengths, vehicle, MARGIN, SCALE), expected)
    torch.testing.assert_close(circle_loss(vectors[order], vehicle[order], MARGIN, SCALE), expected)


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_identical_and_opposite_vectors_have_a_finite_gradient(scale: float) -> None:
    for signs in ([1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]):
        vectors = (torch.tensor(signs)[:, None] * random_vectors(1, 512) * scale).requires_grad_()
        loss = circle_loss(vectors, torch.tensor([0, 0, 1, 1]), 0.4, 256.0)
        loss.backward()
        assert torch.isfinite(loss) and loss > 0
        assert vectors.grad is not None and torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_makes_the_circle_loss_not_finite(value: float) -> None:
    vectors = random_vectors(4, 8)
    vectors[1, 2] = value
    assert not torch.isfinite(circle_loss(vectors, torch.tensor([0, 0, 1, 1]), MARGIN, SCALE))


def test_autocast_does_not_change_the_circle_loss() -> None:
    vectors, vehicle = random_vectors(8, 64), torch.tensor(LABELS[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = circle_loss(vectors, vehicle, MARGIN, SCALE)
    assert torch.equal(found, circle_loss(vectors, vehicle, MARGIN, SCALE))


# ArcFace


def literal_arcface(cosines: Tensor, labels: list[int], margin: float, scale: float) -> Tensor:
    """Eq. 3 of the paper by loops; the margin is added to the angle itself."""
    terms = []
    for row, label in zip(cosines, labels, strict=True):
        own = torch.exp(scale * torch.cos(torch.acos(row[label]) + margin))
        others = [torch.exp(scale * value) for number, value in enumerate(row) if number != label]
        terms.append(-torch.log(own / (own + sum(others))))
    return sum(terms, torch.zeros((), dtype=cosines.dtype)) / len(terms)


def arcface(cosines: Tensor, labels: list[int], margin: float, scale: float) -> Tensor:
    """The identity term of the criterion."""
    vector = cosines.new_zeros(len(labels), 2)
    output = PGANOutput(cosines, vector, None, None, vector, vector)
    return Criterion(1.0, 0.3, (), arc=Margin(margin, scale))(output, torch.tensor(labels))["identity"]


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_arcface_and_its_gradient_are_those_of_the_loop(margin: float, scale: float) -> None:
    cosines = torch.empty(6, 5).uniform_(-0.5, 0.99, generator=torch.Generator().manual_seed(0)).requires_grad_()
    exact, labels = cosines.detach().double().requires_grad_(), [0, 0, 3, 1, 4, 4]
    found, expected = arcface(cosines, labels, margin, scale), literal_arcface(exact, labels, margin, scale)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    gradient, exact_gradient = torch.autograd.grad(found, cosines)[0], torch.autograd.grad(expected, exact)[0]
    np.testing.assert_allclose(gradient, exact_gradient, rtol=1e-4, atol=1e-5)


def test_arcface_with_margin_0_is_the_softmax_of_scaled_cosines() -> None:
    cosines = torch.empty(6, 5).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(arcface_logits(cosines, torch.tensor([0, 0, 3, 1, 4, 4]), 0.0, 16.0), 16 * cosines)


@pytest.mark.parametrize("margin", [0.05, 0.5, 1.0])
def test_a_larger_angle_never_has_a_larger_logit(margin: float) -> None:
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    logits = arcface_logits(angles.cos()[:, None], torch.zeros(2001, dtype=torch.long), margin, 1.0)[:, 0]
    steps = logits.diff()
    assert (steps < 0).all() and steps.abs().max() < 2 * math.pi / 2000  # no jump either
    before = angles < math.pi - margin
    torch.testing.assert_close(logits[before], (angles[before] + margin).cos(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("own", [1.0, -1.0, 1.0 + 2e-7, -1.0 - 2e-7])
def test_the_gradient_is_finite_at_the_ends_of_the_cosine(own: float) -> None:
    cosines = torch.tensor([[own, 0.5]], requires_grad=True)
    arcface(cosines, [0], 0.1, 30.0).backward()
    assert cosines.grad is not None and torch.isfinite(cosines.grad).all()


def test_a_margin_costs_and_only_the_own_class_has_it() -> None:
    cosines, vehicle = torch.tensor([[0.7, 0.2, -0.1]]), torch.tensor([1])
    found = arcface_logits(cosines, vehicle, 0.1, 10.0)
    assert found[0, 0] == 7 and found[0, 2] == -1 and found[0, 1] < 2
    losses = [arcface(cosines, [1], margin, 10.0).item() for margin in (0.0, 0.05, 0.1, 0.3)]
    assert losses == sorted(losses) and len(set(losses)) == 4


def tiny_network(cosine_logits: bool, vehicles: int = 5) -> PGAN:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 16, stride=16), torch.nn.ReLU())
    return PGAN(Backbone(layers, 16), vehicles=vehicles, attention="parts", features=16, cosine_logits=cosine_logits)


def batch(count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    boxes = torch.tensor([[[0.1, 0.1, 0.6, 0.5], [0.4, 0.2, 0.9, 0.8]]]).repeat(count, 1, 1)
    return torch.randn(count, 3, 64, 64, generator=random), boxes, torch.ones(count, 2, dtype=torch.bool)


def test_the_networks_logits_are_cosines_to_the_class_weights_and_nothing_else_differs() -> None:
    plain, network = tiny_network(False).eval(), tiny_network(True).eval()
    assert list(plain.state_dict()) == list(network.state_dict())
    with torch.no_grad():
        one, other = plain(*batch()), network(*batch())
        for name in ("fusion", "global_", "part", "feature", "attention"):
            assert torch.equal(getattr(one, name), getattr(other, name))
        for image, feature in enumerate(one.feature):
            for vehicle, weight in enumerate(plain.classifier.weight):
                assert other.logits[image, vehicle].item() == pytest.approx(cosine(feature, weight), abs=1e-6)
        network.classifier.weight.mul_(torch.tensor([0.1, 3, 1, 7, 50])[:, None])
        torch.testing.assert_close(network(*batch()).logits, other.logits)


def test_autocast_does_not_round_the_cosines() -> None:
    network = tiny_network(True).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(*batch())
    assert output.logits.dtype == torch.float32
    expected = torch.nn.functional.cosine_similarity(
        output.feature.double()[:, None], network.classifier.weight.double()[None], dim=2
    )
    np.testing.assert_allclose(output.logits, expected.detach(), atol=1e-6)


@pytest.mark.parametrize("vehicle", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_a_batch_of_one_vehicle_or_without_positives_trains_by_its_identity_alone(vehicle: list[int]) -> None:
    criterion = Criterion(label_smoothing=0.1, arc=Margin(0.1, 30.0), circle=Margin(MARGIN, SCALE))
    objective = Objective(tiny_network(True), criterion)
    terms = objective(*batch(), torch.tensor(vehicle))
    terms["loss"].backward()
    assert [terms[name].item() for name in ("fusion", "global", "part")] == [0, 0, 0]
    assert terms["loss"].item() == pytest.approx(2 * terms["identity"].item()) and terms["identity"] > 0
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_a_classifier_of_a_single_vehicle_costs_nothing() -> None:
    objective = Objective(tiny_network(True, vehicles=1), Criterion(arc=Margin(0.1, 30.0)))
    terms = objective(*batch(), torch.zeros(4, dtype=torch.long))
    terms["loss"].backward()
    assert terms["identity"].item() == 0


# Label smoothing, and the terms together


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("arc", [None, Margin(0.1, 10.0)])
def test_label_smoothing_gives_a_share_of_the_target_to_all_classes(share: float, arc: Margin | None) -> None:
    logits = torch.empty(4, 5).uniform_(-0.9, 0.9, generator=torch.Generator().manual_seed(0))
    output = PGANOutput(logits, logits, None, None, logits, logits)
    labels = [0, 3, 3, 1]
    found = Criterion(1.0, 0.3, (), label_smoothing=share, arc=arc)(output, torch.tensor(labels))["identity"]
    rows = (logits if arc is None else arcface_logits(logits, torch.tensor(labels), *arc)).double().tolist()
    total = 0.0
    for row, label in zip(rows, labels, strict=True):
        log_sum = math.log(sum(math.exp(value) for value in row))
        for number, value in enumerate(row):
            total -= ((1 - share) * (number == label) + share / 5) * (value - log_sum)
    assert found.item() == pytest.approx(total / 4, rel=1e-5)


def test_unused_options_leave_the_bits_of_the_loss() -> None:
    logits = random_vectors(8, 5).requires_grad_()
    vehicle = torch.tensor([0, 0, 1, 1, 2, 2, 4, 4])
    vectors = random_vectors(8, 6, seed=1)
    terms = Criterion(triplets=("fusion",))(PGANOutput(logits, vectors, None, None, vectors, vectors), vehicle)
    expected = torch.nn.functional.cross_entropy(logits, vehicle)
    assert torch.equal(terms["identity"], expected) and torch.equal(
        terms["fusion"], batch_hard_triplet(vectors, vehicle, 0.3)
    )
    (found,), (gradient,) = torch.autograd.grad(terms["identity"], logits), torch.autograd.grad(expected, logits)
    assert torch.equal(found, gradient)


@pytest.mark.parametrize("names", [("fusion",), ("fusion", "part"), ("fusion", "global", "part")])
def test_the_circle_loss_takes_the_place_of_the_triplets(names: tuple[str, ...]) -> None:
    vectors = {name: random_vectors(8, 6, seed) for seed, name in enumerate(("fusion", "global", "part"))}
    logits, vehicle = random_vectors(8, 5, seed=9), torch.tensor([0, 0, 1, 1, 2, 2, 4, 4])
    output = PGANOutput(logits, *vectors.values(), vectors["fusion"], logits)
    terms = Criterion(2.0, 0.3, names, circle=Margin(MARGIN, SCALE))(output, vehicle)
    assert set(terms) == {"loss", "identity", *names}
    for name in names:
        expected, _ = literal_circle(vectors[name].double(), vehicle.tolist(), MARGIN, SCALE)
        assert terms[name].item() == pytest.approx(expected, rel=1e-4)
    total = 2 * terms["identity"] + sum(terms[name] for name in names)
    assert terms["loss"].item() == pytest.approx(total.item(), rel=1e-6)


@pytest.mark.usefixtures("tiny_network")
def test_the_recipe_chooses_the_losses() -> None:
    def criterion(**options: object) -> Criterion:
        state = start_state(ReidRecipe(trunk="resnet18", trunk_weights=None, **options), 4, "cpu")  # type: ignore[arg-type]
        assert state.network.cosine_logits == (options.get("identity_loss") == "arcface")
        found = state.objective.criterion
        assert isinstance(found, Criterion)
        return found

    assert criterion() == Criterion(2.0, 0.3, ("fusion", "global", "part"))
    assert criterion(arc_margin=0.2, circle_scale=5.0) == criterion()
    assert criterion(label_smoothing=0.1) == Criterion(label_smoothing=0.1)
    assert criterion(identity_loss="arcface") == Criterion(arc=Margin(0.1, 30.0))
    assert criterion(metric_loss="circle") == Criterion(circle=Margin(0.25, 64.0))
    found = criterion(identity_loss="arcface", arc_margin=0.05, arc_scale=16, metric_loss="circle", circle_margin=0.4)
    assert found == Criterion(arc=Margin(0.05, 16.0), circle=Margin(0.4, 64.0))
