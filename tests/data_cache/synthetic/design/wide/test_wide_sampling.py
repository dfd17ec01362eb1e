"""The variety `wide`: every body and detail occurs, and the fleets of published results stay as they were."""

import numpy as np

from data_cache.synthetic.design.sampling import MIN_DIFFERENCES, sample_vehicles
from data_cache.synthetic.design.traits import Vehicle
from data_cache.synthetic.design.wide.bodies import CARGO_SHARES, WIDE_BODIES, WIDE_SHARES
from data_cache.synthetic.design.wide.details import (
    ADVERT_SHAPES,
    CAB_ROOFS,
    FOG_LAMPS,
    GRILLES,
    HANDLES,
    HEAD_OPTICS,
    LOGO_SHAPES,
    LUGGAGE,
    MIRRORS,
    RIM_KINDS,
    TAIL_BARS,
    TAIL_FILLS,
)
from data_cache.synthetic.design.wide.lamp_shapes import HEAD_SHAPES, TAIL_SHAPES

VEHICLES = sample_vehicles(1200, 2, seed=3, variety="wide")
DETAILS = [vehicle.design.details for vehicle in VEHICLES if vehicle.design.details is not None]


def test_every_wide_vehicle_has_details_and_no_other() -> None:
    assert len(DETAILS) == len(VEHICLES)
    assert all(vehicle.design.details is None for vehicle in sample_vehicles(50, 1, seed=3))


def test_shares_are_of_all_bodies_and_sum_to_one() -> None:
    assert set(WIDE_SHARES) == set(WIDE_BODIES)
    assert set(CARGO_SHARES) == {body.name for body in WIDE_BODIES.values() if body.cargo is not None}
    for shares in (WIDE_SHARES, *CARGO_SHARES.values()):
        assert abs(sum(shares.values()) - 1) < 1e-9


def test_every_body_and_detail_occurs() -> None:
    assert {vehicle.design.body.name for vehicle in VEHICLES} == set(WIDE_BODIES)
    lamps = [details.lamps for details in DETAILS]
    assert {lamp.head for lamp in lamps} == set(HEAD_SHAPES)
    assert {lamp.tail for lamp in lamps} == set(TAIL_SHAPES)
    assert {lamp.optics for lamp in lamps} == set(HEAD_OPTICS)
    assert {lamp.fill for lamp in lamps} == set(TAIL_FILLS)
    assert {lamp.bar for lamp in lamps} == set(TAIL_BARS)
    assert {lamp.fog for lamp in lamps} == set(FOG_LAMPS)
    assert {details.front.grille for details in DETAILS} == set(GRILLES)
    assert {details.rim.kind for details in DETAILS} == set(RIM_KINDS)
    assert {details.side.mirror for details in DETAILS} == set(MIRRORS)
    assert {details.side.handles for details in DETAILS} == set(HANDLES)
    assert {details.logo for details in DETAILS} == set(LOGO_SHAPES)
    assert {details.luggage for details in DETAILS} == set(LUGGAGE)
    assert {details.cargo.cab_roof for details in DETAILS} == set(CAB_ROOFS)
    assert {details.side.advert.shape for details in DETAILS if details.side.advert} == set(ADVERT_SHAPES)


def test_colours_are_continuous_and_tints_reach_from_clear_to_black() -> None:
    designs = [vehicle.design for vehicle in VEHICLES]
    assert len({design.paint for design in designs}) > 0.95 * len(designs) / 2
    assert {design.colour for design in designs} >= {"white", "silver", "grey", "black", "red", "blue"}
    tints = np.array([design.glass.side[0] for design in designs])
    assert tints.min() < 12 and tints.max() > 90


def test_trucks_and_buses_have_neither_carrier_nor_top_window() -> None:
    heavy = [vehicle for vehicle in VEHICLES if vehicle.design.body.form in ("truck", "bus")]
    assert len(heavy) > 100
    assert {(vehicle.individual.carrier, vehicle.individual.top_window) for vehicle in heavy} == {("none", "none")}


def test_fleet_mates_differ() -> None:
    for one, other in zip(VEHICLES[::2], VEHICLES[1::2], strict=True):
        assert one.design == other.design
        assert len(one.individual.differences(other.individual)) >= MIN_DIFFERENCES


def test_vehicles_do_not_depend_on_how_many_are_sampled() -> None:
    assert sample_vehicles(12, 2, seed=3, variety="wide") == VEHICLES[:12]
    assert sample_vehicles(12, 2, seed=4, variety="wide") != VEHICLES[:12]


FIRST_FLEETS = [
    ("pickup", "white", (212, 210, 203), "2WWBW1", 1),
    ("pickup", "white", (212, 210, 203), "WNHE00", 1),
    ("suv", "blue", (39, 65, 140), "U1VMH8", 8),
    ("suv", "blue", (39, 65, 140), "06SBPK", 9),
    ("sedan", "blue", (26, 59, 127), "RM5MD5", 0),
    ("sedan", "blue", (26, 59, 127), "1ZSGRA", 0),
]


def test_fleets_are_those_of_published_results() -> None:
    def traits(vehicle: Vehicle) -> tuple[str, str, tuple[int, int, int], str, int]:
        design, individual = vehicle.design, vehicle.individual
        return design.body.name, design.colour, design.paint, individual.plate_text, individual.rim

    assert [traits(vehicle) for vehicle in sample_vehicles(6, 2, seed=0)] == FIRST_FLEETS
