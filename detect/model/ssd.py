"""The door to MMDetection: SSD networks built from our recipes, and pretrained weights for their backbones.

Outside detect/model and detect/training, nothing imports an mm package. MMEngine's loaders run code found in
YAML, Python configurations and pickles, so none is used: networks are built from plain dictionaries, and weights are
loaded with `load_state_dict`.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from data_cache.base.errors import UserError
from data_cache.base.options import remedy_command
from data_cache.base.pretrained import pretrained_tensors
from data_cache.base.progress import without_library_messages
from data_cache.base.weights.names import mmdetection_mobilenet
from data_cache.parts.names import PART_NAMES
from detect.model.mmcv_ops import supply_operators
from detect.recipes import DetectorRecipe

if TYPE_CHECKING:
    from torch import nn

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
VGG_CHANNELS = {300: (512, 1024, 512, 256, 256, 256), 512: (512, 1024, 512, 256, 256, 256, 256)}
VGG_EXTRA_STRIDE = {300: (2, 2, 1, 1), 512: (2, 2, 2, 2, 1)}
VGG_EXTRA_PADDING = {300: (1, 1, 0, 0), 512: (1, 1, 1, 1, 1)}
VGG_FULLY_CONNECTED = ("features.31.", "features.33.")  # fc6 and fc7 as convolutions
TORCHVISION_NAMES = {
    "ssdlite_mobilenetv2": "mobilenet_v2",
    "ssd_mobilenetv2": "mobilenet_v2",
    "ssd_vgg16": "vgg16",
    "ssd_resnet18": "resnet18",
}


def build_network(recipe: DetectorRecipe) -> "nn.Module":
    """Return MMDetection's SSD for `recipe`: on the CPU, in training mode, initialised from torch's global generator.

    Raises UserError if the mm packages are missing.
    """
    from data_cache.base.depthwise import with_fast_depthwise

    with quiet():
        supply_operators()
        try:
            from mmdet.registry import MODELS
            from mmengine.config import ConfigDict
            from mmengine.registry import DefaultScope

            import detect.model.head  # noqa: F401 - registers the head, and imports the networks of MMDetection
        except ImportError as error:
            remedy = f"install it with `make setup`, see {remedy_command('doctor')}"
            raise UserError(f"the detector needs MMDetection ({error}); {remedy}") from error
        with DefaultScope.overwrite_default_scope("mmdet"):
            network: nn.Module = MODELS.build(ConfigDict(network_config(recipe)))
        network.init_weights()  # type: ignore[operator]
        network.train()  # MMDetection freezes the recipe's frozen stages here
    return with_fast_depthwise(network)


def load_backbone(weights: str, backbone: "nn.Module", architecture: str) -> list[str]:
    """Load `weights` (see `pretrained_states`) into the backbone; return the names of tensors that they do not contain.

    Tensors are matched by the names of torchvision, MMDetection and other programs (data_cache/base/weights/names.py),
    and by shape. Raises UserError unless the file has all of the backbone; fc6 and fc7 of VGG-16 may be missing.
    """
    network, own = TORCHVISION_NAMES[architecture], dict(backbone.state_dict())
    names = _mobilenet_names() if network == "mobilenet_v2" else {name: name for name in own}
    optional = [name for name in own if name.startswith(VGG_FULLY_CONNECTED)] if network == "vgg16" else []
    found = pretrained_tensors(weights, network, names, own, optional)
    backbone.load_state_dict(own | found)
    return [name for name in own if name not in found]


def _mobilenet_names() -> dict[str, str]:
    """Return MMDetection's names by torchvision's, without the classifier."""
    import torch
    from torchvision.models import mobilenet_v2

    with torch.device("meta"):
        names = mobilenet_v2().features.state_dict(prefix="features.")
    return {name: mmdetection_mobilenet(name) for name in names}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, output and log records of chatty libraries; exceptions pass."""
    captured = io.StringIO()
    with without_library_messages(), contextlib.redirect_stdout(captured), contextlib.redirect_stderr(captured):
        yield


def network_config(recipe: DetectorRecipe) -> dict[str, Any]:
    """Return the dictionary from which MMDetection's registry builds the network.

    It has no test settings: inference is `detect.model.detector`, not MMDetection's `predict`.
    """
    return CONFIGS[recipe.architecture](recipe) | {
        "type": "SingleStageDetector",
        "data_preprocessor": {"type": "DetDataPreprocessor", "mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        "train_cfg": {
            "assigner": {
                "type": "SeveralAnchorsAssigner",
                "anchors_per_part": recipe.anchors_per_part,
                "pos_iou_thr": recipe.positive_iou,
                "neg_iou_thr": recipe.positive_iou,
                "min_pos_iou": 0.0,
                "ignore_iof_thr": -1,
                "gt_max_assign_all": False,
            },
            "sampler": {"type": "PseudoSampler"},
            "smoothl1_beta": 1.0,
            "allowed_border": -1,
            "pos_weight": -1,
            "neg_pos_ratio": 3,
            "debug": False,
        },
    }


