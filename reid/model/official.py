"""The network that the authors of PGAN published (github.com/zhangxinyu-xyz/PGAN-VehicleRe-ID), translated into ours.

`base` is torchvision's ResNet, `attention` PAM with `weight_g` and `weight_v` of torch's older weight norm, `refine_*`
SE block (`fc`) and residual block (`bn1` to `conv4`), `bottleneck` the BN neck. The first 0 behind each but `base`
counts levels: the paper's network has one.

Their file `model_best.pth` is a state dict. Its network is Section 3 as `reid.model.pgan` builds it, under other names:
a ResNet with last stride 1, PAM with one norm over each weight matrix and a softmax of temperature 10, refine
blocks of an SE block (reduction 8) and a pre-activation residual block. Sizes are read from the shapes.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.tensors import read_state_dict
from reid.model.backbones import COUNTER, weight_differences
from reid.model.checkpoint import build_network
from reid.model.pgan import PGAN
from reid.recipes import ReidRecipe

log = logging.getLogger(__name__)

OF_FUSION = ("bottleneck.0.weight", "bottleneck.0.running_mean", "refine_concat.0.1.conv3.weight")  # of length 2C'
NO_CLASSIFIER = "it holds no classifier: the features are the authors', the logits mean nothing (one vehicle, always 0)"
RESNETS = {  # (bottleneck blocks or basic ones, blocks in each layer): He et al., Table 1
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
CLASSIFIER = "classifier.0.weight"
_TRUNK = {  # a `Trunk` counts its layers
    "trunk.0.": "base.conv1.",
    "trunk.1.": "base.bn1.",
    "trunk.4.": "base.layer1.",
    "trunk.5.": "base.layer2.",
    "trunk.6.": "base.layer3.",
    "trunk.7.": "base.layer4.",
}
_ATTENTION = {  # weight = g * v / |v|
    "attention.squeeze.parametrizations.weight.original0": "attention.0.linear1.weight_g",
    "attention.squeeze.parametrizations.weight.original1": "attention.0.linear1.weight_v",
    "attention.norm.": "attention.0.ln1.",
    "attention.expand.parametrizations.weight.original0": "attention.0.linear2.weight_g",
    "attention.expand.parametrizations.weight.original1": "attention.0.linear2.weight_v",
}
_REFINE = {"refine_fusion.": "refine_concat.0.", "refine_part.": "refine_prop.0.", "refine_global.": "refine_base.0."}
_INSIDE_REFINE = {
    "0.gate.": "0.fc.",
    "1.activate.0.": "1.bn1.",
    "1.branch.0.": "1.conv1.",
    "1.branch.1.": "1.bn2.",
    "1.branch.3.": "1.conv2.",
    "1.branch.4.": "1.bn3.",
    "1.branch.6.": "1.conv3.",
    "1.shortcut.": "1.conv4.",
}
_PREFIXES = {
    **_TRUNK,
    **_ATTENTION,
    **{ours + part: theirs + of for ours, theirs in _REFINE.items() for part, of in _INSIDE_REFINE.items()},
    "neck.": "bottleneck.0.",
    "classifier.": "classifier.0.",
}


def their_name(name: str) -> str:
    """Return the authors' name of a tensor of our `PGAN` on a ResNet.

    >>> their_name("refine_fusion.1.branch.4.running_mean")
    'refine_concat.0.1.bn3.running_mean'
    """
    ours = next(prefix for prefix in _PREFIXES if name.startswith(prefix))
    return _PREFIXES[ours] + name.removeprefix(ours)


@dataclass(frozen=True, eq=False)
class OfficialNetwork:
    """The network in evaluation mode, the paper's recipe with the trunk and the 2C' of the file, and what it held.

    `vehicles` is None where there is no classifier; `used` counts the tensors of the file, each of which has its place.
    """

    network: PGAN
    recipe: ReidRecipe
    vehicles: int | None
    used: int
    remarks: tuple[str, ...]


def load_official_weights(path: Path) -> PGAN:
    """Return the authors' network in evaluation mode, from their `model_best.pth` or from the same as safetensors.

    Where the classifier is missing, which their own loader skips, that is said, and the logits are one column of 0.
    Raises UserError where the file is missing, damaged, would run code, or does not hold exactly that network.
    """
    official = read_official(path)
    for remark in official.remarks:
        log.info(f"{path}: {remark}")
    return official.network


def read_official(path: Path) -> OfficialNetwork:
    """Read the authors' network, and what its file tells of it; see `load_official_weights`."""
    state = _state(path)
    recipe = _recipe(path, state)
    vehicles = _length(state, CLASSIFIER)
    with torch.device("meta"):  # shapes alone: a file with absurd ones is refused before anything of that size is made
        network = build_network(recipe, vehicles or 1, pretrained=False)
    own = network.state_dict()
    wanted = {their_name(name): value for name, value in own.items()}
    if CLASSIFIER not in state:
        del wanted[CLASSIFIER]
    differences = weight_differences(state, wanted)
    if differences is not None:
        raise UserError(f"{path}: not PGAN's official weights on {recipe.trunk}: {differences}")
    network.to_empty(device="cpu").load_state_dict({name: _value(state, name, own[name]) for name in own})
    return OfficialNetwork(network.eval(), recipe, vehicles, len(state), tuple(_remarks(state, wanted)))


