"""PGAN+: slots and joint features against loops over their definitions."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from data_cache.parts.names import PART_NAMES
from helpers.toy.vehicles import TINY, tiny_scale
from reid.model.checkpoint import build_network
from reid.model.part_slots import PartSlots
from reid.model.pgan_plus import PGANPlus
from reid.training.losses import COSINE_SCALE, Criterion, Margin, batch_hard_triplet, circle_loss

KINDS, SLOT, CROP = 5, 4, 16
LABELS = torch.tensor([[3, 0, 3], [-1, -1, -1], [2, -1, 4], [1, 1, 1]])
RECIPE = TINY.model_copy(update={"attention": "none", "parts": 3, "part_crops": CROP, "slot_features": SLOT})


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    with tiny_scale():
        yield


def slots() -> PartSlots:
    torch.manual_seed(0)
    return _trained(PartSlots(KINDS, SLOT, channels=8))


def plus(vehicles: int = 4) -> PGANPlus:
    network = build_network(RECIPE, vehicles)
    assert isinstance(network, PGANPlus)
    return _trained(network)


def _trained(network: torch.nn.Module) -> torch.nn.Module:
    """Return a network whose batch norms are not the identity, in evaluation mode."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.bias.uniform_(-0.2, 0.5)
    return network.eval()