def _head(recipe: DetectorRecipe, channels: tuple[int, ...], **more: object) -> dict[str, Any]:
    sizes = [size * recipe.input_size for size in recipe.anchor_sizes]
    return {
        "type": "PartHead",
        "num_classes": len(PART_NAMES),
        "in_channels": channels,
        "anchor_generator": {
            "type": "SSDAnchorGenerator",
            "scale_major": False,
            "strides": list(recipe.strides),
            "ratios": [list(ratios) for ratios in recipe.anchor_ratios],
            "min_sizes": sizes[:-1],
            "max_sizes": sizes[1:],
        },
        "bbox_coder": {
            "type": "DeltaXYWHBBoxCoder",
            "target_means": (0.0, 0.0, 0.0, 0.0),
            "target_stds": (0.1, 0.1, 0.2, 0.2),
        },
    } | more


def _ssd_vgg(recipe: DetectorRecipe) -> dict[str, Any]:
    channels = VGG_CHANNELS[recipe.input_size]
    return {
        "backbone": {
            "type": "SSDVGG",
            "depth": 16,
            "with_last_pool": False,
            "ceil_mode": True,
            "out_indices": (3, 4),
            "out_feature_indices": (22, 34),
        },
        "neck": {
            "type": "SSDNeck",
            "in_channels": channels[:2],
            "out_channels": channels,
            "level_strides": VGG_EXTRA_STRIDE[recipe.input_size],
            "level_paddings": VGG_EXTRA_PADDING[recipe.input_size],
            "l2_norm_scale": 20,
            "last_kernel_size": 3 if recipe.input_size == 300 else 4,
        },
        "bbox_head": _head(recipe, channels),
    }


def _ssdlite(recipe: DetectorRecipe) -> dict[str, Any]:
    batch_norm = {"type": "BN", "eps": 1e-3, "momentum": 0.1}  # SSDLite's 0.03 is too slow for short training runs
    backbone_channels = _mobilenet_channels(recipe)
    channels = backbone_channels + recipe.extra_channels
    extra = len(recipe.extra_channels)
    return {
        "backbone": _mobilenet(recipe, batch_norm),
        "neck": {
            "type": "SSDNeck",
            "in_channels": backbone_channels,
            "out_channels": channels,
            "level_strides": (2,) * extra,
            "level_paddings": (1,) * extra,
            "l2_norm_scale": None,
            "use_depthwise": True,
            "norm_cfg": batch_norm,
            "act_cfg": {"type": "ReLU6"},
        },
        "bbox_head": _head(recipe, channels, use_depthwise=True, norm_cfg=batch_norm, act_cfg={"type": "ReLU6"}),
    }


def _ssd_mobilenet(recipe: DetectorRecipe) -> dict[str, Any]:
    """Return MobileNetV2, which has ImageNet weights, with a feature pyramid and dense convolutions in the head."""
    batch_norm = {"type": "BN"}
    channels = (recipe.pyramid_channels,) * len(recipe.strides)
    return {
        "backbone": _mobilenet(recipe, batch_norm),
        "neck": _pyramid(recipe, _mobilenet_channels(recipe), batch_norm),
        "bbox_head": _head(recipe, channels),
    }


def _mobilenet(recipe: DetectorRecipe, batch_norm: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "MobileNetV2",
        "widen_factor": recipe.widen_factor,
        "out_indices": (2, 4, 7),  # strides 8, 16, 32; the usual SSDLite lacks stride 8, where most parts are found
        "frozen_stages": recipe.frozen_stages or -1,
        "norm_cfg": batch_norm,
    }


def _mobilenet_channels(recipe: DetectorRecipe) -> tuple[int, ...]:
    """Return the channels at strides 8, 16 and 32."""
    return (*(_mobilenet_width(width * recipe.widen_factor) for width in (32, 96)), 1280)


def _pyramid(recipe: DetectorRecipe, channels: tuple[int, ...], batch_norm: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "FPN",
        "in_channels": list(channels),
        "out_channels": recipe.pyramid_channels,
        "num_outs": len(recipe.strides),
        "norm_cfg": batch_norm,
        "add_extra_convs": "on_output",
    }


def _ssd_resnet(recipe: DetectorRecipe) -> dict[str, Any]:
    """Return a narrow ResNet-18 with a feature pyramid: dense convolutions, fast on a CPU, and context at stride 8."""
    base = round(64 * recipe.widen_factor)
    batch_norm = {"type": "BN"}
    channels = (recipe.pyramid_channels,) * len(recipe.strides)
    return {
        "backbone": {
            "type": "ResNet",
            "depth": 18,
            "base_channels": base,
            "stem_channels": base,
            "out_indices": (1, 2, 3),
            "frozen_stages": recipe.frozen_stages or -1,
            "norm_eval": False,
            "norm_cfg": batch_norm,
        },
        "neck": _pyramid(recipe, (2 * base, 4 * base, 8 * base), batch_norm),
        "bbox_head": _head(recipe, channels),
    }


def _mobilenet_width(width: float) -> int:
    """Return the nearest multiple of 8 that is at least 90 % of `width`, as in the published code of MobileNetV2."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8


CONFIGS: dict[str, Callable[[DetectorRecipe], dict[str, Any]]] = {
    "ssdlite_mobilenetv2": _ssdlite,
    "ssd_mobilenetv2": _ssd_mobilenet,
    "ssd_vgg16": _ssd_vgg,
    "ssd_resnet18": _ssd_resnet,
}
