"""Heatmaps: the means of Fg and Fp as the paper's equations give them pixel by pixel, enlarged, scaled and coloured."""

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image

from helpers.naive.pgan import literal_attention, literal_mask, literal_part_map, numbers
from helpers.toy.vehicles import TINY, Toy, tiny_scale
from reid.data.vehicle_images import VehicleImages, normalised, vehicle_images
from reid.model.checkpoint import build_network
from reid.model.pgan import PGAN
from reid.recipes import Attention
from reid.report.heatmaps import ADDED, GLOBAL, PART, VEIL, Heat, enlarged, heat_of, veiled


def images_of(toy: Toy, count: int = 9) -> VehicleImages:
    return vehicle_images(toy.dataset, toy.parts, toy.dataset.names()[:count], depth=TINY.parts, size=TINY.image_size)


def network_of(attention: Attention) -> PGAN:
    with tiny_scale():
        return build_network(TINY.model_copy(update={"attention": attention}), 8)


@pytest.mark.parametrize("attention", ["parts", "equal", "grid"])
def test_heatmaps_are_the_means_of_the_literal_maps(toy: Toy, attention: Attention) -> None:
    """Among the first nine images one has no part."""
    network, images = network_of(attention), images_of(toy)
    with torch.no_grad():
        trunk_maps = network.eval().trunk(normalised(torch.stack([item[0] for item in images]))).double().numpy()
    found = heat_of(network, images, device="cpu")
    assert len(found) == 9 and any(not item[2].any() for item in images)
    for heat, trunk_map, (_, boxes, present, _) in zip(found, trunk_maps, images, strict=True):
        height, width = trunk_map.shape[1:]
        if attention == "grid":
            masks = list(np.eye(height * width).reshape(-1, height, width))
        else:
            kept = [box.double().numpy() for box, there in zip(boxes, present, strict=True) if there]
            masks = [literal_mask(box, height, width) for box in kept]
        weights = np.full(len(masks), 1 / max(1, len(masks)))
        if attention != "equal" and masks:
            weights = literal_attention(trunk_map, masks, numbers(network), TINY.temperature)
        part_map = literal_part_map(trunk_map, masks, weights)
        np.testing.assert_allclose(heat.trunk, sum(trunk_map) / len(trunk_map), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(heat.part, sum(part_map) / len(part_map), rtol=1e-5, atol=1e-6)


def test_a_baseline_has_fg_alone(toy: Toy) -> None:
    heat = heat_of(network_of("none"), images_of(toy, 2), device="cpu")[1]
    assert heat.part is None and list(heat.shares()) == [GLOBAL]


def test_the_network_is_in_evaluation_mode_and_left_as_it_was(toy: Toy) -> None:
    network = network_of("parts").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    together = heat_of(network, images_of(toy, 6), device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    alone = heat_of(network.train(), images_of(toy, 1), device="cpu")[0]  # no statistics of a batch of one
    np.testing.assert_allclose(together[0].trunk, alone.trunk, rtol=1e-5, atol=1e-6)


def test_fg_and_fp_share_a_scale_and_what_is_added_begins_at_0() -> None:
    trunk = np.float32([[1, 2], [3, 5]])
    shares = Heat(trunk, trunk * np.float32([[1, 1], [3, 1]])).shares()
    np.testing.assert_allclose(shares[GLOBAL], [[0, 1 / 8], [2 / 8, 4 / 8]])
    np.testing.assert_allclose(shares[PART], [[0, 1 / 8], [1, 4 / 8]])
    np.testing.assert_allclose(shares[ADDED], [[0, 0], [1, 0]])


def test_a_map_without_a_difference_is_dark() -> None:
    flat = np.full((2, 3), 4, np.float32)
    assert all((share == 0).all() for share in Heat(flat, flat).shares().values())


def test_enlarging_is_bilinear_about_the_middles_of_the_cells() -> None:
    heat = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    found = enlarged(heat, (22, 17))
    assert found.shape == (17, 22)
    for row in range(17):
        for column in range(22):
            y = min(max((row + 0.5) * 3 / 17 - 0.5, 0), 2)
            x = min(max((column + 0.5) * 4 / 22 - 0.5, 0), 3)
            top, left = int(y), int(x)
            below, right = min(top + 1, 2), min(left + 1, 3)
            wanted = (1 - y % 1) * ((1 - x % 1) * heat[top, left] + x % 1 * heat[top, right])
            wanted += y % 1 * ((1 - x % 1) * heat[below, left] + x % 1 * heat[below, right])
            assert found[row, column] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_the_colour_is_laid_over_the_photograph(value: float) -> None:
    picture = Image.new("RGB", (12, 8), (40, 90, 200))
    found = np.asarray(veiled(picture, np.full((2, 3), value, np.float32)))
    colour = np.array(colormaps["turbo"](np.float32(value))[:3]) * 255
    assert found.shape == (8, 12, 3)
    assert np.abs(found - (VEIL * colour + (1 - VEIL) * np.array([40, 90, 200]))).max() <= 1
