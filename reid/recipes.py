"""Recipes of stage two: the paper's settings, its ablations, and a small version of each for a CPU."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer

from data_cache.base.config import Recipe, resolve_recipe
from data_cache.parts.names import PART_NAMES
from data_cache.parts.selection import BoxChoice, First

Attention = Literal["parts", "equal", "grid", "none"]
Pooling = Literal["average", "gem"]
TRUNKS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnet18_ibn_a", "resnet50_ibn_a", "resnet101_ibn_a", "resnet50_ibn_b", "mobilenet_v2"),
)
TIMM_TRUNK = re.compile(r"timm/[a-z0-9_]+(\.[a-z0-9_]+)?")  # a name of timm, with the tag of its weights
LATER_OPTIONS = (  # added since version 0.3; dumps leave them out at their defaults, which must never change
    "start",
    *("parts_per_label", "parts_first"),
    *("part_crops", "slot_features", "slot_weight"),
    *("metric_loss", "circle_margin", "circle_scale"),
    *("identity_loss", "arc_margin", "arc_scale", "label_smoothing", "average"),
    *("pooling", "across_cameras"),
    "hide",
    "flip_test",
    "augment",
    *("image_height", "image_width"),
)


class ReidRecipe(Recipe):
    """All settings of a training; together with the data they determine its result."""

    trunk: str = Field("resnet50", description=f"{', '.join(TRUNKS)}, or timm/NAME")
    trunk_weights: str | None = Field(
        "imagenet",
        description="of the backbone: imagenet, another torchvision name, timm, a file, or null for random",
    )
    start: str | None = Field(
        None,
        description="a trained network to start from, its run's folder or file or shipped, instead of trunk_weights",
    )
    attention: Attention = Field("parts", description="parts: PGAN; equal: without PAM; grid; none: the baseline")
    features: int = Field(512, ge=8, multiple_of=8, description="2C', the size of the fusion vector")
    parts: int = Field(8, ge=0, le=64, description="D, the number of part boxes per image, the most confident first")
    parts_per_label: int | None = Field(
        None,
        ge=1,
        le=64,
        description="most boxes of a label among the D, the best of each first; null: any number",
    )
    parts_first: First = Field(
        "confident",
        description="boxes that go before others; varying: of parts in which vehicles of one model differ",
    )
    hide: tuple[str, ...] = Field(
        (), description="parts whose boxes are covered in the pixels, as [plate]; the network has none of them"
    )
    part_crops: int = Field(
        0,
        ge=0,
        le=256,
        multiple_of=16,
        description="side of a crop of each part from the stored image, in pixels: PGAN+; 0: none",
    )
    slot_features: int = Field(32, ge=4, le=512, description="of each kind of part in the feature of PGAN+")
    slot_weight: float = Field(1.0, ge=0, description="weight of the losses of the parts of PGAN+")
    temperature: float = Field(10.0, gt=0, description="of the softmax in PAM")
    pooling: Pooling = Field("average", description="of the refined maps; gem: generalised mean, exponent learned")
    triplets: tuple[Literal["fusion", "global", "part"], ...] = Field(
        ("fusion", "global", "part"), description="vectors with a triplet loss, or that of metric_loss"
    )
    metric_loss: Literal["triplet", "circle"] = Field("triplet", description="of these vectors; circle replaces it")
    circle_margin: float = Field(0.25, ge=0, lt=1, description="of the circle loss, on cosines")
    circle_scale: float = Field(64.0, gt=0, description="gamma of the circle loss")
    identity_weight: float = Field(
        2.0, ge=0, alias="lambda", description="weight of the identity loss, eq. 5; if not given, 1 on VehicleID"
    )
    margin: float = Field(0.3, ge=0, description="of the triplet losses")
    identity_loss: Literal["softmax", "arcface"] = Field(
        "softmax", description="arcface: on the cosines of feature and class weights, with a margin"
    )
    arc_margin: float = Field(0.1, ge=0, le=1, description="of ArcFace, in radians")
    arc_scale: float = Field(30.0, gt=0, description="of ArcFace, by which the cosines are multiplied")
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="share of the identity loss's target given to all classes"
    )
    image_size: int = Field(224, ge=32, multiple_of=16, description="side of the input, in pixels")
    image_height: int | None = Field(None, ge=32, multiple_of=16, description="of an input that is no square, or null")
    image_width: int | None = Field(None, ge=32, multiple_of=16, description="of an input that is no square, or null")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
    erase: float = Field(0.5, ge=0, le=1, description="probability of random erasing")
    augment: Literal["none", "light", "strong"] = Field(
        "none", description="also move, colour, blur and compress training images, with their boxes"
    )
    flip_test: bool = Field(False, description="features are means over image and mirror image, at twice the cost")
    vehicles_per_batch: int = Field(16, ge=2, description="P of the PK sampler")
    images_per_vehicle: int = Field(4, ge=2, description="K of the PK sampler")
    across_cameras: bool = Field(
        False, description="batches with a vehicle's images by different cameras, and vehicles by the same camera"
    )
    epochs: int = Field(130, ge=1)
    learning_rate: float = Field(1.75e-4, gt=0, description="after the warm-up")
    weight_decay: float = Field(5e-4, ge=0)
    warmup_epochs: int = Field(10, ge=0)
    schedule: Literal["halving", "cosine"] = Field("halving", description="the paper halves every 20 epochs")
    holdout: float = Field(
        0.1,
        ge=0,
        lt=0.5,
        description="share of the training vehicles that choose the best epoch; 0: use the last epoch",
    )
    validate_every: int = Field(10, ge=1, description="epochs between validations on the held-out vehicles")
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a moving average of the weights, which is validated and kept as best; 0: none",
    )
    seed: int = Field(0, ge=0)

    @field_validator("trunk")
    @classmethod
    def _is_known(cls, trunk: str) -> str:
        if trunk not in TRUNKS and not TIMM_TRUNK.fullmatch(trunk):
            raise ValueError(f"the backbones are {', '.join(TRUNKS)}, and timm/NAME")
        return trunk

    @field_validator("hide", mode="before")
    @classmethod
    def _sorted(cls, hide: Any) -> Any:
        """Accept one part without brackets; the order makes no difference."""
        kinds = [hide] if isinstance(hide, str) else hide
        return sorted(set(kinds)) if isinstance(kinds, list | tuple) and all(map(_is_text, kinds)) else kinds

    @field_validator("triplets")
    @classmethod
    def _exist(cls, triplets: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if triplets and "fusion" not in triplets and others.data.get("attention") == "none":
            raise ValueError("without attention the only vector is fusion; use [fusion] or []")
        return triplets

    @model_serializer(mode="wrap")
    def _without_new_options(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out `LATER_OPTIONS` that are not used: files and hashes of older recipes stay as they were."""
        values: dict[str, Any] = dump(self)
        unused = {name for name in LATER_OPTIONS if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in values.items() if name not in unused}

    @property
    def box_choice(self) -> BoxChoice:
        """The choice of the D boxes that the network reads."""
        return BoxChoice(self.parts, self.parts_per_label, self.parts_first)

    @property
    def input_size(self) -> tuple[int, int]:
        """The height and width of the input, in pixels; `image_size` unless given."""
        return self.image_height or self.image_size, self.image_width or self.image_size

    @property
    def feature_length(self) -> int:
        """The number of values in the feature of an image: 2C', and the slots of PGAN+."""
        return self.features + (len(PART_NAMES) * self.slot_features if self.part_crops else 0)

    @property
    def weighing(self) -> str:
        """How parts are weighed, as pictures and lists call it: the attention, or "slots" for PGAN+."""
        return "slots" if self.part_crops else self.attention

    @property
    def uses_parts(self) -> bool:
        """Whether the network uses part boxes."""
        return (self.attention in ("parts", "equal") or self.part_crops > 0) and self.parts > 0

    @property
    def reads_boxes(self) -> bool:
        """Whether part boxes are needed: as parts of the network, or to cover what it must not see."""
        return self.uses_parts or bool(self.hide)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


