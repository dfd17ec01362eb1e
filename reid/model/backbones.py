"""Trunks: torchvision networks cut before their pooling, with the last stride at 1, so that stride is 16."""

import logging
from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torchvision import models

from data_cache.base.depthwise import with_fast_depthwise
from data_cache.base.errors import UserError
from data_cache.base.pretrained import pretrained_state
from data_cache.parts.verification import first_of

log = logging.getLogger(__name__)

COUNTER = ".num_batches_tracked"  # of batch norm; torch before 0.4.1 wrote none, and nothing here reads it


def weight_differences(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """Return the count and the first names of entries missing, unexpected and of another shape; None where all agree.

    A counter of batch norm may be missing.
    """
    missing = [name for name in wanted if name not in found and not name.endswith(COUNTER)]
    unexpected = [name for name in found if name not in wanted]
    misshapen = [
        f"{name} {tuple(found[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    told = [line for kind, names in kinds.items() for line in first_of([_shown(name) for name in names], kind)]
    return "; ".join(told) or None


def _shown(name: str) -> str:
    """Return a name out of a file fit for a line: escaped where it cannot be printed."""
    return repr(name)[1:-1][:120]


class Trunk(nn.Sequential):
    """Images (B, 3, H, W) to the map Fg (B, channels, H/16, W/16)."""

    def __init__(self, layers: nn.Module, channels: int) -> None:
        """Wrap `layers`; `channels` is the depth C of their map."""
        super().__init__(*layers.children())
        self.channels = channels


def _resnet(build: Callable[..., models.ResNet]) -> Callable[[str | None], Trunk]:
    def trunk(weights: str | None) -> Trunk:
        network = build()
        _load(network, weights, build.__name__, ignored=("fc.",))
        first = network.layer4[0]
        strided = first.conv2 if hasattr(first, "conv3") else first.conv1
        strided.stride = first.downsample[0].stride = (1, 1)
        channels = network.fc.in_features
        return Trunk(nn.Sequential(*list(network.children())[:-2]), channels)

    return trunk


def _mobilenet(weights: str | None) -> Trunk:
    network = models.mobilenet_v2()
    _load(network, weights, "mobilenet_v2", ignored=("classifier.",))
    network.features[14].conv[1][0].stride = (1, 1)
    return Trunk(with_fast_depthwise(network.features), network.last_channel)


TRUNKS: dict[str, Callable[[str | None], Trunk]] = {
    "resnet18": _resnet(models.resnet18),
    "resnet34": _resnet(models.resnet34),
    "resnet50": _resnet(models.resnet50),
    "resnet101": _resnet(models.resnet101),
    "resnet152": _resnet(models.resnet152),
    "mobilenet_v2": _mobilenet,
}


def build_trunk(name: str, weights: str | None, *, tell: bool = True) -> Trunk:
    """Return a trunk of `TRUNKS`; `weights` is None (random), "imagenet", another name of torchvision's, or a file.

    Raises UserError where the weights are not to be had or are another network's.
    """
    trunk = TRUNKS[name](weights)
    if tell:
        log.info(f"trunk {name}: {'random weights' if weights is None else f'weights from {weights}'}")
    return trunk


def _load(network: nn.Module, weights: str | None, name: str, ignored: tuple[str, ...]) -> None:
    if weights is None:
        return
    given, needed = (
        {key: value for key, value in state.items() if not key.startswith(ignored)}  # of any number of classes
        for state in (pretrained_state(weights, name), network.state_dict())
    )
    differences = weight_differences(given, needed)
    if differences is not None:
        raise UserError(f"{weights}: not the weights of {name}: {differences}")
    network.load_state_dict(given, strict=False)  # what is ignored may be missing
