"""Images and boxes move together, nothing depends on who reads them, and what cannot be read is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from data_cache.base.errors import UserError
from data_cache.parts.cache import STATUS_FAILED, PartBoxes, no_parts
from helpers.toy.vehicles import HEIGHT, WIDTH, Toy, toy_set
from reid.data.augmentation import MEAN_PIXEL, Augmentation, augment, erase, flip
from reid.data.sampler import Sample
from reid.data.vehicle_images import MEAN, STD, Batch, VehicleImages, collate, normalised, part_arrays, vehicle_images
from reid.features.extraction import extract_features
from reid.model.pgan import PooledTrunk


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return toy_set(tmp_path_factory.mktemp("toy"), trained=3, tested=2)


def augmented(toy: Toy, seed: int = 0) -> VehicleImages:
    images = vehicle_images(toy.dataset, toy.parts, toy.dataset.names(), depth=2, size=64)
    images.augmentation, images.seed = Augmentation(flip=0.5, erase=0.5), seed
    return images


def noise(height: int = 40, width: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_boxes_are_scaled_by_the_size_of_their_image_and_cut_to_the_most_confident(toy: Toy) -> None:
    names = toy.dataset.names()[::-1]  # not the order of the cache
    for depth in range(4):
        boxes, present = part_arrays(toy.parts, names, depth)
        assert boxes.shape == (len(names), depth, 4) and boxes.dtype == np.float32 and present.dtype == np.bool_
        for row, name in enumerate(names):
            place = toy.parts.names.index(name)
            for part in range(depth):
                wanted = toy.parts.boxes[place, part] / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
                np.testing.assert_allclose(boxes[row, part], wanted, atol=1e-6)
                assert present[row, part] == (toy.parts.labels[place, part] >= 0)
        assert ((boxes >= 0) & (boxes <= 1)).all()


def test_images_of_different_sizes_have_their_own_scale() -> None:
    parts = PartBoxes(
        names=("a", "b"),
        image_size=np.array([[100, 50], [200, 400]], np.int32),
        boxes=np.array([[[10, 10, 50, 50]], [[10, 10, 50, 50]]], np.float32),
        scores=np.ones((2, 1), np.float32),
        labels=np.zeros((2, 1), np.int8),
        status=np.zeros(2, np.uint8),
        failure=("", ""),
        part_names=("plate",),
        fingerprint={},
    )
    boxes, _ = part_arrays(parts, ["b", "a"], 1)
    np.testing.assert_allclose(boxes[:, 0], [[0.05, 0.025, 0.25, 0.125], [0.1, 0.2, 0.5, 1]])


@pytest.mark.filterwarnings("error")
def test_an_image_that_could_not_be_read_is_refused_with_its_reason() -> None:
    parts = PartBoxes(
        names=("a",),
        image_size=np.zeros((1, 2), np.int32),
        boxes=np.zeros((1, 4, 4), np.float32),
        scores=np.zeros((1, 4), np.float32),
        labels=np.full((1, 4), -1, np.int8),
        status=np.array([STATUS_FAILED], np.uint8),
        failure=("truncated",),
        part_names=("plate",),
        fingerprint={},
    )
    for source, command in (({}, "detect"), ({"source": "coco"}, "cache import")):
        told = rf"1 images could not be read, first a \(truncated\); mend.* `python cli\.py {command}` again"
        with pytest.raises(UserError, match=told):
            part_arrays(replace(parts, fingerprint=source), ["a"], 3)


@pytest.mark.filterwarnings("error")
def test_a_cache_without_places_serves_every_depth(toy: Toy) -> None:
    boxes, present = part_arrays(no_parts(toy.dataset.names()), toy.dataset.names()[:2], 8)
    assert boxes.shape == (2, 0, 4) and present.shape == (2, 0)


def test_more_parts_than_the_cache_holds_or_an_unknown_image_is_an_error(toy: Toy) -> None:
    with pytest.raises(UserError, match=r"4 parts are asked for, the part cache holds 3 .*lower parts"):
        part_arrays(toy.parts, toy.dataset.names(), 4)
    with pytest.raises(UserError, match=r"1 images are not in it, first other\.jpg"):
        part_arrays(toy.parts, [toy.dataset.names()[0], "other.jpg"], 2)


def test_flipping_twice_changes_nothing() -> None:
    image = noise()
    boxes = np.random.default_rng(1).random((5, 4)).astype(np.float32)
    turned, mirrored = flip(image, boxes)
    assert not np.array_equal(turned, image) and not np.allclose(mirrored, boxes)
    back, again = flip(turned, mirrored)
    np.testing.assert_array_equal(back, image)
    np.testing.assert_allclose(again, boxes, atol=1e-6)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (7, 30), (39, 59), (20, 1)])
def test_a_box_around_a_marked_pixel_follows_it(row: int, column: int) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[row, column] = 255
    box = np.array([[column / 60, row / 40, (column + 1) / 60, (row + 1) / 40]], np.float32)
    turned, mirrored = flip(image, box)
    left, top, right, bottom = np.rint(mirrored[0] * np.array([60, 40, 60, 40])).astype(int)
    assert (right - left, bottom - top) == (1, 1)
    assert (turned[top:bottom, left:right] == 255).all() and turned.sum() == 3 * 255


def test_erasing_fills_one_rectangle_inside_with_the_mean_colour() -> None:
    shares = []
    for seed in range(300):
        image = noise(64, 96, seed)
        image[(image == MEAN_PIXEL).all(axis=2)] += 1
        original = image.copy()
        erased = erase(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(image, original)  # the caller's picture is left alone
        rows, columns = np.nonzero((erased == MEAN_PIXEL).all(axis=2))
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        assert len(rows) == (bottom - top) * (right - left)
        wiped = np.zeros((64, 96), dtype=bool)
        wiped[top:bottom, left:right] = True
        np.testing.assert_array_equal(erased[~wiped], original[~wiped])
        height, width = bottom - top, right - left
        shares.append(height * width / (64 * 96))
        assert (height - 0.5) * (width - 0.5) <= 0.4 * 64 * 96 and (height + 0.5) * (width + 0.5) >= 0.02 * 64 * 96
        assert 0.3 * (width - 0.5) <= height + 0.5 and 0.3 * (height - 0.5) <= width + 0.5
    assert min(shares) < 0.05 and max(shares) > 0.3


def test_erasing_leaves_the_boxes_and_chances_are_kept_to() -> None:
    image, boxes = noise(), np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)
    mirrored = flip(image, boxes)
    flips = erasures = 0
    for seed in range(400):
        new, found = augment(image, boxes, Augmentation(flip=0.25, erase=0.75), np.random.default_rng(seed))
        flipped = not np.array_equal(found, boxes)
        np.testing.assert_array_equal(found, mirrored[1] if flipped else boxes)
        flips += flipped
        erasures += not np.array_equal(new, mirrored[0] if flipped else image)
    assert 70 <= flips <= 130 and 265 <= erasures <= 335
    same, kept = augment(image, boxes, Augmentation(flip=0, erase=0), np.random.default_rng(0))
    assert same is image and kept is boxes


def test_an_item_asked_for_by_number_is_the_plain_image(toy: Toy) -> None:
    images = augmented(toy)
    plain = vehicle_images(toy.dataset, toy.parts, toy.dataset.names(), depth=2, size=64)
    for number in (0, 5):
        image, boxes, present, index = images[number]
        assert image.shape == (3, 64, 64) and image.dtype == torch.uint8 and index == number
        assert torch.equal(image, plain[number][0]) and torch.equal(boxes, plain[number][1])
        assert present.tolist() == [number % 7 != 0] * 2


def test_the_mark_lies_under_its_box_after_resizing_and_augmentation(toy: Toy) -> None:
    images, seen = augmented(toy), 0
    images.augmentation = Augmentation(flip=0.5, erase=0.0)
    for position in range(40):
        image, boxes, present, index = images[Sample(0, position, position % len(images))]
        if present[0]:
            left, top, right, bottom = (boxes[0] * 64).round().int().tolist()
            patch = image[:, top + 2 : bottom - 2, left + 2 : right - 2].float()
            vehicle = int(Path(toy.dataset.names()[index]).name[:2])
            assert abs(patch.mean() - (245 if vehicle % 2 else 5)) < 15
            seen += 1
    assert seen > 30


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_do_not_depend_on_workers_or_order(toy: Toy, workers: int) -> None:
    images = augmented(toy)
    samples = [Sample(1, position, (3 * position) % len(images)) for position in range(16)]
    alone = {sample: images[sample] for sample in reversed(samples)}
    shuffled = [samples[place] for place in np.random.default_rng(0).permutation(16)]
    batches = [shuffled[start : start + 4] for start in range(0, 16, 4)]
    loader = DataLoader(images, batch_sampler=batches, num_workers=workers, collate_fn=collate)
    for asked, batch in zip(batches, loader, strict=True):
        assert isinstance(batch, Batch)
        for place, sample in enumerate(asked):
            image, boxes, present, index = alone[sample]
            assert torch.equal(batch.images[place], image) and torch.equal(batch.boxes[place], boxes)
            assert torch.equal(batch.present[place], present) and batch.index[place] == index


def test_seed_epoch_and_position_each_matter(toy: Toy) -> None:
    def drawn(seed: int, epoch: int, first: int) -> torch.Tensor:
        images = augmented(toy, seed)
        return torch.stack([images[Sample(epoch, first + place, 0)][0] for place in range(8)])

    assert torch.equal(drawn(0, 0, 0), drawn(0, 0, 0))
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 8)):
        assert not torch.equal(drawn(0, 0, 0), drawn(*other))


def test_normalised_is_the_trunks_scale() -> None:
    pixels = torch.from_numpy(noise().transpose(2, 0, 1)[None].copy())
    found = normalised(pixels)
    wanted = (pixels.double() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert normalised(torch.from_numpy(np.tile(MEAN_PIXEL[:, None, None], (1, 1, 4, 4)))).abs().max() < 0.01


def test_missing_images_are_found_before_any_is_read(tmp_path: Path) -> None:
    toy = toy_set(tmp_path, trained=2, tested=1)
    (tmp_path / toy.dataset.names()[3]).unlink()
    with pytest.raises(UserError, match=r"1 images are missing, first .*00-3\.jpg"):
        vehicle_images(toy.dataset, toy.parts, toy.dataset.names(), depth=2, size=64)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_one_line_that_names_it(tmp_path: Path, workers: int) -> None:
    toy = toy_set(tmp_path, trained=2, tested=1)
    damaged = tmp_path / toy.dataset.names()[3]
    damaged.write_bytes(damaged.read_bytes()[:500])
    images = vehicle_images(toy.dataset, toy.parts, toy.dataset.names(), depth=2, size=64)
    trunk = torch.nn.Conv2d(3, 4, 16, stride=16)
    with pytest.raises(UserError, match="damaged image") as caught:
        extract_features(PooledTrunk(trunk), images, device="cpu", workers=workers)
    assert str(caught.value).startswith(str(damaged)) and "\n" not in str(caught.value)