ATTENTIONS: dict[str, Attention] = {"pgan": "parts", "pgan_no_pam": "equal", "grid": "grid", "baseline": "none"}
SMALL = ReidRecipe(
    trunk="resnet18",
    trunk_weights=None,
    image_size=128,
    epochs=60,
    learning_rate=7e-4,
    warmup_epochs=3,
    schedule="cosine",
)
PLUS: Mapping[str, Any] = {"attention": "none", "parts_first": "varying", "parts_per_label": 2}  # the whole: a baseline
STRONG: Mapping[str, Any] = {  # what paid beside PGAN+, docs/results/plus.md
    **PLUS,
    "identity_weight": 4.0,
    "label_smoothing": 0.1,
    "average": 0.98,
    "flip_test": True,
}
PRESETS: dict[str, ReidRecipe] = {
    **{name: ReidRecipe(attention=kind) for name, kind in ATTENTIONS.items()},
    "pgan_plus": ReidRecipe(**PLUS, part_crops=96),
    "pgan_plus_small": SMALL.model_copy(update={**PLUS, "part_crops": 64}),
    "strong": ReidRecipe().model_copy(update={**STRONG, "part_crops": 96}),
    "strong_small": SMALL.model_copy(update={**STRONG, "part_crops": 64}),
    **{f"{name}_small": SMALL.model_copy(update={"attention": kind}) for name, kind in ATTENTIONS.items()},
    "demo": SMALL.model_copy(update={"epochs": 12, "validate_every": 6}),
}

# The paper's best lambda is 2, on VeRi-776 (section 4.3.3 and Figure 3 b); it names none for other data sets. The
# authors' configuration has 1 for VehicleID and 2 for the others.
DATASET_OPTIONS: Mapping[str, Mapping[str, Any]] = {"vehicleid": {"lambda": 1.0}}


def dataset_options(dataset: str) -> Mapping[str, Any]:
    """Return the options, by name, whose values on a data set are not those of the presets."""
    return DATASET_OPTIONS.get(dataset, {})


def recipe_for(dataset: str, name_or_path: str, overrides: Sequence[str] = ()) -> ReidRecipe:
    """Return a preset by name, or the recipe of a YAML file, as it is on a data set, with `key=value` overrides.

    An override, a value in the file, or one that a preset sets itself wins over `dataset_options`. Raises UserError as
    `resolve_recipe`.
    """
    own, usual = dataset_options(dataset), ReidRecipe().model_dump()
    presets = {}
    for name, preset in PRESETS.items():
        values = preset.model_dump()
        open_options = {option: value for option, value in own.items() if values[option] == usual[option]}
        presets[name] = ReidRecipe.model_validate({**values, **open_options})
    return resolve_recipe(ReidRecipe, presets, name_or_path, overrides, defaults=own)


def default_recipe(device: str) -> str:
    """Return the name of the preset for a device: the paper's recipe on a GPU, the small one on a CPU."""
    return "pgan" if device == "cuda" else "pgan_small"
