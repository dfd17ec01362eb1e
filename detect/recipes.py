"""Recipes of the part detector: every setting of its training and of its inference."""

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
    """One detector. Anchor sizes are fractions of the input's side; ratios r stand for r and 1/r, beside 1."""

    architecture: Literal["ssdlite_mobilenetv2", "ssd_vgg16", "ssd_resnet18"]
    input_size: int = Field(ge=64, le=1024, description="side of the square that every image is resized to, in pixels")
    widen_factor: float = Field(
        default=1.0, ge=1 / 16, le=2, description="width of MobileNetV2 or ResNet-18, of its usual one"
    )
    extra_channels: tuple[Channels, ...] = Field((), description="SSDLite's levels after the trunk's three")
    strides: tuple[Pixels, ...] = Field(description="of every level, in input pixels")
    anchor_sizes: tuple[Positive, ...] = Field(description="smallest size of every level, then the largest of the last")
    anchor_ratios: tuple[tuple[Positive, ...], ...]
    positive_iou: Fraction = Field(0.5, description="an anchor is a part's from this overlap on")

    score_threshold: float = Field(default=0.02, ge=0, lt=1)
    nms_iou: Fraction = 0.45
    candidates: int = Field(default=400, ge=1, description="boxes of an image that enter NMS")
    top_k: int = Field(default=16, ge=1, le=127)
    minimum_side: float = Field(default=1.0, gt=0, description="of a box, in pixels of the stored image")

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=16, ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, description="highest; linear warm-up before, cosine to 0 after")
    weight_decay: float = Field(default=1e-4, ge=0)
    warm_up_fraction: float = Field(default=0.05, ge=0, lt=1, description="of all steps")
    clip_gradient: float = Field(default=10.0, gt=0, description="largest norm")
    zoom_out: float = Field(default=0.25, ge=0, le=1, description="probability of a view larger than the image")
    zoom_in: float = Field(default=0.5, ge=0, le=1, description="probability of a crop")
    flip: float = Field(default=0.5, ge=0, le=1)
    colour_jitter: float = Field(
        default=0.35, ge=0, lt=1, description="largest change of brightness, contrast, saturation"
    )
    hue_jitter: float = Field(default=0.05, ge=0, le=0.5, description="largest turn, of the colour circle")
    grey: float = Field(default=0.05, ge=0, le=1, description="probability of losing the colour")
    degrade: float = Field(
        default=0.3, ge=0, le=1, description="probability of blur, noise, fewer pixels or JPEG's blocks"
    )
    trunk_weights: str | None = Field(
        None, description="imagenet, another name of torchvision's, a file, or null for random"
    )
    validate_every: int = Field(default=5, ge=1, description="epochs between two measurements on the held-out images")
    held_out: float = Field(
        default=0.1, ge=0, lt=1, description="share of vehicles kept for the metrics; 0: metrics on all"
    )
    seed: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _levels_agree(self) -> "DetectorRecipe":
        levels = len(self.strides)
        if len(self.anchor_ratios) != levels or len(self.anchor_sizes) != levels + 1:
            raise ValueError(f"{levels} strides need {levels} anchor_ratios and {levels + 1} anchor_sizes")
        if any(small >= large for small, large in zip(self.anchor_sizes, self.anchor_sizes[1:], strict=False)):
            raise ValueError("anchor_sizes must grow")
        if self.architecture == "ssd_vgg16" and (self.input_size, levels) not in ((300, 6), (512, 7)):
            raise ValueError("ssd_vgg16 comes with input_size 300 and 6 levels, or 512 and 7")
        if self.architecture == "ssd_vgg16" and (self.widen_factor != 1 or self.extra_channels):
            raise ValueError("ssd_vgg16 has one width, and no extra_channels")
        if self.architecture == "ssdlite_mobilenetv2" and 3 + len(self.extra_channels) != levels:
            raise ValueError("ssdlite_mobilenetv2 has three levels of its trunk plus one for each of extra_channels")
        if self.architecture == "ssd_resnet18" and (levels < 3 or self.extra_channels):
            raise ValueError("ssd_resnet18 has three levels or more, and no extra_channels")
        return self


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
    "demo": DetectorRecipe(
        architecture="ssd_resnet18",
        input_size=224,
        widen_factor=0.5,
        strides=(8, 16, 32, 64),
        anchor_sizes=(0.04, 0.12, 0.25, 0.5, 0.85),
        anchor_ratios=(ALL_RATIOS,) * 3 + (SMALL_RATIOS,),
        epochs=9,
        batch_size=8,
        learning_rate=2e-3,
        zoom_out=0.0,
        zoom_in=0.3,
        colour_jitter=0.2,
        degrade=0.0,  # nine epochs are too few to gain by it
        validate_every=3,
    ),
}


def default_recipe(device: str) -> str:
    """Return the preset for "cuda" (the paper's detector) or "cpu" (one that a CPU carries)."""
    return "ssd300_vgg16" if device == "cuda" else "ssd320_resnet18"
