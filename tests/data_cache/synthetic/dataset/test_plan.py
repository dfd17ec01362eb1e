"""The plan: fleets are not divided, queries have matches, vehicles have several cameras."""

from collections import defaultdict

import pytest

from data_cache.synthetic.dataset.plan import Shot, plan_shots
from data_cache.synthetic.dataset.settings import SyntheticSettings
from data_cache.synthetic.design.sampling import sample_vehicles

CASES = [
    SyntheticSettings(vehicles=40),
    SyntheticSettings(vehicles=13, fleet_size=4, cameras=2, cameras_per_vehicle=2, images_per_camera=1, seed=3),
    SyntheticSettings(vehicles=30, cameras=12, cameras_per_vehicle=4, images_per_camera=1, train_share=0.2),
    SyntheticSettings(vehicles=4, fleet_size=1, cameras=3, cameras_per_vehicle=3, images_per_camera=3, train_share=0.9),
]


def _plan(settings: SyntheticSettings) -> list[Shot]:
    return plan_shots(settings, sample_vehicles(settings.vehicles, settings.fleet_size, settings.seed))


@pytest.mark.parametrize("settings", CASES)
def test_fleets_are_not_divided_and_every_query_has_a_match(settings: SyntheticSettings) -> None:
    shots = _plan(settings)
    uses: dict[int, set[str]] = defaultdict(set)
    for shot in shots:
        uses[(shot.vehicle - 1) // settings.fleet_size].add("train" if shot.split == "train" else "test")
    assert all(len(use) == 1 for use in uses.values())
    assert set().union(*uses.values()) == {"train", "test"}
    queries = [shot for shot in shots if shot.split == "query"]
    for query in queries:
        assert any(s.split == "gallery" and s.vehicle == query.vehicle and s.camera != query.camera for s in shots)
    assert {shot.vehicle for shot in queries} == {shot.vehicle for shot in shots if shot.split != "train"}


@pytest.mark.parametrize("settings", CASES)
def test_every_vehicle_has_several_cameras(settings: SyntheticSettings) -> None:
    shots = _plan(settings)
    assert len({shot.name for shot in shots}) == len(shots)
    for vehicle in range(1, settings.vehicles + 1):
        cameras = {shot.camera for shot in shots if shot.vehicle == vehicle}
        assert 2 <= len(cameras) <= settings.cameras
        assert cameras <= set(range(1, settings.cameras + 1))
        assert abs(len(cameras) - settings.cameras_per_vehicle) <= 1


def test_size_of_the_default_set() -> None:
    shots = _plan(SyntheticSettings())
    assert 1400 <= len(shots) <= 1600
    assert 0.65 < sum(shot.split == "train" for shot in shots) / len(shots) < 0.75


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_absent_vehicles_have_queries_and_no_gallery_and_nothing_else_changes(share: float) -> None:
    settings = SyntheticSettings(vehicles=40, absent=share)
    whole, shots = _plan(SyntheticSettings(vehicles=40)), _plan(settings)
    tested = {shot.vehicle for shot in whole if shot.split != "train"}
    absent = tested - {shot.vehicle for shot in shots if shot.split == "gallery"}
    assert len(absent) == round(share * len(tested)) and tested == {s.vehicle for s in shots if s.split == "query"}
    assert shots == [shot for shot in whole if shot.split != "gallery" or shot.vehicle not in absent]


def test_a_vehicle_stays_in_the_gallery() -> None:
    shots = _plan(SyntheticSettings(vehicles=40, absent=0.99))
    assert len({shot.vehicle for shot in shots if shot.split == "gallery"}) == 1
