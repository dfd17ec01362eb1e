"""Recipes of the part detector: all settings of its training and inference, and the presets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data_cache.base.config import Recipe

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Pixels = Annotated[int, Field(ge=1, le=1024)]
Channels = Annotated[int, Field(ge=2, le=4096)]
SMALL_RATIOS = (2.0,)
ALL_RATIOS = (2.0, 3.0)


class DetectorRecipe(Recipe):
    """A detector. Anchor sizes are fractions of the input size; a ratio r means r and 1/r, in addition to 1."""

    architecture: Literal["ssdlite_mobilenetv2", "ssd_mobilenetv2", "ssd_vgg16", "ssd_resnet18"]
    input_size: int = Field(ge=64, le=1024, description="side in pixels of the square to which every image is resized")
    widen_factor: float = Field(
        default=1.0, ge=1 / 16, le=2, description="width of MobileNetV2 or ResNet-18, relative to the original"
    )
    extra_channels: tuple[Channels, ...] = Field((), description="of SSDLite's levels after the three of the backbone")
    pyramid_channels: Channels = Field(32, description="of the feature pyramid, of ssd_mobilenetv2 and ssd_resnet18")
    strides: tuple[Pixels, ...] = Field(description="of each level, in input pixels")
    anchor_sizes: tuple[Positive, ...] = Field(description="smallest size of each level, then the largest of the last")
    anchor_ratios: tuple[tuple[Positive, ...], ...]
    positive_iou: Fraction = Field(0.5, description="least IoU of an anchor and the part it is assigned to")

    anchors_per_part: int = Field(
        1, ge=1, description="anchors assigned to a part whatever their IoU; 1 as in SSD, more for small parts"
    )

    score_threshold: float = Field(default=0.02, ge=0, lt=1)
    nms_iou: Fraction = 0.45
    candidates: int = Field(default=400, ge=1, description="boxes per image before NMS")
    top_k: int = Field(default=16, ge=1, le=127)
    minimum_side: float = Field(default=1.0, gt=0, description="of a box, in pixels of the original image")

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=16, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(
        default=1e-3, gt=0, description="highest; after a linear warm-up, before a cosine decay"
    )
    trunk_rate: float = Field(
        1.0, gt=0, le=1, description="learning rate of the backbone, as a fraction of the highest learning rate"
    )
    frozen_stages: int = Field(0, ge=0, le=4, description="first stages of the backbone whose weights do not change")
    weight_decay: float = Field(default=1e-4, ge=0)
    warm_up_fraction: float = Field(default=0.05, ge=0, lt=1, description="of all steps")
    clip_gradient: float = Field(default=10.0, gt=0, description="largest gradient norm")
    zoom_out: float = Field(default=0.25, ge=0, le=1, description="probability of a view larger than the image")
    zoom_in: float = Field(default=0.5, ge=0, le=1, description="probability of a crop")
    flip: float = Field(default=0.5, ge=0, le=1)
    colour_jitter: float = Field(
        default=0.35, ge=0, lt=1, description="largest change of brightness, contrast and saturation"
    )
    hue_jitter: float = Field(default=0.05, ge=0, le=0.5, description="largest rotation, fraction of the colour circle")
    grey: float = Field(default=0.05, ge=0, le=1, description="probability of removing the colour")
    degrade: float = Field(
        default=0.3, ge=0, le=1, description="probability of blur, noise, low resolution or JPEG artefacts"
    )
    trunk_weights: str | None = Field(
        None, description="of the backbone: imagenet, another torchvision weights name, a file, or null for random"
    )
    validate_every: int = Field(default=5, ge=1, description="epochs between measurements on the held-out images")
    held_out: float = Field(
        default=0.1, ge=0, lt=1, description="fraction of vehicles kept for the metrics; 0 trains and measures on all"
    )
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _levels_agree(self) -> "DetectorRecipe":
        levels = len(self.strides)
        if len(self.anchor_ratios) != levels or len(self.anchor_sizes) != levels + 1:
            raise ValueError(f"{levels} strides need {levels} anchor_ratios and {levels + 1} anchor_sizes")
        if any(small >= large for small, large in zip(self.anchor_sizes, self.anchor_sizes[1:], strict=False)):
            raise ValueError("anchor_sizes must increase")
        if self.architecture == "ssd_vgg16" and (self.input_size, levels) not in ((300, 6), (512, 7)):
            raise ValueError("ssd_vgg16 needs input_size 300 and 6 levels, or 512 and 7")
        if self.architecture == "ssd_vgg16" and (self.widen_factor != 1 or self.extra_channels):
            raise ValueError("ssd_vgg16 has no widen_factor and no extra_channels")
        if self.architecture == "ssd_vgg16" and self.frozen_stages:
            raise ValueError("ssd_vgg16 cannot have frozen_stages")
        if self.architecture == "ssdlite_mobilenetv2" and 3 + len(self.extra_channels) != levels:
            raise ValueError("ssdlite_mobilenetv2 has three backbone levels plus one per entry of extra_channels")
        if self.architecture in ("ssd_mobilenetv2", "ssd_resnet18") and (levels < 3 or self.extra_channels):
            raise ValueError(f"{self.architecture} needs at least three levels, and no extra_channels")
        return self


DEFAULT_RECIPE = "ssd320_mobilenetv2"  # the network of the shipped detector
PRESETS: dict[str, DetectorRecipe] = {
    "ssdlite320_mobilenetv2": DetectorRecipe(
        architecture="ssdlite_mobilenetv2",
        input_size=320,
        extra_channels=(512, 256),
        strides=(8, 16, 32, 64, 107),
        anchor_sizes=(0.035, 0.1, 0.2, 0.4, 0.65, 0.9),
        anchor_ratios=(ALL_RATIOS,) * 4 + (SMALL_RATIOS,),
        epochs=60,
        trunk_weights="imagenet",
    ),
    "ssd320_resnet18": DetectorRecipe(
        architecture="ssd_resnet18",
        input_size=320,
        widen_factor=0.5,
        strides=(8, 16, 32, 64),
        anchor_sizes=(0.03, 0.1, 0.22, 0.45, 0.8),
        anchor_ratios=(ALL_RATIOS,) * 3 + (SMALL_RATIOS,),
        epochs=40,
        learning_rate=2e-3,
        zoom_out=0.1,
        zoom_in=0.4,
    ),
    "ssd320_mobilenetv2": DetectorRecipe(
        architecture="ssd_mobilenetv2",
        input_size=320,
        pyramid_channels=96,
        strides=(8, 16, 32, 64),
        anchor_sizes=(0.03, 0.1, 0.22, 0.45, 0.8),
        anchor_ratios=(ALL_RATIOS,) * 3 + (SMALL_RATIOS,),
        anchors_per_part=4,
        epochs=20,
        trunk_rate=0.3,
        frozen_stages=2,
        zoom_out=0.25,
        zoom_in=0.4,
        trunk_weights="imagenet",
        validate_every=2,
    ),
    "ssd300_vgg16": DetectorRecipe(
        architecture="ssd_vgg16",
        input_size=300,
        strides=(8, 16, 32, 64, 100, 300),
        anchor_sizes=(0.05, 0.12, 0.25, 0.4, 0.55, 0.7, 0.9),
        anchor_ratios=(ALL_RATIOS,) * 4 + (SMALL_RATIOS,) * 2,
        epochs=120,
        batch_size=32,
        optimizer="sgd",
        weight_decay=5e-4,
        trunk_weights="imagenet",
    ),
    "ssd512_vgg16": DetectorRecipe(
        architecture="ssd_vgg16",
        input_size=512,
        strides=(8, 16, 32, 64, 128, 256, 512),
        anchor_sizes=(0.03, 0.08, 0.18, 0.3, 0.42, 0.55, 0.7, 0.9),
        anchor_ratios=(ALL_RATIOS,) * 5 + (SMALL_RATIOS,) * 2,
        epochs=120,
        batch_size=32,
        optimizer="sgd",
        weight_decay=5e-4,
        trunk_weights="imagenet",
    ),
}
PRESETS["demo"] = PRESETS[DEFAULT_RECIPE].model_copy(
    update={
        "epochs": 2,
        "learning_rate": 3e-4,
        "trunk_weights": None,  # it starts from the shipped detector
        "frozen_stages": 4,  # which knows vehicles; training is twice as fast
        "zoom_out": 0.0,
        "zoom_in": 0.3,
        "colour_jitter": 0.2,
        "degrade": 0.0,  # two epochs are too few to benefit
    }
)