def _state(path: Path) -> dict[str, Tensor]:
    state = read_state_dict(path)
    if all(name.startswith("module.") for name in state):  # saved from torch's DataParallel
        state = {name.removeprefix("module."): value for name, value in state.items()}
    levels = max(
        (int(found[1]) + 1 for name in state if (found := re.match(r"attention\.(\d{1,3})\.", name))), default=1
    )
    if levels > 1:
        raise UserError(
            f"{path}: a network of {levels} levels (attention.{levels - 1}; the authors' MULTI_NUMS {levels}), "
            "only the paper's of one level can be read"
        )
    return state


def _recipe(path: Path, state: Mapping[str, Tensor]) -> ReidRecipe:
    features = next((length for name in OF_FUSION if (length := _length(state, name)) is not None), 512)
    try:
        return ReidRecipe.model_validate({"trunk": _trunk(path, state), "features": features})
    except ValidationError as error:
        raise UserError(f"{path}: 2C' is {features} there: {error.errors()[0]['msg']}") from error


def _trunk(path: Path, state: Mapping[str, Tensor]) -> str:
    found = [match for name in state if (match := re.match(r"base\.layer([1-4])\.(\d{1,3})\.(conv3)?", name))]
    blocks = [max((int(match[2]) + 1 for match in found if match[1] == layer), default=0) for layer in "1234"]
    bottleneck = any(match[3] for match in found)
    for (kind, depths), name in RESNETS.items():
        if kind == bottleneck and list(depths) == blocks:
            return name
    raise UserError(
        f"{path}: not PGAN's official weights: base.layer1 to base.layer4 hold {', '.join(map(str, blocks))} blocks, "
        f"which is none of {', '.join(RESNETS.values())}"
    )


def _length(state: Mapping[str, Tensor], name: str) -> int | None:
    return len(state[name]) if name in state and state[name].ndim else None


def _value(state: Mapping[str, Tensor], name: str, own: Tensor) -> Tensor:
    """Return a tensor of the file, or 0 for what it may lack: the classifier, counters of batch norm."""
    return state[their_name(name)] if their_name(name) in state else torch.zeros_like(own, device="cpu")


def _remarks(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    counters = sum(name.endswith(COUNTER) and name not in state for name in wanted)
    told = [] if CLASSIFIER in state else [NO_CLASSIFIER]
    return told + ([f"it lacks {counters} counters of batch norm (num_batches_tracked), unused"] if counters else [])
