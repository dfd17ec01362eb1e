"""The network prepared for many small batches gives the bits of the network as it was trained."""

import copy

import pytest
import torch
from torch import Tensor

from data_cache.base import devices
from data_cache.base.devices import autocast
from reid.features import embedding
from reid.features.embedding import on_device, with_cast_weights
from reid.model.checkpoint import Network, build_network
from reid.publish.program import network_inputs, random_inputs
from reid.recipes import PRESETS

SIDE = 64
NETWORKS = {
    "baseline": PRESETS["baseline_small"],
    "grid": PRESETS["grid"].model_copy(update={"trunk": "mobilenet_v2", "trunk_weights": None}),
    "pgan": PRESETS["pgan_small"],  # its attention has weight norm
    "pgan with a flip test": PRESETS["pgan_small"].model_copy(update={"flip_test": True}),
    "pgan_plus": PRESETS["pgan_plus_small"],
}


def network_and_inputs(name: str) -> tuple[Network, list[Tensor]]:
    recipe = NETWORKS[name].model_copy(update={"image_size": SIDE})
    inputs = network_inputs(*random_inputs(recipe, 3).values())
    return build_network(recipe, 4, pretrained=False).eval(), inputs


def embedded(network: Network, inputs: list[Tensor]) -> list[Tensor]:
    with torch.inference_mode(), autocast("cpu"):
        return list(network.embed(*inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_cast_once_give_the_bits_of_weights_cast_in_every_batch(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "has_bfloat16", lambda _device: True)  # slow, but the same bits, where emulated
    monkeypatch.setattr(embedding, "has_bfloat16", lambda _device: True)
    network, inputs = network_and_inputs(name)
    network = on_device(network, "cpu")
    before = copy.deepcopy(network.state_dict())
    cast = with_cast_weights(network, "cpu")
    assert any(tensor.dtype == torch.bfloat16 for tensor in cast.parameters())
    for first, second in zip(embedded(network, inputs), embedded(cast, inputs), strict=True):
        assert torch.equal(first, second)
    for key, tensor in network.state_dict().items():
        assert tensor.dtype == before[key].dtype and torch.equal(tensor, before[key])


def test_without_bfloat16_the_network_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "has_bfloat16", lambda _device: False)
    network, _ = network_and_inputs("baseline")
    assert with_cast_weights(network, "cpu") is network


def test_a_network_is_moved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = network_and_inputs("pgan")
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert not all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in layers)
    values = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    moved = on_device(network, "cpu")
    assert all(layer.weight.is_contiguous(memory_format=torch.channels_last) for layer in layers)
    assert all(torch.equal(tensor, values[key]) for key, tensor in moved.state_dict().items())
    monkeypatch.setattr(torch.nn.Module, "_apply", None)  # moves a network tensor by tensor
    assert on_device(moved, "cpu") is moved
