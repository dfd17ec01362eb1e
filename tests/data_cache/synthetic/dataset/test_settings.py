"""Settings: values out of range are refused, and rendered data sets are described by them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError
from data_cache.synthetic.dataset.settings import FIXED, RENDERER_VERSIONS, SyntheticSettings, describe_rendering


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vehicles": 1}, "vehicles must be between 2 and 9999, not 1"),
        ({"cameras": 1}, "cameras must be between 2 and 99, not 1"),
        ({"cameras_per_vehicle": 9}, "cameras_per_vehicle must be between 2 and 8, not 9"),
        ({"images_per_camera": 0}, "images_per_camera"),
        ({"fleet_size": 0}, "fleet_size"),
        ({"image_size": 20}, "image_size must be between 48 and 1000, not 20"),
        ({"seed": -1}, "seed"),
        ({"train_share": 1.0}, "train_share must be between 0 and 1, not 1.0"),
        ({"variety": "narrow"}, "variety must be one of .*, not 'narrow'"),
        ({"vehicles": 6, "fleet_size": 6}, "make one fleet"),
        ({"absent": 1.0}, "absent must be from 0 to below 1, not 1.0"),
    ],
)
def test_values_out_of_range(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SyntheticSettings(**changed)


@pytest.mark.parametrize(
    ("settings", "description"),
    [
        (FIXED["fleets480"], "fleets480 (renderer 2)"),
        (FIXED["fleets480v2"], "fleets480v2 (renderer 2)"),
        (replace(FIXED["fleets480"], fleet_size=4), "480 vehicles, seed 1 (renderer 2)"),
        (SyntheticSettings(vehicles=30, seed=7), "30 vehicles, seed 7 (renderer 2)"),
    ],
)
def test_description_of_a_rendered_set(tmp_path: Path, settings: SyntheticSettings, description: str) -> None:
    assert describe_rendering(tmp_path) is None
    (tmp_path / "synthetic.json").write_text(json.dumps({"settings": settings.to_dict()}))
    assert settings.to_dict()["renderer_version"] == RENDERER_VERSIONS["fleets"] == 2
    wide = replace(settings, variety="wide").to_dict()
    assert wide["renderer_version"] == RENDERER_VERSIONS["wide"] and wide["variety"] == "wide"
    assert describe_rendering(tmp_path) == description


def test_sets_rendered_before_there_were_varieties_are_still_known() -> None:
    recorded = {
        "renderer_version": 2, "vehicles": 480, "cameras": 8, "cameras_per_vehicle": 5, "images_per_camera": 2,
        "fleet_size": 3, "image_size": 200, "seed": 1, "train_share": 0.7,
    }  # fmt: skip
    assert FIXED["fleets480"].to_dict() == recorded
    changed = {"variety": "wide", "renderer_version": RENDERER_VERSIONS["wide"]}
    assert FIXED["fleets480v2"].to_dict() == recorded | {"image_size": 420}
    assert replace(FIXED["fleets480"], variety="wide").to_dict() == recorded | changed
    assert replace(FIXED["fleets480"], absent=0.2).to_dict() == recorded | {"absent": 0.2}
