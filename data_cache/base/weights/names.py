"""The names of VGG-16, MobileNetV2 and ResNets in public weight files, as functions of torchvision's names.

For VGG-16, torchvision's names go on with `features.31` and `features.33`: fc6 and fc7 as convolutions, as in SSD.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from data_cache.base.weights.fitting import Spelling

VGG_LAYERS = {  # index in torchvision's `features` -> Caffe's name
    **{0: "conv1_1", 2: "conv1_2", 5: "conv2_1", 7: "conv2_2", 10: "conv3_1", 12: "conv3_2", 14: "conv3_3"},
    **{17: "conv4_1", 19: "conv4_2", 21: "conv4_3", 24: "conv5_1", 26: "conv5_2", 28: "conv5_3"},
    **{31: "fc6", 33: "fc7"},
}
SSD_EXTRA = {24: "0.1", 26: "0.3", 28: "0.5", 31: "0.7.1", 33: "0.7.3"}  # of torchvision's ssd300_vgg16
SSD, SSD_BESIDE = "torchvision's SSD", tuple(f"extra.{number}." for number in range(1, 7))
MOBILENET_STAGES = (1, 2, 3, 4, 3, 3, 1)  # blocks per stage: Sandler et al., Table 2
MOBILENET_LAST = 18
ROLES = ("expand", "depthwise", "linear")  # the first block does not expand
RESNET_CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


class MobileNetLayer(NamedTuple):
    """A tensor of MobileNetV2: block 0 (stem) to 18 (last), position in the block, "conv" or "bn", and its own name."""

    block: int
    role: str
    kind: str
    leaf: str

    @property
    def position(self) -> int:
        """The place among the convolutions of the block: 0 to 2, 0 to 1 in the first block, which does not expand."""
        return ROLES.index(self.role) - (self.block == 1)

    @property
    def stage(self) -> tuple[int, int]:
        """The stage, from 0, and the place in it."""
        stage, index = 0, self.block - 1
        while index >= MOBILENET_STAGES[stage]:
            stage, index = stage + 1, index - MOBILENET_STAGES[stage]
        return stage, index


def mobilenet_layer(name: str) -> MobileNetLayer:
    """Return what a name of torchvision's MobileNetV2 means.

    >>> mobilenet_layer("features.2.conv.3.running_var")
    MobileNetLayer(block=2, role='linear', kind='bn', leaf='running_var')
    """
    _, number, *rest = name.split(".")
    block, kinds = int(number), ("conv", "bn")
    if block in (0, MOBILENET_LAST):
        return MobileNetLayer(block, "stem" if block == 0 else "last", kinds[int(rest[0])], rest[1])
    roles = ROLES[1:] if block == 1 else ROLES
    position = int(rest[1])
    if len(rest) == 4:  # convolution, norm and activation are a Sequential of their own
        return MobileNetLayer(block, roles[position], kinds[int(rest[2])], rest[3])
    return MobileNetLayer(block, "linear", kinds[position - len(roles) + 1], rest[2])


def mmdetection_mobilenet(name: str) -> str:
    """Return MMDetection's name for torchvision's.

    >>> mmdetection_mobilenet("features.2.conv.0.0.weight")
    'layer2.0.expand_conv.conv.weight'
    """
    layer = mobilenet_layer(name)
    if layer.block in (0, MOBILENET_LAST):
        return f"conv{1 if layer.block == 0 else 2}.{layer.kind}.{layer.leaf}"
    stage, index = layer.stage
    return f"layer{stage + 1}.{index}.{layer.role}_conv.{layer.kind}.{layer.leaf}"


def _mmpretrain_mobilenet(name: str) -> str:
    layer = mobilenet_layer(name)
    if layer.block in (0, MOBILENET_LAST):
        return mmdetection_mobilenet(name)
    stage, index = layer.stage
    return f"layer{stage + 1}.{index}.conv.{layer.position}.{layer.kind}.{layer.leaf}"


def _flat_mobilenet(name: str) -> str:
    """Return the name where a block is one Sequential: convolution, norm and activation are numbered through."""
    layer = mobilenet_layer(name)
    if layer.block in (0, MOBILENET_LAST):
        return name
    return f"features.{layer.block}.conv.{3 * layer.position + (layer.kind == 'bn')}.{layer.leaf}"


def _timm_mobilenet(name: str) -> str:
    layer = mobilenet_layer(name)
    if layer.block in (0, MOBILENET_LAST):
        module = {"conv": ("conv_stem", "conv_head"), "bn": ("bn1", "bn2")}[layer.kind][layer.block > 0]
        return f"{module}.{layer.leaf}"
    stage, index = layer.stage
    depthwise_separable = {"depthwise": "conv_dw", "linear": "conv_pw"}
    inverted_residual = {"expand": "conv_pw", "depthwise": "conv_dw", "linear": "conv_pwl"}
    convolution = (depthwise_separable if layer.block == 1 else inverted_residual)[layer.role]
    module = convolution if layer.kind == "conv" else f"bn{layer.position + 1}"
    return f"blocks.{stage}.{index}.{module}.{layer.leaf}"


def _caffe_vgg(name: str) -> str:
    _, number, leaf = name.split(".")
    return f"{VGG_LAYERS[int(number)]}.{leaf}"


def _torchvision_ssd_vgg(name: str) -> str:
    _, number, leaf = name.split(".")
    return f"extra.{SSD_EXTRA[int(number)]}.{leaf}" if int(number) in SSD_EXTRA else name


def _numbered_resnet(name: str) -> str:
    child, _, rest = name.partition(".")
    return f"{RESNET_CHILDREN[child]}.{rest}"


def _without_features(name: str) -> str:
    return name.removeprefix("features.")


ORIGINS: dict[str, dict[str, Callable[[str], str]]] = {
    "vgg16": {
        "": str,
        "ssd.pytorch": _without_features,
        "Caffe": _caffe_vgg,
        SSD: _torchvision_ssd_vgg,
    },
    "mobilenet_v2": {
        "": str,
        "torchvision's features": _without_features,
        "MMDetection": mmdetection_mobilenet,
        "MMPretrain": _mmpretrain_mobilenet,
        "pytorch-mobilenet-v2": _flat_mobilenet,
        "pytorch-ssd": lambda name: _without_features(_flat_mobilenet(name)),
        "timm": _timm_mobilenet,
    },
    "resnet": {"": str, "a Sequential of ResNet's children": _numbered_resnet},
}


def spellings(network: str, names: Mapping[str, str]) -> list[Spelling]:
    """Return the spellings of torchvision's `network`; `names` maps its names to those that are asked for.

    Of a network that is not in ORIGINS, torchvision's own names alone.

    >>> spellings("resnet18", {"layer1.0.conv1.weight": "own"})[1].names
    {'4.0.conv1.weight': 'own'}
    """
    origins = ORIGINS.get("resnet" if network.startswith("resnet") else network, {"": str})
    return [
        Spelling({spell(name): own for name, own in names.items()}, origin, SSD_BESIDE if origin == SSD else ())
        for origin, spell in origins.items()
    ]
