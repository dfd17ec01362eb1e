"""The network of PGAN's authors under their own names: random weights, and the forward pass.

Written from the authors' code, call by call, with part masks as input; it uses nothing of `reid`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

State = Mapping[str, Tensor]
WIDTHS = (64, 128, 256, 512)
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class Weights:
    """Builds a state dict of random values, including the statistics and affine values of batch norm."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.state: dict[str, Tensor] = {}

    def matrix(self, name: str, *shape: int, gain: float = 1.4) -> None:
        inputs = torch.Size(shape[1:]).numel()
        self.state[name] = torch.randn(shape, generator=self.random) * gain / inputs**0.5

    def affine(self, name: str, channels: int) -> None:
        self.state[f"{name}.weight"] = 0.7 + 0.6 * torch.rand(channels, generator=self.random)
        self.state[f"{name}.bias"] = 0.3 * torch.randn(channels, generator=self.random)

    def batch_norm(self, name: str, channels: int) -> None:
        self.affine(name, channels)
        self.state[f"{name}.running_mean"] = 0.3 * torch.randn(channels, generator=self.random)
        self.state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=self.random)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(len(self.state))

    def resnet(self, layers: int) -> int:
        """Add `base` and return its channels."""
        self.matrix("base.conv1.weight", 64, 3, 7, 7)
        self.batch_norm("base.bn1", 64)
        channels = 64
        for number, (width, depth) in enumerate(zip(WIDTHS, DEPTHS[layers], strict=True), start=1):
            for block in range(depth):
                name, result = f"base.layer{number}.{block}", width if layers < 50 else 4 * width
                shapes = [(width, channels, 3), (width, width, 3)]
                if layers >= 50:
                    shapes = [(width, channels, 1), (width, width, 3), (result, width, 1)]
                for conv, (rows, columns, side) in enumerate(shapes, start=1):
                    self.matrix(f"{name}.conv{conv}.weight", rows, columns, side, side)
                    self.batch_norm(f"{name}.bn{conv}", rows)
                self.state[f"{name}.bn{len(shapes)}.weight"] *= 0.3  # otherwise the sums grow from block to block
                if block == 0 and (number > 1 or layers >= 50):
                    self.matrix(f"{name}.downsample.0.weight", result, channels, 1, 1, gain=1)
                    self.batch_norm(f"{name}.downsample.1", result)
                channels = result
        return channels

    def refine(self, name: str, channels: int, features: int) -> None:
        self.matrix(f"{name}.0.fc.0.weight", channels // 8, channels)
        self.matrix(f"{name}.0.fc.2.weight", channels, channels // 8)
        middle = features // 4
        self.batch_norm(f"{name}.1.bn1", channels)
        self.matrix(f"{name}.1.conv1.weight", middle, channels, 1, 1)
        self.batch_norm(f"{name}.1.bn2", middle)
        self.matrix(f"{name}.1.conv2.weight", middle, middle, 3, 3)
        self.batch_norm(f"{name}.1.bn3", middle)
        self.matrix(f"{name}.1.conv3.weight", features, middle, 1, 1)
        self.matrix(f"{name}.1.conv4.weight", features, channels, 1, 1)


def official_state(layers: int = 18, *, embed: int = 16, vehicles: int = 7, seed: int = 0) -> dict[str, Tensor]:
    """Return a random checkpoint on ResNet-`layers`; `embed` is C', the authors' EMBED_NUM."""
    weights = Weights(seed)
    channels = weights.resnet(layers)
    weights.refine("refine_concat.0", 2 * channels, 2 * embed)
    weights.refine("refine_prop.0", channels, embed)
    weights.refine("refine_base.0", channels, embed)
    for name, rows, columns in (("linear1", channels // 4, channels), ("linear2", channels, channels // 4)):
        weights.state[f"attention.0.{name}.weight_g"] = torch.tensor(
            12 * rows**0.5
        )  # so that the attention is far from equal
        weights.matrix(f"attention.0.{name}.weight_v", rows, columns, gain=0.6)
    weights.affine("attention.0.ln1", channels // 4)
    weights.batch_norm("bottleneck.0", 2 * embed)
    weights.matrix("classifier.0.weight", vehicles, 2 * embed)
    return weights.state


def convolved(x: Tensor, state: State, name: str, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def normed(x: Tensor, state: State, name: str) -> Tensor:
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance, weight, bias = (
        state[f"{name}.{kind}"].reshape(shape) for kind in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def base_map(images: Tensor, state: State) -> Tensor:
    """The backbone; layers 2 and 3 halve the map, layer 4 does not."""
    x = normed(convolved(images, state, "base.conv1", 2), state, "base.bn1").relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    for layer, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
        block = 0
        while f"base.layer{layer}.{block}.conv1.weight" in state:
            x = residual_block(x, state, f"base.layer{layer}.{block}", stride if block == 0 else 1)
            block += 1
    return x


def residual_block(x: Tensor, state: State, name: str, stride: int) -> Tensor:
    three = f"{name}.conv3.weight" in state
    strides = (1, stride, 1) if three else (stride, 1)  # on the first 3 x 3 convolution, as in torchvision
    y = x
    for conv, step in enumerate(strides, start=1):
        y = normed(convolved(y, state, f"{name}.conv{conv}", step), state, f"{name}.bn{conv}")
        y = y.relu() if conv < len(strides) else y
    if f"{name}.downsample.0.weight" in state:
        x = normed(convolved(x, state, f"{name}.downsample.0", stride), state, f"{name}.downsample.1")
    return (x + y).relu()


def attention_weights(base: Tensor, masks: Tensor, state: State) -> Tensor:
    """(B, C, h, w), masks (B, D, h, w) -> (B, D)."""
    pooled = (base[:, None] * masks[:, :, None]).sum((-2, -1)) / masks.sum((-2, -1))[..., None]
    for layer in ("linear1", "linear2"):
        gain, direction = state[f"attention.0.{layer}.weight_g"], state[f"attention.0.{layer}.weight_v"]
        pooled = pooled @ (gain * direction / direction.square().sum().sqrt()).t()
        if layer == "linear1":
            shape = pooled.shape[-1:]
            pooled = functional.layer_norm(
                pooled, shape, state["attention.0.ln1.weight"], state["attention.0.ln1.bias"]
            )
            pooled = pooled.relu()
    return functional.softmax(10 * pooled.mean(-1), dim=-1)


def refined(x: Tensor, state: State, name: str) -> Tensor:
    """(B, C, h, w) -> (B, features)."""
    gate = (x.mean((-2, -1)) @ state[f"{name}.0.fc.0.weight"].t()).relu() @ state[f"{name}.0.fc.2.weight"].t()
    x = normed(x * gate.sigmoid()[..., None, None], state, f"{name}.1.bn1").relu()
    y = normed(convolved(x, state, f"{name}.1.conv1"), state, f"{name}.1.bn2").relu()
    y = normed(convolved(y, state, f"{name}.1.conv2"), state, f"{name}.1.bn3").relu()
    return (convolved(y, state, f"{name}.1.conv3") + convolved(x, state, f"{name}.1.conv4")).mean((-2, -1))


def official_output(state: State, images: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Return the output in evaluation mode for images (B, 3, H, W) and masks (B, D, H/16, W/16), none empty."""
    base = base_map(images, state)
    weights = attention_weights(base, masks, state)
    prop = (masks * weights[..., None, None]).sum(1, keepdim=True) * base + base
    fusion = refined(torch.cat([base, prop], 1), state, "refine_concat.0")
    feature = normed(fusion, state, "bottleneck.0")
    return {
        "logits": feature @ state["classifier.0.weight"].t(),
        "fusion": fusion,
        "global_": refined(base, state, "refine_base.0"),
        "part": refined(prop, state, "refine_prop.0"),
        "feature": feature,
        "attention": weights,
    }
