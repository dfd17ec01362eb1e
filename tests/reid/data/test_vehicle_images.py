"""Boxes stay on their image through scaling, flipping and loading; unusable images are named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from data_cache.base.errors import UserError
from data_cache.base.pretrained import MEAN, STD
from data_cache.parts.cache import STATUS_FAILED, PartBoxes, empty_cache, write_parts
from helpers.toy.vehicles import HEIGHT, TINY, WIDTH, Toy, toy_set
from reid.data.augmentation import MEAN_PIXEL, Augmentation
from reid.data.sampler import Sample
from reid.data.vehicle_images import Batch, VehicleImages, collate, normalised, part_arrays, part_cache, vehicle_images
from reid.features.extraction import extract_features
from reid.model.backbones import Backbone
from reid.model.checkpoint import PooledBackbone


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return toy_set(tmp_path_factory.mktemp("toy"), trained=3, tested=2)


def images_of(toy: Toy, augmentation: Augmentation | None = None, seed: int = 0) -> VehicleImages:
    names = toy.dataset.names()
    return vehicle_images(toy.dataset, toy.parts, names, top_d=2, size=64, augmentation=augmentation, seed=seed)


def test_part_arrays_are_the_first_boxes_scaled_by_the_image_size(toy: Toy) -> None:
    names = toy.dataset.names()[::-1]  # not the order of the cache
    for top_d in range(4):
        boxes, labels = part_arrays(toy.parts, names, top_d)
        assert boxes.shape == (len(names), top_d, 4) and boxes.dtype == np.float32 and labels.dtype == np.int64
        for row, name in enumerate(names):
            source = toy.parts.names.index(name)
            expected = toy.parts.boxes[source, :top_d] / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
            np.testing.assert_allclose(boxes[row], expected, atol=1e-6)
            np.testing.assert_array_equal(labels[row], toy.parts.labels[source, :top_d])


def test_a_recipe_chooses_among_the_boxes_of_the_cache(toy: Toy, tmp_path: Path) -> None:
    path, alike = tmp_path / "parts.h5", np.where(toy.parts.labels >= 0, np.int8(9), np.int8(-1))
    write_parts(path, replace(toy.parts, labels=alike))
    recipe = TINY.model_copy(update={"parts": 2})
    whole = part_cache(toy.dataset, recipe, tmp_path, path)
    np.testing.assert_array_equal(whole.boxes, toy.parts.boxes)
    varied = part_cache(toy.dataset, recipe.model_copy(update={"parts_per_label": 1}), tmp_path, path)
    np.testing.assert_array_equal(varied.boxes[:, 0], toy.parts.boxes[:, 0])
    assert varied.labels.shape[1] == 2 and (varied.labels[:, 1] == -1).all() and varied.fingerprint == whole.fingerprint
    names = toy.dataset.names()
    present, before = (part_arrays(parts, names, 2)[1] >= 0 for parts in (varied, whole))
    assert present.any() and present.sum() < before.sum()


def test_every_image_has_its_own_scale() -> None:
    parts = PartBoxes(
        names=("a", "b"),
        image_size=np.array([[100, 50], [200, 400]], np.int32),
        boxes=np.tile(np.float32([10, 10, 50, 50]), (2, 1, 1)),
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
@pytest.mark.parametrize(
    ("fingerprint", "remedy"),
    [({}, r"run `python cli\.py detect` again"), ({"source": "coco"}, "import its boxes again")],
)
def test_an_image_that_failed_in_stage_one_is_refused_with_its_reason(fingerprint: dict[str, str], remedy: str) -> None:
    failed = replace(
        empty_cache(["a"]), status=np.array([STATUS_FAILED], np.uint8), failure=("truncated",), fingerprint=fingerprint
    )
    message = rf"1 images could not be read, first a \(truncated\); fix them .* {remedy}"
    with pytest.raises(UserError, match=message):
        part_arrays(failed, ["a"], 1)


@pytest.mark.filterwarnings("error")
def test_a_cache_without_slots_fits_every_top_d(toy: Toy) -> None:
    boxes, labels = part_arrays(empty_cache(toy.dataset.names()), toy.dataset.names()[:2], 8)
    assert boxes.shape == (2, 0, 4) and labels.shape == (2, 0)


def test_too_few_slots_and_unknown_images_are_refused(toy: Toy) -> None:
    with pytest.raises(UserError, match=r"uses 4 parts per image, the part cache holds 3; lower parts"):
        part_arrays(toy.parts, toy.dataset.names(), 4)
    with pytest.raises(UserError, match=r"1 images are not in it, first other\.jpg"):
        part_arrays(toy.parts, [toy.dataset.names()[0], "other.jpg"], 2)


def test_an_item_by_index_is_not_augmented(toy: Toy) -> None:
    images, plain = images_of(toy, Augmentation(flip=1, erase=1)), images_of(toy)
    for number in (0, 5):
        image, boxes, labels, crops, found = images[number]
        assert image.shape == (3, 64, 64) and image.dtype == torch.uint8 and found == number
        assert torch.equal(image, plain[number].image) and torch.equal(boxes, plain[number].boxes)
        assert (labels >= 0).tolist() == [number % 7 != 0] * 2 and crops.numel() == 0


def test_boxes_follow_their_part_through_resizing_and_flipping(toy: Toy) -> None:
    images, checked = images_of(toy, Augmentation(flip=0.5, erase=0)), 0
    for position in range(40):
        image, boxes, labels, _, number = images[Sample(0, position, position % len(images))]
        if labels[0] >= 0:
            left, top, right, bottom = (boxes[0] * 64).round().int().tolist()
            mark = image[:, top + 2 : bottom - 2, left + 2 : right - 2].float()
            vehicle = int(Path(toy.dataset.names()[number]).name[:2])
            assert abs(mark.mean() - (245 if vehicle % 2 else 5)) < 15
            checked += 1
    assert checked > 30


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_do_not_depend_on_workers_or_order(toy: Toy, workers: int) -> None:
    images = images_of(toy, Augmentation())
    samples = [Sample(1, position, (3 * position) % len(images)) for position in range(16)]
    expected = {sample: images[sample] for sample in reversed(samples)}
    shuffled = [samples[number] for number in np.random.default_rng(0).permutation(16)]
    batches = [shuffled[start : start + 4] for start in range(0, 16, 4)]
    loader = DataLoader(images, batch_sampler=batches, num_workers=workers, collate_fn=collate)
    for keys, batch in zip(batches, loader, strict=True):
        assert isinstance(batch, Batch)
        for row, sample in enumerate(keys):
            image, boxes, labels, crops, number = expected[sample]
            assert torch.equal(batch.images[row], image) and torch.equal(batch.boxes[row], boxes)
            assert torch.equal(batch.labels[row], labels) and torch.equal(batch.crops[row], crops)
            assert batch.index[row] == number


def test_seed_epoch_and_position_each_change_the_augmentation(toy: Toy) -> None:
    def drawn(seed: int, epoch: int, first: int) -> torch.Tensor:
        images = images_of(toy, Augmentation(), seed)
        return torch.stack([images[Sample(epoch, first + offset, 0)][0] for offset in range(8)])

    assert torch.equal(drawn(0, 0, 0), drawn(0, 0, 0))
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 8)):
        assert not torch.equal(drawn(0, 0, 0), drawn(*other))


def test_normalised_images_have_the_scale_of_the_backbone() -> None:
    pixels = torch.randint(0, 256, (1, 3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = normalised(pixels)
    expected = (pixels.double() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert normalised(torch.from_numpy(np.tile(MEAN_PIXEL[:, None, None], (1, 1, 4, 4)))).abs().max() < 0.01


def test_missing_images_are_refused_before_any_is_read(own_toy: Toy) -> None:
    own_toy.dataset.path(own_toy.dataset.names()[3]).unlink()
    with pytest.raises(UserError, match=r"1 images are missing, first .*00-3\.jpg"):
        images_of(own_toy)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_one_line_with_its_name(own_toy: Toy, workers: int) -> None:
    damaged = own_toy.dataset.path(own_toy.dataset.names()[3])
    damaged.write_bytes(damaged.read_bytes()[:500])
    network = PooledBackbone(Backbone(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 16, stride=16)), 4))
    with pytest.raises(UserError, match="damaged image") as caught:
        extract_features(network, images_of(own_toy), device="cpu", workers=workers)
    assert str(caught.value).startswith(str(damaged)) and "\n" not in str(caught.value)
