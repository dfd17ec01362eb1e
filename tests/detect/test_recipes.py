"""Detector recipes: presets, and values that are refused."""

import pytest
from pydantic import ValidationError

from data_cache.base.config import resolve_recipe
from data_cache.base.errors import UserError
from detect.model import shipped
from detect.model.ssd import network_config
from detect.model.weights import read_recipe
from detect.recipes import DEFAULT_RECIPE, PRESETS, DetectorRecipe


@pytest.mark.parametrize("name", [DEFAULT_RECIPE, "demo"])
def test_the_default_and_the_demo_have_the_network_of_the_shipped_detector(name: str) -> None:
    trained = read_recipe(shipped.weights()).frozen_stages  # which layers learn is no matter of the network
    recipe = PRESETS[name].model_copy(update={"frozen_stages": trained})
    assert network_config(recipe) == network_config(read_recipe(shipped.weights()))


@pytest.mark.parametrize("name", PRESETS)
def test_smallest_anchor_of_a_preset_fits_small_parts(name: str) -> None:
    assert PRESETS[name].anchor_sizes[0] <= 0.05


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"strides": (8, 16)}, "2 strides need 2 anchor_ratios"),
        ({"anchor_sizes": (0.1, 0.1, 0.3, 0.5, 0.8)}, "must increase"),
        ({"architecture": "ssdlite_mobilenetv2"}, "three backbone levels"),
        ({"extra_channels": (64,)}, "no extra_channels"),
        ({"architecture": "ssd_vgg16"}, "ssd_vgg16 needs input_size 300"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rat": 1}, "Extra inputs"),
    ],
)
def test_inconsistent_recipe_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        DetectorRecipe(**(PRESETS["ssd320_resnet18"].model_dump() | change))


def test_misspelt_override_suggests_the_right_name() -> None:
    with pytest.raises(UserError, match="did you mean epochs"):
        resolve_recipe(DetectorRecipe, PRESETS, "demo", ["epoch=3"])


@pytest.mark.parametrize(
    "change",
    [
        {"extra_channels": (0, 8)},
        {"extra_channels": (1, 8)},
        {"extra_channels": (10**6, 8)},
        {"strides": (0, 16, 32, 64, 107)},
        {"strides": (10**9, 16, 32, 64, 107)},
        {"anchor_sizes": (-0.1, 0.1, 0.2, 0.4, 0.65, 0.9)},
        {"anchor_ratios": ((0.0,),) * 5},
        {"widen_factor": 1e-4},
        {"seed": 2**63},
    ],
)
def test_unreasonable_sizes_are_refused_before_a_network_is_built(change: dict[str, object]) -> None:
    """Weights files contain a recipe; a malicious one must not exhaust the memory."""
    valid = PRESETS["ssdlite320_mobilenetv2"].model_dump()
    DetectorRecipe.model_validate(valid)
    with pytest.raises(ValidationError):
        DetectorRecipe.model_validate(valid | change)
