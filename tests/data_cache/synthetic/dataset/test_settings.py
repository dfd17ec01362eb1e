"""Settings that make no data set are refused, with the value named."""

import doctest
from dataclasses import replace
from typing import Any

import pytest

from data_cache.base.errors import UserError
from data_cache.synthetic.dataset import settings
from data_cache.synthetic.dataset.settings import FIXED, RENDERER_VERSION, SyntheticSettings, title


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"vehicles": 1}, "vehicles must lie between 2 and 9999, not 1"),
        ({"cameras": 1}, "cameras must lie between 2 and 99, not 1"),
        ({"cameras_per_vehicle": 9}, "cameras_per_vehicle must lie between 2 and 8, not 9"),
        ({"images_per_camera": 0}, "images_per_camera"),
        ({"fleet_size": 0}, "fleet_size"),
        ({"image_size": 20}, "image_size must lie between 48 and 1000, not 20"),
        ({"seed": -1}, "seed"),
        ({"train_share": 1.0}, "train_share must lie between 0 and 1, not 1.0"),
        ({"vehicles": 6, "fleet_size": 6}, "make one fleet"),
    ],
)
def test_impossible_values(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SyntheticSettings(**changed)


def test_recorded_settings_hold_all_that_decides() -> None:
    recorded = SyntheticSettings(seed=5).recorded()
    assert recorded["renderer_version"] == RENDERER_VERSION
    assert recorded["seed"] == 5
    assert set(recorded) == {"renderer_version", *SyntheticSettings.__dataclass_fields__}


def test_a_fixed_set_is_told_of_by_its_name_and_another_by_its_size() -> None:
    for name, fixed in FIXED.items():
        assert title(fixed.recorded()) == f"{name} of renderer {RENDERER_VERSION}"
        assert name not in title(replace(fixed, fleet_size=fixed.fleet_size + 1).recorded())
    assert doctest.testmod(settings).failed == 0
