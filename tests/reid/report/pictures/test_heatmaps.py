"""Heatmaps: channel means of Fg and Fp against the paper's equations pixel by pixel; upsampling, scaling, colours."""

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
from reid.report.pictures.heatmaps import ADDED, GLOBAL, OPACITY, PART, Heatmaps, compute_heatmaps, overlay, upsample


def images_of(toy: Toy, count: int = 9) -> VehicleImages:
    return vehicle_images(toy.dataset, toy.parts, toy.dataset.names()[:count], top_d=TINY.parts, size=TINY.image_size)


def network_of(attention: Attention) -> PGAN:
    with tiny_scale():
        return build_network(TINY.model_copy(update={"attention": attention}), 8)


@pytest.mark.parametrize("attention", ["parts", "equal", "grid"])
def test_heatmaps_equal_the_means_of_the_literal_maps(toy: Toy, attention: Attention) -> None:
    network, images = network_of(attention), images_of(toy)
    with torch.no_grad():
        global_maps = network.eval().trunk(normalised(torch.stack([item.image for item in images]))).double().numpy()
    found = compute_heatmaps(network, images, device="cpu")
    items = [(item.boxes, item.labels >= 0) for item in images]
    assert len(found) == 9 and any(not present.any() for _, present in items)
    for heat, global_map, (boxes, present) in zip(found, global_maps, items, strict=True):
        height, width = global_map.shape[1:]
        if attention == "grid":
            masks = list(np.eye(height * width).reshape(-1, height, width))
        else:
            kept = [box.double().numpy() for box, there in zip(boxes, present, strict=True) if there]
            masks = [literal_mask(box, height, width) for box in kept]
        weights = np.full(len(masks), 1 / max(1, len(masks)))
        if attention != "equal" and masks:
            weights = literal_attention(global_map, masks, numbers(network), TINY.temperature)
        part_map = literal_part_map(global_map, masks, weights)
        np.testing.assert_allclose(heat.global_map, sum(global_map) / len(global_map), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(heat.part_map, sum(part_map) / len(part_map), rtol=1e-5, atol=1e-6)


def test_a_baseline_has_only_fg(toy: Toy) -> None:
    heat = compute_heatmaps(network_of("none"), images_of(toy, 2), device="cpu")[1]
    assert heat.part_map is None and list(heat.scaled()) == [GLOBAL]


def test_the_network_is_in_evaluation_mode_and_keeps_its_weights(toy: Toy) -> None:
    network = network_of("parts").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batched = compute_heatmaps(network, images_of(toy, 6), device="cpu")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    single = compute_heatmaps(network.train(), images_of(toy, 1), device="cpu")[
        0
    ]  # batch norm does not use batch statistics
    np.testing.assert_allclose(batched[0].global_map, single.global_map, rtol=1e-5, atol=1e-6)


def test_fg_and_fp_share_a_scale_and_the_difference_starts_at_0() -> None:
    global_map = np.float32([[1, 2], [3, 5]])
    scaled = Heatmaps(global_map, global_map * np.float32([[1, 1], [3, 1]])).scaled()
    np.testing.assert_allclose(scaled[GLOBAL], [[0, 1 / 8], [2 / 8, 4 / 8]])
    np.testing.assert_allclose(scaled[PART], [[0, 1 / 8], [1, 4 / 8]])
    np.testing.assert_allclose(scaled[ADDED], [[0, 0], [1, 0]])


def test_constant_maps_are_0() -> None:
    flat = np.full((2, 3), 4, np.float32)
    assert all((share == 0).all() for share in Heatmaps(flat, flat).scaled().values())


def test_upsampling_is_bilinear_between_cell_centres() -> None:
    heat = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    found = upsample(heat, (22, 17))
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
def test_the_colours_are_blended_over_the_photograph(value: float) -> None:
    picture = Image.new("RGB", (12, 8), (40, 90, 200))
    found = np.asarray(overlay(picture, np.full((2, 3), value, np.float32)))
    colour = np.array(colormaps["turbo"](np.float32(value))[:3]) * 255
    assert found.shape == (8, 12, 3)
    assert np.abs(found - (OPACITY * colour + (1 - OPACITY) * np.array([40, 90, 200]))).max() <= 1
