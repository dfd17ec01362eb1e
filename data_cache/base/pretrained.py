"""Pretrained backbone weights: from torchvision by name, or from a file of any program."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data_cache.base.errors import UserError
from data_cache.base.weights.fitting import find_network
from data_cache.base.weights.names import spellings
from data_cache.base.weights.reading import StateDict, read_state_dicts

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

DEFAULT = "IMAGENET1K_V1"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]: how both stages normalise images


def pretrained_tensors(
    weights: str,
    network: str,
    names: Mapping[str, str],
    expected: "Mapping[str, Tensor]",
    optional: Iterable[str] = (),
) -> "dict[str, Tensor]":
    """Return the tensors of `expected` for torchvision's `network`, without its classifier.

    `weights` is as for `pretrained_states`. `names` maps torchvision's names to those of `expected`, of which the ones
    in `optional` may be missing. Logs what had to be unwrapped. Raises UserError if the weights are of another network.
    """
    found = find_network(
        weights,
        pretrained_states(weights, network),
        spellings(network, names),
        expected,
        network=network,
        optional=optional,
    )
    if found.line:
        log.info(f"{weights}: {found.line}")
    return found.tensors


def pretrained_states(weights: str, network: str) -> list[StateDict]:
    """Return the state dicts of weights for `network` ("resnet50", "vgg16", ...), at least one.

    `weights` is "imagenet", a torchvision name such as "IMAGENET1K_V2" or "ResNet50_Weights.IMAGENET1K_V2", or a file.
    Raises UserError if they cannot be loaded, or were trained with another normalisation.
    """
    from torchvision.models import get_model_weights, list_models

    entries = get_model_weights(network).__members__ if network in list_models() else {}
    if weights == "imagenet" and not entries:
        raise UserError(
            f"torchvision has no ImageNet weights of {network}; use a file with --set trunk_weights=FILE, "
            "or train from scratch with --set trunk_weights=null"
        )
    name = DEFAULT if weights == "imagenet" else weights.rpartition(".")[2]
    if Path(weights).is_file() or name not in entries:
        if "_Weights." in weights:
            raise UserError(f"{weights}: not weights of {network}; torchvision has {', '.join(entries)}")
        return read_state_dicts(Path(weights))
    entry = entries[name]
    preset = entry.transforms()
    if (tuple(preset.mean), tuple(preset.std)) != (MEAN, STD):
        raise UserError(f"{weights}: trained with another normalisation; use {DEFAULT}")
    try:
        return [StateDict((), dict(entry.get_state_dict(progress=False, check_hash=True)))]
    except OSError as error:
        raise UserError(
            f"ImageNet weights of {network} cannot be downloaded ({error}); "
            "use a file with --set trunk_weights=FILE, or train from scratch with --set trunk_weights=null"
        ) from error
