"""What a network sees of an image: crops against pixels chosen by hand, from files and decoded, and as augmented."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_cache.base.errors import UserError
from helpers.toy.decoded import assert_same_items
from helpers.toy.vehicles import HEIGHT, TINY, WIDTH, Toy
from reid.data.augmentation import Augmentation, flip
from reid.data.decoded import decoded_training_views
from reid.data.hiding import cover, hide_parts
from reid.data.image_changes import STRENGTHS
from reid.data.sampler import Sample
from reid.data.vehicle_images import VehicleImages, part_arrays, vehicle_images
from reid.data.views import MARGIN, NO_CROPS, ViewMaker, crop_window, part_crops

CROP = 16


def training_names(toy: Toy) -> list[str]:
    return sorted(toy.dataset.table.query("split == 'train'")["name"])


def images_of(toy: Toy, augmentation: Augmentation | None = None, **options: object) -> VehicleImages:
    return vehicle_images(
        toy.dataset,
        toy.parts,
        training_names(toy),
        top_d=2,
        size=64,
        crop=CROP,
        augmentation=augmentation,
        seed=3,
        **options,  # type: ignore[arg-type]
    )


def ramp(height: int = 80, width: int = 160) -> NDArray[np.uint8]:
    """Red grows with the column, green with the row."""
    rows, columns = np.indices((height, width))
    return np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)


def test_a_window_is_the_box_with_its_margin_inside_the_image() -> None:
    assert crop_window([0.2, 0.4, 0.4, 0.8]) == pytest.approx([0.17, 0.34, 0.43, 0.86])
    assert crop_window([0.0, 0.05, 1.0, 0.55]) == pytest.approx([0, 0, 1, 0.625])
    assert MARGIN == 0.15


def test_a_crop_shows_its_window_at_the_resolution_of_the_image() -> None:
    """A window of 16 x 16 pixels on whole pixels is those pixels; its box is 1 / 1.3 as wide."""
    pixels = ramp()
    half = 8 / 1.3
    box = np.array([[(40 - half) / 160, (24 - half) / 80, (40 + half) / 160, (24 + half) / 80]], np.float32)
    (crop,) = part_crops(pixels, box, np.array([True]), CROP)
    np.testing.assert_allclose(crop.astype(int), pixels[16:32, 32:48], atol=1)


def test_a_crop_of_any_size_spans_its_window() -> None:
    """On a ramp, a resized crop is a ramp from one border of its window to the other."""
    pixels, boxes = ramp(), np.array([[0.25, 0.25, 0.75, 0.5], [0.1, 0.5, 0.2, 0.9]], np.float32)
    for crop, box in zip(part_crops(pixels, boxes, np.ones(2, bool), CROP), boxes, strict=True):
        left, top, right, bottom = crop_window(box) * (160, 80, 160, 80)
        centres = (np.arange(CROP) + 0.5) / CROP
        np.testing.assert_allclose(crop[CROP // 2, 2:-2, 0], (left + centres * (right - left) - 0.5)[2:-2], atol=1.5)
        np.testing.assert_allclose(crop[2:-2, CROP // 2, 1], (top + centres * (bottom - top) - 0.5)[2:-2], atol=1.5)


def test_absent_parts_are_black_and_without_crops_there_are_none() -> None:
    pixels, boxes = np.full((40, 40, 3), 200, np.uint8), np.array([[0.1, 0.1, 0.5, 0.5]] * 2, np.float32)
    crops = part_crops(pixels, boxes, np.array([True, False]), CROP)
    assert (crops[0] == 200).all() and not crops[1].any()
    assert part_crops(pixels, boxes[:0], np.zeros(0, bool), CROP).shape == (0, CROP, CROP, 3)
    assert ViewMaker(32)(0, pixels).crops is NO_CROPS


def test_the_whole_is_the_same_with_crops_and_items_hold_both(toy: Toy) -> None:
    plain = vehicle_images(toy.dataset, toy.parts, training_names(toy), top_d=2, size=64)
    images, found = images_of(toy), 0
    boxes, labels = part_arrays(toy.parts, training_names(toy), 2)
    for number, (item, other) in enumerate(zip(images, plain, strict=True)):
        np.testing.assert_array_equal(item.image, other.image)
        assert item.crops.shape == (2, 3, CROP, CROP) and other.crops.numel() == 0
        pixels = np.asarray(Image.open(toy.dataset.path(training_names(toy)[number])).convert("RGB"))
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        expected = part_crops(pixels, boxes[number], labels[number] >= 0, CROP)
        np.testing.assert_array_equal(item.crops.numpy(), expected.transpose(0, 3, 1, 2))
        found += bool(expected.any())
    assert 0 < found < len(images)


def test_crops_are_mirrored_with_their_image_and_not_erased(toy: Toy) -> None:
    images, plain = images_of(toy, Augmentation(flip=0.5, erase=1)), images_of(toy)
    mirrored = 0
    for position in range(len(images)):
        item, own = images[Sample(0, position, position)], plain[position]
        _, boxes = flip(own.image.numpy().transpose(1, 2, 0), own.boxes.numpy())
        turned = bool((item.boxes != own.boxes).any())
        if turned:
            np.testing.assert_array_equal(item.boxes, boxes)
        expected = own.crops.flip(3) if turned else own.crops
        if own.crops.any():
            np.testing.assert_array_equal(item.crops, expected)
            mirrored += turned
    assert mirrored > 3


def test_crops_get_the_light_of_their_image(toy: Toy) -> None:
    images, plain = images_of(toy, Augmentation(flip=0, erase=0, changes="strong")), images_of(toy)
    brighter = []
    for number in range(len(plain)):
        if (plain[number].labels < 0).any():
            continue
        item = images[Sample(0, number, number)]
        again = images[Sample(0, number, number)]
        np.testing.assert_array_equal(item.crops, again.crops)
        assert item.crops.shape == plain[number].crops.shape
        changes = [
            float(one.float().mean() - other.float().mean())
            for one, other in ((item.image, plain[number].image), (item.crops, plain[number].crops))
        ]
        brighter.append(changes)
    assert np.corrcoef(np.array(brighter).T)[0, 1] > 0.7


def test_crops_stay_in_place_where_their_image_moves(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any other light, lens or file, a move is the only change."""
    still = dict.fromkeys(("gain", "contrast", "gamma", "balance", "saturation"), 0.0)
    no_camera = dict.fromkeys(("grey", "blurred", "noisy", "compressed"), 0.0)
    monkeypatch.setitem(STRENGTHS, "strong", replace(STRENGTHS["strong"], moved=1.0, **still, **no_camera))
    images, plain = images_of(toy, Augmentation(flip=0, erase=0, changes="strong")), images_of(toy)
    for number in range(len(plain)):
        item = images[Sample(0, number, number)]
        assert not np.array_equal(item.image, plain[number].image)
        np.testing.assert_array_equal(item.crops, plain[number].crops)