def random_crops(labels: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(*labels.shape, 3, CROP, CROP, generator=torch.Generator().manual_seed(seed))


def inputs(labels: Tensor = LABELS) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(1)
    images = torch.randn(len(labels), 3, 64, 64, generator=random)
    boxes = torch.rand(*labels.shape, 2, 2, generator=random).sort(dim=2).values.flatten(2)
    return images, boxes, labels, random_crops(labels)


def test_a_slot_is_the_sum_of_the_projected_parts_of_its_kind() -> None:
    module, crops = slots(), random_crops(LABELS)
    with torch.no_grad():
        vector, weights = module(crops, LABELS)
    for image, labels in enumerate(LABELS.tolist()):
        expected = np.zeros((KINDS, SLOT))
        for part, kind in enumerate(labels):
            if kind >= 0:
                with torch.no_grad():
                    encoded = module.encoder(crops[image, part][None])[0]
                expected[kind] += encoded.double().numpy() @ module.projections[kind].detach().double().numpy()
        length = np.sqrt((expected**2).sum())
        if length:
            expected /= length
        np.testing.assert_allclose(vector[image].numpy(), expected.ravel(), atol=1e-5)
        shares = [(expected[kind] ** 2).sum() / labels.count(kind) if kind >= 0 else 0.0 for kind in labels]
        np.testing.assert_allclose(weights[image].numpy(), shares, atol=1e-5)
        assert weights[image].sum() == pytest.approx(1 if length else 0, abs=1e-5)


def test_the_encoder_is_maximum_plus_mean_of_its_last_map() -> None:
    encoder, crop = slots().encoder, random_crops(LABELS)[0, 0][None]
    with torch.no_grad():
        last = torch.nn.Sequential(*encoder)(crop)[0]
        found = encoder(crop)[0]
    assert last.shape == (8, 2, 2)  # an eighth of 16 pixels
    torch.testing.assert_close(found, torch.stack([channel.max() + channel.mean() for channel in last]))


@pytest.mark.parametrize("training", [True, False])
def test_crops_of_absent_parts_change_nothing(training: bool) -> None:
    module = slots().train(training)
    crops, absent = random_crops(LABELS), (LABELS < 0)[..., None, None, None]
    with torch.no_grad():
        one, weights = module(crops, LABELS)
        other, _ = module(torch.where(absent, 100.0, crops), LABELS)
    assert torch.equal(one, other)
    assert not one[1].any() and not weights[LABELS < 0].any()


def test_a_process_without_parts_joins_the_others_where_they_share_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch norm of several GPUs waits for all processes; torch has none for CPUs, so a stand-in counts."""
    shapes: list[torch.Size] = []

    def forward(_: torch.nn.SyncBatchNorm, maps: Tensor) -> Tensor:
        shapes.append(maps.shape)
        return maps

    monkeypatch.setattr(torch.nn.SyncBatchNorm, "forward", forward)
    module = torch.nn.SyncBatchNorm.convert_sync_batchnorm(slots().train())
    absent = torch.full((2, 3), -1)
    vector, weights = module(random_crops(absent), absent)
    vector.sum().backward()
    assert [shape[0] for shape in shapes] == [0] * 4
    assert not vector.any() and not weights.any()
    assert all(value.grad is None or not value.grad.any() for value in module.parameters())


def test_the_order_of_parts_changes_nothing_but_the_order_of_their_weights() -> None:
    module, crops, order = slots(), random_crops(LABELS), [2, 0, 1]
    with torch.no_grad():
        vector, weights = module(crops, LABELS)
        turned, turned_weights = module(crops[:, order], LABELS[:, order])
    torch.testing.assert_close(turned, vector)
    torch.testing.assert_close(turned_weights, weights[:, order])


def test_kinds_that_only_one_image_shows_do_not_count() -> None:
    """The inner product of two vectors is that over the kinds of both; without a common kind it is 0."""
    module = slots()
    labels = torch.tensor([[0, 1, -1], [1, 2, -1], [3, 4, -1]])
    with torch.no_grad():
        vector, _ = module(random_crops(labels), labels)
    kinds = vector.view(3, KINDS, SLOT)
    assert vector[0] @ vector[2] == 0
    assert float(vector[0] @ vector[1]) == pytest.approx(float(kinds[0, 1] @ kinds[1, 1]))


@pytest.mark.parametrize("labels", [LABELS, LABELS[:1], torch.full((2, 3), -1), torch.zeros(2, 0, dtype=torch.long)])
def test_all_gradients_are_finite(labels: Tensor) -> None:
    module = slots().train(len(labels) > 1 and labels.numel() > 0)
    vector, _ = module(random_crops(labels), labels)
    (vector * torch.linspace(-1, 1, vector.shape[1])).sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in module.parameters())


def test_the_similarity_of_two_images_is_a_weighted_mean_of_those_of_wholes_and_parts() -> None:
    network = plus()
    with torch.no_grad():
        network.scale.fill_(0.6)
        output, (feature, attention) = network(*inputs()), network.embed(*inputs())
        whole = functional.normalize(network.whole(*inputs()[:2], LABELS >= 0).feature)
        parts, weights = network.slots(inputs()[3], LABELS)
    torch.testing.assert_close(feature, output.feature)
    torch.testing.assert_close(attention, weights)
    unit = functional.normalize(feature)
    wanted = (whole[0] @ whole[2] + 0.36 * parts[0] @ parts[2]) / 1.36
    torch.testing.assert_close(unit[0] @ unit[2], wanted)
    torch.testing.assert_close(unit[1, : TINY.features], whole[1])  # an image without parts is its whole
    assert not unit[1, TINY.features :].any()


def test_a_batch_of_one_is_a_row_of_a_batch() -> None:
    network = plus()
    with torch.no_grad():
        feature, _ = network.embed(*inputs())
        for row in range(len(LABELS)):
            own, _ = network.embed(*(values[row : row + 1] for values in inputs()))
            torch.testing.assert_close(own[0], feature[row], atol=1e-5, rtol=1e-5)


def test_flip_at_test_time_mirrors_image_and_crops() -> None:
    network = plus()
    images, boxes, labels, crops = inputs()
    turned = torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], dim=-1)
    with torch.no_grad():
        own, _ = network.embed(images, boxes, labels, crops)
        other, _ = network.embed(images.flip(3), turned, labels, crops.flip(4))
        network.flip_test = True
        both, _ = network.embed(images, boxes, labels, crops)
    torch.testing.assert_close(both, (functional.normalize(own) + functional.normalize(other)) / 2)
    assert not torch.allclose(own, other, atol=1e-3)


def test_there_is_a_slot_for_each_of_the_parts_and_the_recipe_knows_the_length() -> None:
    network = plus()
    with torch.no_grad():
        feature, _ = network.embed(*inputs())
    assert feature.shape[1] == RECIPE.feature_length == RECIPE.features + len(PART_NAMES) * SLOT
    assert TINY.feature_length == TINY.features


def cross_entropy(logits: Tensor, vehicle: Tensor, smoothing: float) -> Tensor:
    """The mean negative log probability under the target 1 - s on the own class and s shared by all, image by image."""
    terms = []
    for row, own in zip(logits.log_softmax(1), vehicle.tolist(), strict=True):
        terms.append(-(1 - smoothing) * row[own] - smoothing * row.mean())
    return torch.stack(terms).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("circle", [None, Margin(0.3, 16.0)])
def test_the_loss_is_that_of_the_whole_and_three_terms_more(smoothing: float, circle: Margin | None) -> None:
    torch.manual_seed(0)
    network = plus().train()
    output, vehicle = network(*inputs()), torch.tensor([0, 0, 1, 1])
    criterion = Criterion(2.0, 0.3, ("fusion",), label_smoothing=smoothing, circle=circle, slot_weight=0.5)
    terms = criterion.with_parts(output, vehicle)
    whole = criterion(output.whole, vehicle)
    vector, _ = network.slots(inputs()[3], LABELS)
    slot, joint = (
        cross_entropy(
            COSINE_SCALE * functional.normalize(values) @ functional.normalize(classifier.weight).T, vehicle, smoothing
        )
        for values, classifier in ((vector, network.slot_classifier), (output.feature, network.classifier))
    )
    metric = (
        circle_loss(output.feature, vehicle, *circle) if circle else batch_hard_triplet(output.feature, vehicle, 0.3)
    )
    torch.testing.assert_close(terms["slots"], slot)
    torch.testing.assert_close(terms["joint"], joint)
    torch.testing.assert_close(terms["triplets"], metric)
    torch.testing.assert_close(terms["loss"], whole["loss"] + 0.5 * (slot + joint + metric))
    terms["loss"].backward()
    assert all(
        value.grad is not None and value.grad.isfinite().all() for value in network.parameters() if value.requires_grad
    )
