"""The network for inference is the trained one, except for rounding; the trained one is not changed."""

import copy
from typing import Any

import pytest
import torch

from detect.model.inference import (
    ConvolutionWithActivation,
    fold_activations,
    fold_batch_norm,
    inference_dtype,
    network_for_inference,
)
from detect.model.ssd import build_network
from detect.recipes import PRESETS

ONEDNN_FUSES = hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def network_with_statistics(name: str) -> Any:
    """A network in training mode whose batch norms have random statistics and weights."""
    torch.manual_seed(1)
    network = build_network(PRESETS[name])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.train()


def outputs(network: Any, inputs: torch.Tensor) -> list[torch.Tensor]:
    """All levels of the logits, then of the box deltas."""
    with torch.inference_mode():
        logits, deltas = network.bbox_head(network.extract_feat(inputs))
    return [*logits, *deltas]


@pytest.mark.parametrize("name", ["ssdlite320_mobilenetv2", "ssd320_mobilenetv2", "ssd320_resnet18"])
def test_folding_batch_norms_only_rounds_and_does_not_change_the_network(name: str) -> None:
    network = network_with_statistics(name)
    before = copy.deepcopy(network.state_dict())
    folded = fold_batch_norm(network)
    assert network.training and not folded.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    inputs = torch.randn(1, 3, 96, 96)
    network.eval()
    with torch.no_grad():
        for one, other in zip(*(net.bbox_head(net.extract_feat(inputs)) for net in (network, folded)), strict=True):
            for plain, fast in zip(one, other, strict=True):
                torch.testing.assert_close(fast, plain, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({}, torch.float32),
        ({"avx2": True}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_a_cpu_computes_in_bfloat16_if_it_can(
    capabilities: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert inference_dtype("cpu") is dtype


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_bfloat16_if_it_can(
    supported: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert inference_dtype("cuda") is dtype


@pytest.mark.skipif(not ONEDNN_FUSES, reason="this torch has no fused convolution of oneDNN")
@pytest.mark.parametrize("name", ["ssdlite320_mobilenetv2", "ssd320_mobilenetv2"])
def test_folding_activations_only_rounds(name: str) -> None:
    plain = fold_batch_norm(network_with_statistics(name)).to(memory_format=torch.channels_last)
    fused = copy.deepcopy(plain)
    fold_activations(fused)
    steps = [module for module in fused.modules() if isinstance(module, ConvolutionWithActivation)]
    assert len(steps) > 30 and not any(isinstance(module, torch.nn.ReLU6) for module in fused.modules())
    inputs = torch.randn(2, 3, 96, 96).to(memory_format=torch.channels_last)
    for expected, found in zip(outputs(plain, inputs), outputs(fused, inputs), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not ONEDNN_FUSES, reason="this torch has no fused convolution of oneDNN")
@pytest.mark.parametrize("activation", [torch.nn.ReLU(), torch.nn.ReLU6()])
@pytest.mark.parametrize("geometry", [{}, {"stride": 2, "padding": 1, "groups": 4}])
def test_a_fused_step_is_the_convolution_then_the_activation(
    activation: torch.nn.Module, geometry: dict[str, int]
) -> None:
    torch.manual_seed(3)
    convolution = torch.nn.Conv2d(4, 8, 3, **geometry)
    images = 8 * torch.randn(2, 4, 17, 23)
    with torch.inference_mode():
        expected = activation(convolution(images))
        found = ConvolutionWithActivation(convolution, activation)(images)
    assert (expected == 0).any() and (expected > 6).any() == isinstance(activation, torch.nn.ReLU)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["ssd320_mobilenetv2", "ssd320_resnet18"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_network_for_inference_computes_what_autocast_would(name: str, dtype: torch.dtype) -> None:
    network = network_with_statistics(name)
    fast = network_for_inference(network, "cpu", dtype)
    folded = fold_batch_norm(network)
    inputs = torch.randn(2, 3, 96, 96)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        expected = outputs(folded, inputs)
    for plain, found in zip(expected, outputs(fast, inputs.to(dtype)), strict=True):
        assert found.dtype == dtype
        largest, error = (float(values.float().abs().max()) for values in (plain, found.float() - plain.float()))
        assert error <= (0.05 if dtype == torch.bfloat16 else 1e-4) * largest
