"""Fleets: look-alikes that differ only in individual traits."""

from itertools import combinations, groupby

from data_cache.synthetic.design.bodies import BODIES
from data_cache.synthetic.design.individuals import CARRIERS, TOP_WINDOWS
from data_cache.synthetic.design.sampling import MIN_DIFFERENCES, sample_vehicles

VEHICLES = sample_vehicles(200, 5, seed=4)
FLEETS = [list(fleet) for _, fleet in groupby(VEHICLES, key=lambda vehicle: vehicle.fleet)]


def test_a_fleet_shares_its_design_and_differs_in_individual_traits() -> None:
    assert [len(fleet) for fleet in FLEETS] == [5] * 40
    for fleet in FLEETS:
        assert len({vehicle.design for vehicle in fleet}) == 1
        for one, other in combinations(fleet, 2):
            assert len(one.individual.differences(other.individual)) >= MIN_DIFFERENCES


def test_most_fleet_mates_differ_from_behind() -> None:
    """Otherwise a query from the front could never be matched with a gallery image of the rear."""
    seen_from_behind = {"plate", "rear_stickers", "carrier", "top_window", "rim", "damages", "smoked_covers"}
    pairs = [pair for fleet in FLEETS for pair in combinations(fleet, 2)]
    differ = [seen_from_behind & set(one.individual.differences(other.individual)) for one, other in pairs]
    assert sum(map(bool, differ)) > 0.95 * len(pairs)


def test_every_kind_occurs() -> None:
    assert {vehicle.design.body.name for vehicle in VEHICLES} == set(BODIES)
    assert {vehicle.individual.carrier for vehicle in VEHICLES} == set(CARRIERS)
    assert {vehicle.individual.top_window for vehicle in VEHICLES} == set(TOP_WINDOWS)
    assert len({vehicle.design.colour for vehicle in VEHICLES}) >= 6


def test_vehicles_do_not_depend_on_how_many_are_sampled() -> None:
    assert sample_vehicles(12, 5, seed=4) == VEHICLES[:12]
    assert sample_vehicles(12, 5, seed=5) != VEHICLES[:12]


def test_the_last_fleet_may_be_smaller() -> None:
    assert [vehicle.fleet for vehicle in sample_vehicles(7, 3, seed=0)] == [1, 1, 1, 2, 2, 2, 3]
