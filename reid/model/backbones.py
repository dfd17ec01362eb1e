"""Backbones: networks without pooling and classifier, last stride 1, so that the total stride is 16."""

from collections.abc import Callable

from torch import nn
from torchvision import models

from data_cache.base.depthwise import with_fast_depthwise
from data_cache.base.pretrained import pretrained_tensors
from reid.model.ibn import Variant, with_instance_norm
from reid.model.timm_backbones import PREFIX, timm_features


class Backbone(nn.Sequential):
    """Images (B, 3, H, W) to the global feature map Fg (B, channels, H/16, W/16)."""

    def __init__(self, layers: nn.Module, channels: int) -> None:
        """Take over the children of `layers`; their last output has `channels` channels."""
        super().__init__(*layers.children())
        self.channels = channels


def build_backbone(name: str, weights: str | None, size: tuple[int, int] = (224, 224)) -> Backbone:
    """Return a backbone of `BACKBONES`, or of timm as timm/NAME; only those of timm depend on height and width `size`.

    `weights` is None (random), "imagenet", a torchvision name, or a file; for timm's see `timm_features`. Raises
    UserError if the weights cannot be loaded or are those of another network.
    """
    if name.startswith(PREFIX):
        features, channels = timm_features(name, weights, size)
        return Backbone(nn.Sequential(features), channels)
    return BACKBONES[name](weights)


def _resnet(build: Callable[[], models.ResNet], ibn: Variant | None = None) -> Callable[[str | None], Backbone]:
    name = build.__name__ if ibn is None else f"{build.__name__}_ibn_{ibn}"

    def backbone(weights: str | None) -> Backbone:
        network = build() if ibn is None else with_instance_norm(build(), ibn)
        _load(network, weights, name, ignored="fc.")
        block = network.layer4[0]
        strided = block.conv2 if hasattr(block, "conv3") else block.conv1
        strided.stride = block.downsample[0].stride = (1, 1)
        return Backbone(nn.Sequential(*list(network.children())[:-2]), network.fc.in_features)

    return backbone


def _mobilenet(weights: str | None) -> Backbone:
    network = models.mobilenet_v2()
    _load(network, weights, "mobilenet_v2", ignored="classifier.")
    network.features[14].conv[1][0].stride = (1, 1)
    return Backbone(with_fast_depthwise(network.features), network.last_channel)


BACKBONES: dict[str, Callable[[str | None], Backbone]] = {
    "resnet18": _resnet(models.resnet18),
    "resnet34": _resnet(models.resnet34),
    "resnet50": _resnet(models.resnet50),
    "resnet101": _resnet(models.resnet101),
    "resnet152": _resnet(models.resnet152),
    "resnet18_ibn_a": _resnet(models.resnet18, "a"),
    "resnet50_ibn_a": _resnet(models.resnet50, "a"),
    "resnet101_ibn_a": _resnet(models.resnet101, "a"),
    "resnet50_ibn_b": _resnet(models.resnet50, "b"),
    "mobilenet_v2": _mobilenet,
}


def _load(network: nn.Module, weights: str | None, name: str, ignored: str) -> None:
    """Load pretrained weights, except the classifier, whose names start with `ignored`."""
    if weights is None:
        return
    expected = {key: value for key, value in network.state_dict().items() if not key.startswith(ignored)}
    found = pretrained_tensors(weights, name, {key: key for key in expected}, expected)
    network.load_state_dict(found, strict=False)  # the classifier and counters may be missing
