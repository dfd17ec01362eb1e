"""The names that the authors of PGAN gave to their network's tensors (github.com/zhangxinyu-xyz/PGAN-VehicleRe-ID).

`base` is torchvision's ResNet, `attention` PAM with `weight_g` and `weight_v` of torch's older weight norm, `refine_*`
SE block (`fc`) and residual block (`bn1` to `conv4`), `bottleneck` the BN neck. The first 0 behind each but `base`
counts levels: the paper's network has one.
"""

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
