"""IBN-Net: the norms by definition, the blocks that have them, and the names in the public weight files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from data_cache.base.errors import UserError
from helpers.toy.vehicles import one_thread
from reid.model.backbones import build_backbone
from reid.model.ibn import InstanceBatchNorm, NormedBottleneck, with_instance_norm

IBN_A = ("IN.weight", "IN.bias", "BN.weight", "BN.bias", "BN.running_mean", "BN.running_var", "BN.num_batches_tracked")
BLOCKS = {"resnet18": (2, 2, 2), "resnet50": (3, 4, 6), "resnet101": (3, 4, 23)}  # of the stages with IBN-a


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each channel of each image to mean 0 and variance 1, then scale and shift."""
    out = torch.empty_like(x)
    for image in range(len(x)):
        for channel in range(x.shape[1]):
            cells = x[image, channel]
            unit = (cells - cells.mean()) / (cells.var(correction=0) + 1e-5).sqrt()
            out[image, channel] = weight[channel] * unit + bias[channel]
    return out


def batch_norm(x: Tensor, norm: nn.BatchNorm2d, training: bool) -> Tensor:
    """Each channel of the whole batch, or by its running statistics."""
    out = torch.empty_like(x)
    for channel in range(x.shape[1]):
        cells = x[:, channel]
        mean, variance = cells.mean(), cells.var(correction=0)
        if not training:
            mean, variance = norm.running_mean[channel], norm.running_var[channel]
        out[:, channel] = norm.weight[channel] * (cells - mean) / (variance + 1e-5).sqrt() + norm.bias[channel]
    return out


def randomised(module: nn.Module) -> nn.Module:
    """Make all scales, shifts and statistics random, so that none is the identity."""
    for name, value in module.state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            value.uniform_(0.5, 2) if name.endswith("running_var") else value.add_(0.3 * torch.randn(value.shape))
    return module


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [8, 7])
def test_ibn_a_is_instance_norm_of_the_first_half_and_batch_norm_of_the_rest(channels: int, training: bool) -> None:
    torch.manual_seed(0)
    norm = randomised(InstanceBatchNorm(channels)).double().train(training)
    x, half = 2 + 3 * torch.randn(3, channels, 4, 5).double(), channels // 2
    expected = [
        instance_norm(x[:, :half], norm.IN.weight, norm.IN.bias),
        batch_norm(x[:, half:], norm.BN, training),
    ]
    torch.testing.assert_close(norm(x), torch.cat(expected, dim=1))


def test_ibn_b_normalises_the_sum_before_the_relu() -> None:
    torch.manual_seed(0)
    stage = models.resnet50().layer1
    block = randomised(NormedBottleneck(stage[-1])).double().eval()
    x = torch.randn(2, 256, 3, 4).double()
    inner = torch.relu(batch_norm(block.conv1(x), block.bn1, False))
    inner = torch.relu(batch_norm(block.conv2(inner), block.bn2, False))
    total = batch_norm(block.conv3(inner), block.bn3, False) + x
    expected = torch.relu(instance_norm(total, block.IN.weight, block.IN.bias))
    torch.testing.assert_close(block(x.clone()), expected)


@pytest.mark.parametrize("name", BLOCKS)
def test_ibn_a_stands_in_every_block_of_the_first_three_stages(name: str) -> None:
    """The names of XingangPan/IBN-Net: torchvision's, with IN and BN inside the first norm of these blocks."""
    plain = models.get_model(name)
    blocks = {f"layer{stage}.{i}.bn1" for stage, count in enumerate(BLOCKS[name], 1) for i in range(count)}
    kept = {key for key in plain.state_dict() if key.rpartition(".")[0] not in blocks}
    expected = kept | {f"{block}.{leaf}" for block in blocks for leaf in IBN_A}
    network = with_instance_norm(plain, "a")
    assert set(network.state_dict()) == expected
    assert network.layer2[1].bn1.IN.weight.shape == network.layer2[1].bn1.BN.weight.shape


def test_ibn_b_stands_in_the_stem_and_at_the_end_of_the_first_two_stages() -> None:
    plain = models.resnet50()
    running = ("bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked")  # of the stem: now an instance norm
    added = {f"layer{last}.IN.{leaf}" for last in ("1.2", "2.3") for leaf in ("weight", "bias")}
    expected = set(plain.state_dict()) - {*running} | added
    assert set(with_instance_norm(plain, "b").state_dict()) == expected


@pytest.mark.parametrize(("name", "variant"), [("resnet18", "a"), ("resnet50", "b")])
def test_a_public_weight_file_gives_all_weights(name: str, variant: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = with_instance_norm(models.get_model(name), variant).state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "w.pth")
    found = build_backbone(f"{name}_ibn_{variant}", str(tmp_path / "w.pth")).state_dict().values()
    expected = [value for key, value in state.items() if not key.startswith("fc.")]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_weights_of_the_plain_resnet_are_refused_and_so_are_those_that_torchvision_lacks(tmp_path: Path) -> None:
    torch.save(models.resnet18().state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: not the weights of resnet18_ibn_a: .* missing"):
        build_backbone("resnet18_ibn_a", str(tmp_path / "w.pth"))
    with pytest.raises(UserError, match=r"no ImageNet weights of resnet50_ibn_a; use a file .*trunk_weights=null"):
        build_backbone("resnet50_ibn_a", "imagenet")


@pytest.mark.parametrize("name", ["resnet18_ibn_a", "resnet50_ibn_b"])
def test_an_image_gives_the_same_map_alone_brighter_and_in_a_batch(name: str) -> None:
    """Variant b normalises each image in the stem, where contrast is a factor of every channel."""
    torch.manual_seed(0)
    backbone, images = build_backbone(name, None).eval(), torch.randn(3, 3, 64, 32)
    with torch.no_grad(), one_thread():
        together = backbone(images)
        assert together.shape == (3, backbone.channels, 4, 2)
        torch.testing.assert_close(backbone(images[1:2]), together[1:2], rtol=1e-4, atol=1e-4)
        if name.endswith("b"):
            torch.testing.assert_close(backbone(2 * images), together, rtol=1e-3, atol=1e-3)


def test_training_under_bfloat16_gives_finite_gradients() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("resnet18_ibn_a", None).to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with one_thread():
        with torch.autocast("cpu", torch.bfloat16):
            out = backbone(images)
        out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())
