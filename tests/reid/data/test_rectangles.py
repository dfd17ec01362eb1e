"""Inputs that are no squares: pixels, decoded files, networks, pictures; squares stay as they were."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_cache.images.loading import load_image
from helpers.places.reid import Place
from helpers.toy.vehicles import TINY, Toy
from reid.data.decoded import decoded_training_views
from reid.data.loader import split_vehicles, training_loader
from reid.data.vehicle_images import vehicle_images
from reid.data.views import ViewMaker, resized
from reid.model.checkpoint import build_network
from reid.model.pgan import part_masks
from reid.recipes import PRESETS, ReidRecipe
from reid.report.pictures.heatmaps import compute_heatmaps
from reid.runs import decoded_path

WIDE = TINY.model_copy(update={"image_height": 48, "image_width": 96})


def test_height_and_width_replace_the_side_one_by_one_and_presets_have_none() -> None:
    sizes = [
        TINY.model_copy(update=changes).input_size
        for changes in ({}, {"image_height": 96}, {"image_width": 32}, {"image_height": 96, "image_width": 32})
    ]
    assert sizes == [(64, 64), (96, 64), (64, 32), (96, 32)]
    for preset in PRESETS.values():
        assert {"image_height", "image_width"}.isdisjoint(preset.model_dump(mode="json"))
    with pytest.raises(ValueError, match="multiple of 16"):
        ReidRecipe(image_width=100)


def test_the_image_is_resized_to_height_and_width(own_toy: Toy) -> None:
    path = own_toy.dataset.path(own_toy.dataset.names()[0])
    pixels = load_image(path)
    expected = np.asarray(Image.fromarray(pixels).resize((96, 48), Image.Resampling.BILINEAR))
    for found in (resized(pixels, (48, 96)), resized(pixels, [48, 96]), ViewMaker((48, 96))(0, pixels).image):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(resized(pixels, (64, 64)), resized(pixels, 64))


def test_decoded_rectangles_are_the_images_and_those_of_another_size_are_made_again(
    own_toy: Toy, tmp_path: Path
) -> None:
    path, names = tmp_path / "decoded.safetensors", list(own_toy.dataset.table.query("split == 'train'")["name"])
    decoded_training_views(path, own_toy.dataset, (96, 48), workers=0)
    made = decoded_training_views(path, own_toy.dataset, (48, 96), workers=0)
    assert made.images.shape == (12, 48, 96, 3)
    files, decoded = (
        vehicle_images(own_toy.dataset, own_toy.parts, names, top_d=2, size=(48, 96), decoded=views)
        for views in (None, made)
    )
    for index in range(len(names)):
        np.testing.assert_array_equal(files[index][0], decoded[index][0])
    square = decoded_training_views(path, own_toy.dataset, (64, 64), workers=0).images
    before = path.stat().st_mtime_ns
    assert decoded_training_views(path, own_toy.dataset, 64, workers=0).images.shape == square.shape
    assert path.stat().st_mtime_ns == before  # a square is the same however it is given
    names_of_files = [decoded_path(tmp_path, "toy", size).name for size in (64, (64, 64), (48, 96))]
    assert names_of_files == [*["decoded-64.safetensors"] * 2, "decoded-48x96.safetensors"]


@pytest.mark.parametrize("attention", ["parts", "grid", "none"])
def test_batches_masks_attention_and_heatmaps_have_the_shape_of_the_input(
    own_toy: Toy, attention: str, tiny_network: None
) -> None:
    recipe = WIDE.model_copy(update={"attention": attention, "vehicles_per_batch": 2})
    split = split_vehicles(own_toy.dataset, recipe)
    loader = training_loader(recipe, own_toy.dataset, own_toy.parts, split, device="cpu", workers=0)
    batch = next(iter(loader.batches))
    assert batch.images.shape == (4, 3, 48, 96)
    network = build_network(recipe, 3).eval()
    output = network(*batch.inputs("cpu"))
    assert output.feature.shape == (4, 32)
    assert output.attention.shape == (4, 3 * 6 if attention == "grid" else 2)
    maps = compute_heatmaps(
        network,
        vehicle_images(own_toy.dataset, own_toy.parts, own_toy.dataset.names()[:1], top_d=2, size=recipe.input_size),
        device="cpu",
    )
    assert maps[0].global_map.shape == (3, 6)


def test_a_part_covers_the_cells_of_its_own_row_and_column() -> None:
    box = torch.tensor([[[0.5, 0.0, 0.66, 0.3]]])
    mask = part_masks(box, torch.ones(1, 1, dtype=torch.bool), 3, 6)[0, 0]
    assert mask.nonzero().tolist() == [[0, 3]]


def test_commands_follow(place: Place, tiny: None) -> None:
    sizes = ["--set", "image_height=48", "--set", "image_width=96"]
    run = place.train("--recipe", "pgan_small", *sizes, "--set", "augment=strong", "--decoded-cache").parent
    assert place("evaluate", "--flip-test", "--hide", "logo", "--untrained").exit_code == 0
    assert (place.runs / "folder" / "decoded-48x96.safetensors").exists() and (run / "test" / "metrics.json").exists()
