"""The network that the authors of PGAN published (github.com/zhangxinyu-xyz/PGAN-VehicleRe-ID), read as our `PGAN`.

Their `model_best.pth` is a state dict of the network of Section 3 under other names: `base` is torchvision's ResNet
with last stride 1; `attention` is PAM, with `weight_g` and `weight_v` of torch's old weight norm; each `refine_*` is an
SE block (`fc`) and a residual block (`bn1` to `conv4`); `bottleneck` is the BN neck. The first 0 in all names but
`base` is a level; the paper's network has one. Backbone and sizes are read from names and shapes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.weights.fitting import (
    COUNTER,
    Spelling,
    choose,
    find_places,
    require_plain,
    summary,
    weight_differences,
)
from data_cache.base.weights.reading import read_state_dicts
from reid.model.checkpoint import build_pgan
from reid.model.pgan import PGAN
from reid.recipes import ReidRecipe

CLASSIFIER = "classifier.0.weight"
NO_CLASSIFIER = "it holds no classifier: the features are the authors', the logits mean nothing (one vehicle, always 0)"
FUSION_SIZED = ("bottleneck.0.weight", "bottleneck.0.running_mean", "refine_concat.0.1.conv3.weight")  # length 2C'
RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {  # (bottleneck blocks?, blocks per layer): He et al., Table 1
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
_BACKBONE = {  # `Backbone` numbers its layers
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
    **_BACKBONE,
    **_ATTENTION,
    **{ours + inner: theirs + name for ours, theirs in _REFINE.items() for inner, name in _INSIDE_REFINE.items()},
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
    """The authors' network in evaluation mode, and its recipe: the paper's, with the file's backbone and 2C'.

    `vehicles` is None if the file has no classifier; `used` is the number of tensors in the file, all of them used.
    """

    network: PGAN
    recipe: ReidRecipe
    vehicles: int | None
    used: int
    remarks: tuple[str, ...]


def read_official(path: Path) -> OfficialNetwork:
    """Read the authors' network from their `model_best.pth`, or from the same tensors as safetensors.

    Raises UserError if the file is missing, damaged, would run code, or holds anything but that network. A classifier
    may be missing, which the authors' own loader skips: then the logits are one column of 0.
    """
    state, unwrapped = _state(path)
    recipe = _recipe(path, state)
    vehicles = _length(state, CLASSIFIER)
    with torch.device("meta"):  # compare shapes before memory of a possibly absurd size is allocated
        network = build_pgan(recipe, vehicles or 1, pretrained=False)
    own = network.state_dict()
    expected = {their_name(name): value for name, value in own.items()}
    if CLASSIFIER not in state:
        del expected[CLASSIFIER]
    differences = weight_differences(state, expected)
    if differences is not None:
        raise UserError(f"{path}: not PGAN's official weights on {recipe.trunk}: {differences}")
    require_plain(str(path), state)
    network.to_empty(device="cpu").load_state_dict({name: _value(state, name, own[name]) for name in own})
    return OfficialNetwork(network.eval(), recipe, vehicles, len(state), (*unwrapped, *_remarks(state, expected)))


def _state(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors under the authors' names, and what had to be unwrapped, at most one line."""
    states = read_state_dicts(path)
    places = find_places(states, [Spelling({name: name for name in _anchors()})])
    if not places:
        raise UserError(f"{path}: not PGAN's official weights, which start with base.conv1.weight; {summary(states)}")
    place = choose(str(path), [one for one in places if one.hits == places[0].hits])
    below = {*place.names.values()}
    others = {name: value for name, value in place.state.tensors.items() if name not in below}
    state = {name: place.state.tensors[raw] for name, raw in place.names.items()} | others
    levels = [int(match[1]) + 1 for name in state if (match := re.match(r"attention\.(\d{1,3})\.", name))]
    if max(levels, default=1) > 1:
        raise UserError(
            f"{path}: a network of {max(levels)} levels (attention.{max(levels) - 1}; the authors' MULTI_NUMS "
            f"{max(levels)}), only the paper's network of one level can be read"
        )
    return state, tuple([", ".join(place.taken())] if place.taken() else [])


def _anchors() -> set[str]:
    """Return the authors' names that their network has on every ResNet."""
    with torch.device("meta"):
        return {their_name(name) for name in build_pgan(ReidRecipe(trunk="resnet18"), 1, pretrained=False).state_dict()}


def _recipe(path: Path, state: Mapping[str, Tensor]) -> ReidRecipe:
    features = next((length for name in FUSION_SIZED if (length := _length(state, name)) is not None), 512)
    try:
        return ReidRecipe.model_validate({"trunk": _backbone(path, state), "features": features})
    except ValidationError as error:
        raise UserError(f"{path}: 2C' is {features}: {error.errors()[0]['msg']}") from error


def _backbone(path: Path, state: Mapping[str, Tensor]) -> str:
    matches = [match for name in state if (match := re.match(r"base\.layer([1-4])\.(\d{1,3})\.(conv3)?", name))]
    blocks = tuple(max((int(match[2]) + 1 for match in matches if match[1] == layer), default=0) for layer in "1234")
    bottleneck = any(match[3] for match in matches)
    if (bottleneck, blocks) not in RESNETS:
        raise UserError(
            f"{path}: not PGAN's official weights: base.layer1 to base.layer4 have {', '.join(map(str, blocks))} "
            f"blocks, which fits none of {', '.join(RESNETS.values())}"
        )
    return RESNETS[bottleneck, blocks]


def _length(state: Mapping[str, Tensor], name: str) -> int | None:
    return len(state[name]) if name in state and state[name].ndim else None


def _value(state: Mapping[str, Tensor], name: str, own: Tensor) -> Tensor:
    """Return a tensor of the file, or zeros for what the file may lack: the classifier, counters of batch norm."""
    return state[their_name(name)] if their_name(name) in state else torch.zeros_like(own, device="cpu")


def _remarks(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    remarks = [] if CLASSIFIER in state else [NO_CLASSIFIER]
    if counters := sum(name.endswith(COUNTER) and name not in state for name in expected):
        remarks.append(f"it lacks {counters} counters of batch norm (num_batches_tracked), which are not used")
    return remarks
