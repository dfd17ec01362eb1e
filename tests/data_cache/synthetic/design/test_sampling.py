"""Fleets: look-alikes that differ only in what is individual."""

from collections import defaultdict
from itertools import combinations

from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.sampling import CARRIERS, MIN_DIFFERENCES, TOP_WINDOWS, sample_vehicles
from data_cache.synthetic.design.traits import Vehicle

VEHICLES = sample_vehicles(200, 5, seed=4)


def _fleets() -> dict[int, list[Vehicle]]:
    fleets: dict[int, list[Vehicle]] = defaultdict(list)
    for vehicle in VEHICLES:
        fleets[vehicle.fleet].append(vehicle)
    return fleets


def test_a_fleet_shares_its_design_and_differs_in_individual_traits() -> None:
    fleets = _fleets()
    assert {len(members) for members in fleets.values()} == {5}
    for members in fleets.values():
        assert len({member.design for member in members}) == 1
        for one, other in combinations(members, 2):
            assert len(one.individual.differences(other.individual)) >= MIN_DIFFERENCES


def test_some_differences_are_seen_from_behind() -> None:
    """Otherwise a query from the front could never be matched with a gallery picture of the rear."""
    seen_from_behind = {"plate", "rear_stickers", "carrier", "top_window", "rim", "marks", "smoked_covers"}
    pairs = [pair for members in _fleets().values() for pair in combinations(members, 2)]
    told_apart = [seen_from_behind & set(one.individual.differences(other.individual)) for one, other in pairs]
    assert sum(map(bool, told_apart)) > 0.95 * len(pairs)


def test_every_kind_occurs() -> None:
    assert {vehicle.design.body.name for vehicle in VEHICLES} == set(BODIES)
    assert {vehicle.individual.carrier for vehicle in VEHICLES} == set(CARRIERS)
    assert {vehicle.individual.top_window for vehicle in VEHICLES} == set(TOP_WINDOWS)
    assert len({vehicle.design.colour for vehicle in VEHICLES}) >= 6


def test_vehicles_do_not_depend_on_how_many_are_drawn_after_them() -> None:
    assert sample_vehicles(12, 5, seed=4) == VEHICLES[:12]
    assert sample_vehicles(12, 5, seed=5) != VEHICLES[:12]


def test_the_last_fleet_may_be_smaller() -> None:
    assert [vehicle.fleet for vehicle in sample_vehicles(7, 3, seed=0)] == [1, 1, 1, 2, 2, 2, 3]