@pytest.mark.parametrize("workers", [0, 2])
def test_decoded_crops_equal_those_of_the_files(own_toy: Toy, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "decoded.safetensors"
    made = decoded_training_views(path, own_toy.dataset, 64, workers=workers, parts=own_toy.parts, top_d=2, crop=CROP)
    files = sorted(file.name for file in tmp_path.glob("*.safetensors"))
    assert len(files) == 2 and files[0].startswith(f"decoded-crops-{CROP}-") and files[1] == path.name
    assert made.crops is not None and made.crops.shape == (len(training_names(own_toy)), 2 * CROP, CROP, 3)
    augmentation = Augmentation()
    assert_same_items(images_of(own_toy, augmentation, decoded=made), images_of(own_toy, augmentation))


def test_other_boxes_have_a_file_of_their_own(own_toy: Toy, tmp_path: Path) -> None:
    path, names = tmp_path / "decoded.safetensors", set()
    for parts in (own_toy.parts, replace(own_toy.parts, boxes=own_toy.parts.boxes * np.float32(0.9))):
        for _ in range(2):
            decoded_training_views(path, own_toy.dataset, 64, workers=0, parts=parts, top_d=2, crop=CROP)
        names |= {file.name for file in tmp_path.glob("decoded-crops*")}
    assert len(names) == 2


def test_hidden_parts_have_no_crop_and_are_covered_in_those_of_others(own_toy: Toy) -> None:
    hidden = hide_parts(own_toy.parts, ["logo"])
    names = training_names(own_toy)
    images = vehicle_images(own_toy.dataset, hidden, names, top_d=2, size=64, crop=CROP)
    boxes, labels = part_arrays(hidden, names, 2)
    assert hidden.hidden is not None
    for number, item in enumerate(images):
        with Image.open(own_toy.dataset.path(names[number])) as file:
            pixels = np.array(file.convert("RGB"))
        covered = cover(pixels, hidden.hidden[hidden.rows([names[number]])[0]])
        expected = part_crops(covered, boxes[number], labels[number] >= 0, CROP)
        np.testing.assert_array_equal(item.crops.numpy().transpose(0, 2, 3, 1), expected)


def test_no_pixel_of_a_hidden_part_reaches_whole_or_crops() -> None:
    random = np.random.default_rng(0)
    first = random.integers(0, 256, (80, 160, 3), dtype=np.uint8)
    second = first.copy()
    second[30:50, 60:90] = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    hidden = np.array([[[60, 30, 90, 50]]], np.float32)
    boxes = np.array([[[0.3, 0.2, 0.45, 0.5], [0.0, 0.7, 0.2, 0.9]]], np.float32)  # only the first overlaps
    present = np.ones((1, 2), np.bool_)
    maker = ViewMaker(64, hidden, CROP, boxes, present)
    one, other = maker(0, first), maker(0, second)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.crops, other.crops)
    one, other = (ViewMaker(64, None, CROP, boxes, present)(0, pixels) for pixels in (first, second))
    assert (one.image != other.image).any() and (one.crops[0] != other.crops[0]).any()
    np.testing.assert_array_equal(one.crops[1], other.crops[1])


def test_an_image_replaced_since_detection_is_refused_with_crops_too(own_toy: Toy) -> None:
    path = own_toy.dataset.path(training_names(own_toy)[0])
    Image.new("RGB", (120, 80)).save(path)
    with pytest.raises(UserError, match=r"120 x 80 pixels, .* when its parts were detected"):
        images_of(own_toy)[0]


def test_recipes_without_crops_are_as_before() -> None:
    for option in ("part_crops", "slot_features", "slot_weight"):
        assert option not in TINY.model_dump() and option not in TINY.model_dump(mode="json")
