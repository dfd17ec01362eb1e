"""Hidden parts: nothing of them is left in what a network reads, and they are none of its parts."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.loading import decode_image
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FOUND, PartBoxes
from data_cache.parts.names import PART_NAMES
from data_cache.parts.selection import RANK_ONLY
from data_cache.synthetic.design.sampling import sample_vehicles
from data_cache.synthetic.geometry.camera import road_camera
from data_cache.synthetic.scene.render import Picture, render
from data_cache.synthetic.vehicle.model import build_model
from helpers.parts import MakeParts
from helpers.toy.vehicles import TINY, Toy
from reid.data.augmentation import MEAN_PIXEL
from reid.data.decoded import decoded_training_views
from reid.data.hiding import BLOCK, LEAST_CONFIDENCE, cover, covered_region, hidden_boxes, hide_parts, network_parts
from reid.data.vehicle_images import part_arrays, vehicle_images
from reid.data.views import ViewMaker, resized
from reid.recipes import PRESETS, ReidRecipe, recipe_for

PLATE, LOGO, WINDOW = (PART_NAMES.index(name) for name in ("plate", "logo", "wind-shield glass"))
CAMERAS = 6


def cache_of(found: list[list[tuple[int, float]]], slots: int = 6) -> PartBoxes:
    """Return a cache with boxes of these (label, score) in each image, each box at another place."""
    boxes = np.zeros((len(found), slots, 4), np.float32)
    scores, labels = np.zeros((len(found), slots), np.float32), np.full((len(found), slots), -1, np.int8)
    for row, own in enumerate(found):
        for slot, (label, score) in enumerate(own):
            boxes[row, slot] = 10 * slot, 5, 10 * slot + 8, 9
            labels[row, slot], scores[row, slot] = label, score
    status = np.where((labels >= 0).any(axis=1), STATUS_FOUND, STATUS_EMPTY).astype(np.uint8)
    names = tuple(f"{row:02d}.jpg" for row in range(len(found)))
    size = np.full((len(found), 2), 100, np.int32)
    return PartBoxes(
        names, size, boxes, scores, labels, status, ("",) * len(found), PART_NAMES, {"detector": "made up"}
    )


BOXES = cache_of(
    [
        [(PLATE, 0.9), (LOGO, 0.8), (PLATE, 0.7), (WINDOW, 0.6), (PLATE, LEAST_CONFIDENCE), (PLATE, 0.05)],
        [(LOGO, 0.9)],
        [(PLATE, 0.03)],
        [],
    ]
)


def test_all_boxes_of_the_kind_are_dropped_and_the_confident_ones_hidden_however_many() -> None:
    parts = hide_parts(BOXES, ["plate"])
    assert parts.labels.tolist() == [[LOGO, WINDOW, *[-1] * 4], [LOGO, *[-1] * 5], [-1] * 6, [-1] * 6]
    np.testing.assert_array_equal(parts.boxes[0, :2], BOXES.boxes[0, [1, 3]])
    hidden = hidden_boxes(parts, ["01.jpg", "00.jpg"])
    assert hidden is not None and hidden.shape == (2, 3, 4) and not hidden[0].any()
    np.testing.assert_array_equal(hidden[1], BOXES.boxes[0, [0, 2, 4]])
    assert parts.status.tolist() == [STATUS_FOUND, STATUS_FOUND, STATUS_EMPTY, STATUS_EMPTY]


def test_the_d_boxes_are_chosen_among_the_others() -> None:
    boxes, labels = part_arrays(network_parts(BOXES, TINY.model_copy(update={"hide": ("plate",)})), ["00.jpg"], 2)
    assert (labels >= 0).all()
    np.testing.assert_allclose(boxes[0] * 100, BOXES.boxes[0, [1, 3]], rtol=1e-6)


def test_without_confidences_every_box_of_the_kind_is_hidden() -> None:
    parts = hide_parts(replace(BOXES, fingerprint={"scores": RANK_ONLY}), ["plate"])
    assert parts.hidden is not None and (parts.hidden != 0).any(axis=2).sum(axis=1).tolist() == [4, 0, 1, 0]


def test_a_kind_that_the_cache_lacks_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown part plates; did you mean plate"):
        hide_parts(BOXES, ["plates"])


def test_a_baseline_has_no_parts_but_what_it_must_not_see() -> None:
    parts = network_parts(BOXES, ReidRecipe(attention="none", hide=("plate",)))
    assert parts.labels.shape == (4, 0) and parts.hidden is not None and parts.hidden.shape == (4, 3, 4)
    assert not parts.turned and not BOXES.turned  # the boxes still refer to the images as stored
    boxes, labels = part_arrays(parts, list(parts.names), 8)
    assert boxes.shape == (4, 0, 4) and labels.shape == (4, 0)


def test_the_fingerprint_names_what_is_hidden_and_recipes_without_it_are_as_before() -> None:
    assert BOXES.fingerprint.items() < hide_parts(BOXES, ["plate"]).fingerprint.items()
    assert network_parts(BOXES, TINY) is BOXES
    for preset in PRESETS.values():
        assert "hide" not in preset.model_dump() and "hide" not in preset.model_dump(mode="json")
    texts = ("hide=plate", "hide=[plate]"), ("hide=[plate, logo]", "hide=[logo, plate, logo]")
    for one, other in texts:
        first, second = (recipe_for("veri", "pgan", [text]) for text in (one, other))
        assert first == second and first.model_dump(mode="json")["hide"] == list(first.hide)
        assert ReidRecipe.model_validate(first.model_dump(mode="json")) == first


sides = st.integers(1, 400)
shares = st.tuples(*[st.floats(0, 1)] * 4)


@given(width=sides, height=sides, shares=shares)
def test_the_region_is_inside_the_image_and_holds_box_margin_and_whole_blocks(
    width: int, height: int, shares: tuple[float, ...]
) -> None:
    (x0, x1), (y0, y1) = sorted(shares[:2]), sorted(shares[2:])
    box = np.array([x0 * width, y0 * height, x1 * width, y1 * height], np.float32)
    rows, columns = covered_region(box, width, height)
    margin = max(4, min(box[2] - box[0], box[3] - box[1]) / 2)
    for region, low, high, side in ((columns, box[0], box[2], width), (rows, box[1], box[3], height)):
        assert 0 <= region.start < region.stop <= side
        # every block that box and margin touch, counted one by one, with a pixel on both sides
        touched = [k for k in range(-30, 60) if k * BLOCK < high + margin and (k + 1) * BLOCK > low - margin]
        assert region.start <= max(0, touched[0] * BLOCK - 1) and region.stop >= min(side, touched[-1] * BLOCK + 17)


def test_only_the_region_is_covered_and_the_image_itself_is_kept() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    before, box = pixels.copy(), np.array([[40, 30, 60, 38], [0, 0, 0, 0]], np.float32)
    covered = cover(pixels, box)
    np.testing.assert_array_equal(pixels, before)
    inside = np.zeros((90, 120), bool)
    inside[covered_region(box[0], 120, 90)] = True
    assert (covered[inside] == MEAN_PIXEL).all() and inside.sum() < 0.35 * inside.size
    np.testing.assert_array_equal(covered[~inside], pixels[~inside])
    np.testing.assert_array_equal(cover(pixels, np.zeros((0, 4), np.float32)), pixels)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_what_a_jpeg_file_spreads_of_a_part_is_covered_too(quality: int, subsampling: str) -> None:
    random = np.random.default_rng(quality)
    scene = random.integers(0, 256, (87, 143, 3)).astype(np.uint8)
    for _ in range(20):
        left, top, other = int(random.integers(1, 100)), int(random.integers(1, 70)), scene.copy()
        other[top : top + 9, left : left + 30] = random.integers(0, 256, (9, 30, 3))
        files = [io.BytesIO(), io.BytesIO()]
        for file, picture in zip(files, (scene, other), strict=True):
            Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=subsampling)
        first, second = (decode_image(file.getvalue(), "picture") for file in files)
        box = np.array([[left, top, left + 30, top + 9]], np.float32)
        assert (first != second).any()
        np.testing.assert_array_equal(cover(first, box), cover(second, box))


def renderings() -> Iterator[tuple[Picture, Picture]]:
    """Yield pictures of the same vehicle, camera, pose, light and noise whose plates have other texts."""
    for vehicle in sample_vehicles(3, 1, 5, "fleets"):
        other = replace(vehicle, individual=replace(vehicle.individual, plate_text="WWMM88"))
        models = build_model(vehicle), build_model(other)
        for camera in range(CAMERAS):
            seed = (5, vehicle.number, camera)
            first, second = (
                render(model, road_camera(camera, 5), 200, np.random.default_rng(seed)) for model in models
            )
            yield first, second


def test_rendered_vehicles_that_differ_in_the_text_of_the_plate_are_equal_once_it_is_hidden() -> None:
    compared = 0
    for first, second in renderings():
        assert first.boxes == second.boxes
        one, other = (decode_image(picture.jpeg, "picture") for picture in (first, second))
        found = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in first.boxes if box.label == PLATE]
        if not found or np.array_equal(one, other):  # no plate is seen
            continue
        boxes = np.array(found, np.float32)
        assert not np.array_equal(resized(one, 128), resized(other, 128))
        np.testing.assert_array_equal(resized(cover(one, boxes), 128), resized(cover(other, boxes), 128))
        compared += 1
    assert compared >= 2 * CAMERAS


def test_items_decoded_or_from_files_do_not_depend_on_a_hidden_part(own_toy: Toy, tmp_path: Path) -> None:
    names = list(own_toy.dataset.table.query("split == 'train'").sort_values("name")["name"])
    recipe = TINY.model_copy(update={"hide": ("logo",)})
    parts = network_parts(own_toy.parts, recipe)
    options = {"top_d": 2, "size": 64}
    plain = vehicle_images(own_toy.dataset, own_toy.parts, names, **options)
    files = vehicle_images(own_toy.dataset, parts, names, **options)
    path = tmp_path / "decoded.safetensors"
    made = decoded_training_views(path, own_toy.dataset, 64, workers=0, parts=parts)
    decoded = vehicle_images(own_toy.dataset, parts, names, **options, decoded=made)
    has_mark = (own_toy.parts.labels[own_toy.parts.rows(names)] == LOGO).any(axis=1)
    for index in range(len(names)):
        for one, other in zip(files[index], decoded[index], strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
        assert np.array_equal(files[index][0], plain[index][0]) != has_mark[index]
        assert (files[index].labels >= 0).sum() == (plain[index].labels >= 0).sum() - has_mark[index]


def test_a_decoded_file_of_other_hidden_boxes_is_made_again(own_toy: Toy, tmp_path: Path) -> None:
    path, options = tmp_path / "decoded.safetensors", {"workers": 0}
    hidden = hide_parts(own_toy.parts, ["logo"])
    moved = replace(hidden, hidden=None if hidden.hidden is None else hidden.hidden + 1)
    pixels = [
        np.array(decoded_training_views(path, own_toy.dataset, 64, **options, parts=parts).images.pixels)
        for parts in (None, hidden, hidden, moved, own_toy.parts)
    ]
    np.testing.assert_array_equal(pixels[1], pixels[2])
    np.testing.assert_array_equal(pixels[0], pixels[4])
    assert not np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[3], pixels[1])


def test_a_batch_of_one_without_boxes_is_the_image_itself(make_parts: MakeParts, own_toy: Toy) -> None:
    parts = hide_parts(own_toy.parts, ["plate"])  # of which the toy images have none
    assert parts.hidden is not None and parts.hidden.shape[1] == 0
    name = own_toy.dataset.names()[0]
    pixels = np.asarray(Image.open(own_toy.dataset.path(name)))
    covered, plain = (ViewMaker(64, hidden)(0, pixels).image for hidden in (hidden_boxes(parts, [name]), None))
    np.testing.assert_array_equal(covered, plain)
