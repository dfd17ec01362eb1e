"""ImageNet weights for a detector's trunk: torchvision's, or a file in torchvision's layout or in MMDetection's."""

from typing import TYPE_CHECKING

from data_cache.errors import UserError
from data_cache.pretrained import pretrained_state

if TYPE_CHECKING:
    from torch import Tensor, nn


NETWORKS = {"ssdlite_mobilenetv2": "mobilenet_v2", "ssd_vgg16": "vgg16", "ssd_resnet18": "resnet18"}  # torchvision's


def load_trunk(weights: str, trunk: "nn.Module", architecture: str) -> list[str]:
    """Put `weights` (see `pretrained_state`) into the `trunk` of an architecture of DetectorRecipe.

    Returns the names of the trunk's tensors that the weights do not hold.
    torchvision and MMDetection list the layers of VGG-16, MobileNetV2 and ResNet-18 in one order, so tensors are
    paired by order and every pair must agree in shape; the classifier is left out. Raises UserError where they do not.
    """
    given = list(_trunk_only(pretrained_state(weights, NETWORKS[architecture])).values())
    own = dict(trunk.state_dict())
    paired = dict(zip(own, given, strict=False))
    for name, tensor in paired.items():
        if own[name].shape != tensor.shape:
            raise UserError(
                f"{weights}: does not fit the trunk at {name}: {tuple(tensor.shape)} given, "
                f"{tuple(own[name].shape)} needed; give weights of the same network and width"
            )
    if not paired or len(given) > len(own):
        raise UserError(f"{weights}: {len(given)} tensors for a trunk of {len(own)}; give weights of the same network")
    trunk.load_state_dict(own | paired)
    return [name for name in own if name not in paired]


def _trunk_only(state: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    backbone = {name: tensor for name, tensor in state.items() if name.startswith("backbone.")}
    return backbone or {name: tensor for name, tensor in state.items() if not name.startswith(("classifier.", "fc."))}
