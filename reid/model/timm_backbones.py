"""Backbones of timm (the extra `timm`): transformers with patches of 16 pixels, and CNNs that can have stride 16.

Only networks that timm itself registers are built, by name: a name cannot point to a repository or a folder.
"""

import difflib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_cache.base.errors import UserError
from data_cache.base.pretrained import MEAN, STD
from data_cache.base.weights.fitting import Spelling, find_network
from data_cache.base.weights.reading import read_state_dicts

log = logging.getLogger(__name__)

PREFIX = "timm/"  # of the option `trunk`
OWN_WEIGHTS = "timm"  # the option `trunk_weights`: what timm has under that name
STRIDE = 16
AFTER_FEATURES = ("head", "fc_norm")  # modules that timm's `forward_features` does not use


class FeatureMap(nn.Module):
    """A network of timm whose output is the map of its last layer, from images normalised for ImageNet."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: Any) -> None:
        """Keep `network`, and how its own normalisation follows from ImageNet's."""
        super().__init__()
        self.network = network
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(3, 1, 1)
            for values in (MEAN, STD, network.pretrained_cfg["mean"], network.pretrained_cfg["std"])
        )
        self.register_buffer("scale", std / own_std, persistent=False)
        self.register_buffer("shift", (mean - own_mean) / own_std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / 16, W / 16); a transformer's class and register tokens are left out."""
        features: Tensor = self.network.forward_features(images * self.scale + self.shift)
        if not _is_transformer(self.network):
            return features
        grid = (images.shape[2] // STRIDE, images.shape[3] // STRIDE)
        patches = features[:, self.network.num_prefix_tokens :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], *grid)


def timm_features(trunk: str, weights: str | None, size: tuple[int, int]) -> tuple[FeatureMap, int]:
    """Return the network of the option `trunk`, for images of height and width `size`, and its number of channels.

    `weights` is None (random), "timm" (downloaded, or from timm's cache), or a file with timm's names. A transformer's
    position embeddings are resized from the size that timm has under the name. Raises UserError if timm is missing, the
    name unknown, the stride not 16, or if the weights cannot be loaded.
    """
    name = trunk.removeprefix(PREFIX)
    with torch.device("meta"):  # refuse before memory is allocated
        outline = _network(name, pretrained=False)
        outline_map = FeatureMap(_resized(outline, name, size)).eval()
        shape = tuple(outline_map(torch.zeros(1, 3, *size)).shape)
    if shape[1:] != (outline.num_features, size[0] // STRIDE, size[1] // STRIDE):
        raise _refusal(name, f"its map of {size[0]} x {size[1]} pixels is {shape[1:]}")
    if weights == "imagenet":
        raise UserError(
            f"{trunk}: imagenet means torchvision's weights; use --set trunk_weights=timm for timm's own, "
            "or a file, or null"
        )
    network = _network(name, pretrained=weights == OWN_WEIGHTS)
    if weights not in (None, OWN_WEIGHTS):
        _load(network, trunk, weights)
    return FeatureMap(_resized(network, name, size)), network.num_features


def _network(name: str, *, pretrained: bool) -> Any:
    """Return a network of timm without what follows its features, a transformer in the size that its name has."""
    try:
        import timm
    except ImportError as error:
        raise UserError(f"{PREFIX}{name} needs timm; run `pip install '.[timm]'`") from error
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else "timm.list_models() lists them"
        raise UserError(f"unknown backbone {PREFIX}{name}; {hint}")
    try:
        with torch.device("meta"):
            options = {} if _is_transformer(timm.create_model(name)) else {"output_stride": STRIDE}
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (TypeError, AssertionError, NotImplementedError) as error:
        raise _refusal(name, "timm builds it without output_stride") from error
    except (OSError, RuntimeError) as error:
        remedy = "use a file with --set trunk_weights=FILE, or null; timm.list_pretrained() lists tags"
        raise UserError(f"{PREFIX}{name}: {str(error).splitlines()[0]}; {remedy}") from error
    network.reset_classifier(0, "")
    for module in AFTER_FEATURES:
        if hasattr(network, module):
            setattr(network, module, nn.Identity())
    return network


def _resized(network: Any, name: str, size: tuple[int, int]) -> Any:
    """Return `network` for images of height and width `size`: of transformers the position embeddings change."""
    if _is_transformer(network):
        patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
        if patch != (STRIDE, STRIDE):
            raise _refusal(name, f"patches of {patch}" if patch else "patches of no fixed grid")
        if not hasattr(network, "set_input_size"):
            raise _refusal(name, "timm cannot change its input size")
        network.set_input_size(img_size=size)
    return network


def _load(network: Any, trunk: str, weights: str) -> None:
    expected = network.state_dict()
    spelling = Spelling({name: name for name in expected})
    found = find_network(weights, read_state_dicts(Path(weights)), [spelling], expected, network=trunk)
    if found.line:
        log.info(f"{weights}: {found.line}")
    network.load_state_dict(found.tensors, strict=False)  # counters of batch norm may be missing


def _is_transformer(network: Any) -> bool:
    return hasattr(network, "num_prefix_tokens")


def _refusal(name: str, reason: str) -> UserError:
    return UserError(
        f"{PREFIX}{name}: no feature map of stride {STRIDE} ({reason}); use a transformer with patches of {STRIDE} "
        f"pixels, or a CNN that timm builds with output_stride={STRIDE}"
    )
