"""What covering a region does to a score: against a loop that covers one image at a time, and worked examples."""

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.toy.vehicles import TINY, Toy, tiny_scale
from reid.data.vehicle_images import Item, VehicleImages, vehicle_images
from reid.data.views import Views, crop_window
from reid.features.extraction import extract_features
from reid.model.checkpoint import build_network
from reid.recipes import Attention
from reid.report.pictures.covering import (
    GRID,
    Covering,
    _covered,
    box_region,
    covering_effects,
    draw_effects,
    grid_regions,
)

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet
GREY = np.array([124, 116, 104])  # 255 times MEAN, rounded


class Brightness(torch.nn.Module):
    """A stand-in for the network: its feature is (brightness of the left half, of the right half, 1)."""

    def embed(self, images: torch.Tensor, boxes: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, None]:
        half = images.shape[-1] // 2
        left, right = images[..., :half].mean(dim=(1, 2, 3)), images[..., half:].mean(dim=(1, 2, 3))
        return torch.stack([left, right, torch.ones_like(left)], dim=1), None


@pytest.mark.parametrize("attention", ["parts", "grid", "none"])
def test_effects_equal_a_loop_over_the_regions(toy: Toy, attention: Attention) -> None:
    """Each region is covered in the pixels as they are read, and the image goes through the network alone."""
    with tiny_scale():
        network = build_network(TINY.model_copy(update={"attention": attention}), 8)
    names = toy.dataset.names()[:3]
    images = vehicle_images(toy.dataset, toy.parts, names, top_d=TINY.parts, size=TINY.image_size)
    random = np.random.default_rng(0)

    def feature(pixels: np.ndarray, boxes: torch.Tensor, present: torch.Tensor) -> np.ndarray:
        plain = ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None].astype(np.float32)
        with torch.no_grad():
            output = network.eval()(torch.from_numpy(plain), boxes[None], present[None])
        vector = output.feature[0].double().numpy()
        return vector / np.linalg.norm(vector)

    references = []
    items = [(item.image, item.boxes, item.labels >= 0) for item in images]
    for image, boxes, present in items:
        noisy = feature(image.numpy().transpose(1, 2, 0), boxes, present)
        noisy = noisy + 0.3 * random.standard_normal(len(noisy))
        references.append((noisy / np.linalg.norm(noisy)).astype(np.float32))
    found = covering_effects(network, images, np.stack(references), device="cpu", grid=4)
    boxes_alone = covering_effects(network, images, np.stack(references), device="cpu", grid=0)
    for effect, alone in zip(found, boxes_alone, strict=True):
        np.testing.assert_allclose(alone.parts, effect.parts, atol=1e-5)
        assert alone.squares.shape == (0, 0)
    side = TINY.image_size
    for effect, (image, boxes, present), reference in zip(found, items, references, strict=True):
        pixels = image.numpy().transpose(1, 2, 0)
        score = float(feature(pixels, boxes, present) @ reference)
        assert effect.score == pytest.approx(score, abs=2e-4)
        for row in range(4):
            for column in range(4):
                covered = pixels.copy()
                covered[row * side // 4 : (row + 1) * side // 4, column * side // 4 : (column + 1) * side // 4] = GREY
                wanted = float(feature(covered, boxes, present) @ reference) - score
                assert effect.squares[row, column] == pytest.approx(wanted, abs=2e-4)
        assert np.isnan(effect.parts).tolist() == (~present).tolist()
        for index in np.flatnonzero(present.numpy()):
            x0, y0, x1, y1 = boxes[index].double().numpy() * side
            covered = pixels.copy()
            inside = [
                [x + 1 > x0 and x < x1 and y + 1 > y0 and y < y1 for x in range(side)] for y in range(side)
            ]  # pixels that the box touches
            covered[np.array(inside)] = GREY
            wanted = float(feature(covered, boxes, present) @ reference) - score
            assert effect.parts[index] == pytest.approx(wanted, abs=2e-4)


def test_without_a_grid_the_parts_of_a_margin_are_those_of_its_two_scores(toy: Toy) -> None:
    with tiny_scale():
        network = build_network(TINY, 8)
    names = toy.dataset.names()[:2]
    images = vehicle_images(toy.dataset, toy.parts, names, top_d=TINY.parts, size=TINY.image_size)
    one, other = (np.random.default_rng(seed).standard_normal((2, TINY.features)).astype(np.float32) for seed in (0, 1))
    scores = [covering_effects(network, images, reference, device="cpu") for reference in (one, other)]
    margins = covering_effects(network, images, one - other, device="cpu", grid=0)
    for first, second, margin in zip(*scores, margins, strict=True):
        assert margin.squares.shape == (0, 0) and margin.score == pytest.approx(first.score - second.score, abs=1e-4)
        np.testing.assert_allclose(margin.parts, first.parts - second.parts, atol=1e-4)


def test_only_the_region_that_the_score_depends_on_has_an_effect() -> None:
    """The reference is (1, 0, 0): covering a bright square on the left lowers the score, on the right it raises it."""
    white = np.full((32, 32, 3), 255, np.uint8)
    images = VehicleImages(lambda _: Views(white), np.zeros((1, 2, 4), np.float32), np.full((1, 2), -1))
    (effect,) = covering_effects(Brightness(), images, np.float32([[1, 0, 0]]), device="cpu")  # type: ignore[arg-type]
    assert effect.squares.shape == (GRID, GRID) and np.isnan(effect.parts).all()
    assert (effect.squares[:, : GRID // 2] < -1e-4).all() and (effect.squares[:, GRID // 2 :] > 1e-4).all()
    bright = float(((1 - MEAN) / DEVIATION).mean())  # of a white picture
    vector = np.array([bright, bright, 1])
    assert effect.score == pytest.approx(bright / np.linalg.norm(vector), abs=1e-5)
    left = bright * (1 - 2 / GRID**2)  # a covered square of the left half is grey, brightness 0
    wanted = left / np.linalg.norm([left, bright, 1]) - bright / np.linalg.norm(vector)
    assert effect.squares[3, 1] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(("height", "width", "grid"), [(128, 128, 8), (100, 100, 8), (9, 9, 4), (96, 160, 8)])
def test_the_squares_cover_every_pixel_once(height: int, width: int, grid: int) -> None:
    counts = np.zeros((height, width), int)
    for region in grid_regions(height, width, grid):
        counts[region] += 1
    assert (counts == 1).all()


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0, 10), (0, 10)),
        ((0.15, 0.5, 0.25, 0.5), (5, 6), (1, 3)),
        ((1.0, 1.0, 1.0, 1.0), (9, 10), (9, 10)),
    ],
)
def test_a_box_covers_the_pixels_that_it_touches(
    box: tuple[float, ...], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    found = box_region(box, 10, 10)
    assert ((found[0].start, found[0].stop), (found[1].start, found[1].stop)) == (rows, columns)


def test_a_box_of_a_wide_image_has_its_own_rows_and_columns() -> None:
    assert box_region((0.5, 0.25, 0.75, 0.5), 40, 80) == (slice(10, 20), slice(40, 60))


def test_red_lowers_the_score_blue_raises_it_and_no_effect_leaves_the_picture_grey() -> None:
    picture = Image.new("RGB", (30, 10), (200, 100, 50))
    grey = np.asarray(picture.convert("L"))[0, 0]
    squares = np.float32([[-0.2, 0.0, 0.1]])
    found = np.asarray(draw_effects(picture, squares, 0.2)).astype(int)
    left, middle, right = found[5, 5], found[5, 15], found[5, 25]
    assert left[0] > left[2] + 80 and right[2] > right[0] + 40 and (middle == grey).all()
    assert left[0] - left[2] > right[2] - right[0]  # twice the effect
    assert (np.asarray(draw_effects(picture, squares * 0, 0.0)) == grey).all()
    assert Covering(0.5, squares, np.zeros(0, np.float32)).largest == pytest.approx(0.2)


def test_the_network_is_in_evaluation_mode(toy: Toy) -> None:
    with tiny_scale():
        network = build_network(TINY, 8).train()
    images = vehicle_images(toy.dataset, toy.parts, toy.dataset.names()[:1], top_d=TINY.parts, size=TINY.image_size)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    reference = np.ones((1, TINY.features), np.float32) / np.float32(TINY.features) ** 0.5
    covering_effects(network, images, reference, device="cpu", grid=2)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not network.training


def test_a_region_is_covered_in_the_crops_that_show_it() -> None:
    """A pixel of a crop is covered if any of it lies in the region; pixels of absent parts never are."""
    random, side, crop = np.random.default_rng(0), 40, 16
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.4], [0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.6, 0.9]])
    labels, crops = torch.tensor([0, 3, -1]), torch.full((3, 3, crop, crop), 7, dtype=torch.uint8)
    item = Item(torch.zeros(3, side, side, dtype=torch.uint8), boxes, labels, crops, 0)
    for _ in range(20):
        top, left = random.integers(0, 30, 2)
        bottom, right = random.integers((top, left), side) + 1
        found = _covered(item, (slice(top, bottom), slice(left, right)))
        assert (item.crops == 7).all() and not item.image.any()  # copies
        assert (found.crops[2] == 7).all()
        for part in range(2):
            x0, y0, x1, y1 = crop_window(boxes[part].numpy()) * side
            rows, columns = (
                [
                    low + (index + 1) * (high - low) / crop > first + 1e-9
                    and low + index * (high - low) / crop < last - 1e-9
                    for index in range(crop)
                ]
                for low, high, first, last in ((y0, y1, top, bottom), (x0, x1, left, right))
            )
            inside = np.outer(rows, columns)
            np.testing.assert_array_equal(found.crops[part, 0].numpy() != 7, inside)


def test_squares_that_only_a_crop_shows_have_an_effect(toy: Toy) -> None:
    """A network that reads crops alone scores lower where they are covered, and the same elsewhere."""
    with tiny_scale():
        network = build_network(
            TINY.model_copy(update={"attention": "none", "part_crops": 32, "slot_features": 8}), 8
        ).eval()
    with torch.no_grad():
        network.scale.fill_(1000.0)
    images = vehicle_images(toy.dataset, toy.parts, toy.dataset.names()[1:3], top_d=2, size=64, crop=32)
    references = extract_features(network, images, device="cpu", workers=0)[0]
    for item, effect in zip(images, covering_effects(network, images, references, device="cpu", grid=4), strict=True):
        assert effect.score == pytest.approx(1, abs=1e-3)
        shown = np.zeros((4, 4), bool)
        for box in item.boxes[item.labels >= 0]:
            x0, y0, x1, y1 = crop_window(box.numpy()) * 4
            shown |= np.outer(
                [row + 1 > y0 and row < y1 for row in range(4)],
                [column + 1 > x0 and column < x1 for column in range(4)],
            )
        assert shown.any() and not shown.all()
        assert (effect.squares[shown].min() < -1e-3) and np.abs(effect.squares[~shown]).max() < 1e-3
