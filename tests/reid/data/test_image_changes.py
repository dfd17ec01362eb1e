"""Changes of training images: boxes move with what they hold, and (seed, epoch, position) determines every bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from helpers.toy.vehicles import TINY, Toy, assert_same_run, train_toy
from reid.data import image_changes
from reid.data.augmentation import Augmentation
from reid.data.image_changes import STRENGTHS, Level, change, move_boxes, move_image, random_move
from reid.data.sampler import Sample
from reid.data.vehicle_images import vehicle_images
from reid.data.views import NO_CROPS
from reid.recipes import PRESETS

LEVELS: tuple[Level, ...] = ("light", "strong")
WIDTH, HEIGHT = 96, 64
seeds = st.integers(0, 10_000)


def by_hand(point: NDArray[np.float64], moved: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where a homography moves a point (x, y)."""
    x, y = point
    scale = moved[2, 0] * x + moved[2, 1] * y + moved[2, 2]
    return np.array(
        [
            (moved[0, 0] * x + moved[0, 1] * y + moved[0, 2]) / scale,
            (moved[1, 0] * x + moved[1, 1] * y + moved[1, 2]) / scale,
        ]
    )


@pytest.mark.parametrize("level", LEVELS)
@given(seed=seeds)
def test_a_point_of_a_box_stays_in_it_and_boxes_stay_in_the_image(level: Level, seed: int) -> None:
    random = np.random.default_rng(seed)
    moved = random_move(WIDTH, HEIGHT, STRENGTHS[level], random)
    boxes = np.sort(random.random((6, 2, 2)), axis=1).reshape(6, 4).astype(np.float32)
    present = np.arange(6) < 5
    found, kept = move_boxes(boxes, present, moved, WIDTH, HEIGHT)
    assert found.dtype == np.float32 and not kept[5] and not found[~kept].any()
    assert (found >= 0).all() and (found <= 1).all() and (found[kept, 2:] > found[kept, :2]).all()
    side = np.array([WIDTH, HEIGHT])
    for box, new, is_kept, was in zip(boxes, found, kept, present, strict=True):
        shares = random.random((40, 2))
        points = np.array([by_hand((box[:2] + share * (box[2:] - box[:2])) * side, moved) for share in shares]) / side
        seen = ((points >= 0) & (points <= 1)).all(axis=1)
        if is_kept:
            assert (points[seen] >= new[:2] - 1e-5).all() and (points[seen] <= new[2:] + 1e-5).all()
        elif was:
            assert seen.mean() < 0.9  # mostly outside


def test_a_bright_part_is_where_its_moved_box_is() -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[20:34, 30:50] = 255
        box = np.array([[30 / WIDTH, 20 / HEIGHT, 50 / WIDTH, 34 / HEIGHT]], np.float32)
        moved = random_move(WIDTH, HEIGHT, STRENGTHS["strong"], random)
        found, kept = move_boxes(box, np.ones(1, bool), moved, WIDTH, HEIGHT)
        bright = np.asarray(move_image(Image.fromarray(picture), moved))[..., 1] > 150
        rows, columns = np.nonzero(bright)
        edges = [columns.min() / WIDTH, rows.min() / HEIGHT, (columns.max() + 1) / WIDTH, (rows.max() + 1) / HEIGHT]
        assert kept.all()
        np.testing.assert_allclose(found[0], edges, atol=1.6 / HEIGHT)


def test_a_move_and_its_inverse_are_no_move() -> None:
    boxes = np.array([[0.3, 0.4, 0.6, 0.5]], np.float32)
    for seed in range(20):
        moved = random_move(WIDTH, HEIGHT, STRENGTHS["strong"], np.random.default_rng(seed))
        corner = np.array([30.0, 20.0])
        np.testing.assert_allclose(by_hand(by_hand(corner, moved), np.linalg.inv(moved)), corner)
    same, kept = move_boxes(boxes, np.ones(1, bool), np.eye(3), WIDTH, HEIGHT)
    np.testing.assert_allclose(same, boxes, atol=1e-6)
    assert kept.all()


def test_a_part_that_leaves_the_image_is_absent_and_images_without_parts_are_fine() -> None:
    right = np.array([[1, 0, 80.0], [0, 1, 0], [0, 0, 1]])
    boxes = np.array([[0.5, 0.1, 0.9, 0.9], [0.0, 0.1, 0.1, 0.9], [0.0, 0.0, 1.0, 1.0]], np.float32)
    found, kept = move_boxes(boxes, np.ones(3, bool), right, WIDTH, HEIGHT)
    assert kept.tolist() == [False, True, False]  # of the last, a sixth is left
    np.testing.assert_allclose(found[1], [80 / 96, 0.1, 80 / 96 + 0.1, 0.9], atol=1e-6)
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for count in (0, 3):
        none = np.zeros((count, 4), np.float32), np.zeros(count, bool)
        for level in LEVELS:
            changed, _, left, present = change(image, NO_CROPS, *none, level, np.random.default_rng(0))
            assert changed.shape == image.shape and left.shape == (count, 4) and not present.any()


@pytest.mark.parametrize("level", LEVELS)
def test_moves_and_greys_have_their_shares_and_no_change_changes_its_input(level: Level) -> None:
    strength = STRENGTHS[level]
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    before, boxes = image.copy(), np.array([[0.2, 0.2, 0.6, 0.6]], np.float32)
    moved = grey = 0
    for seed in range(600):
        changed, _, found, _ = change(image, NO_CROPS, boxes, np.ones(1, bool), level, np.random.default_rng(seed))
        again, *_ = change(image, NO_CROPS, boxes, np.ones(1, bool), level, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed, again)
        assert changed.dtype == np.uint8 and not np.array_equal(changed, image)
        moved += not np.array_equal(found, boxes)
        grey += int((changed.std(axis=2) < 1).all())
    np.testing.assert_array_equal(image, before)
    assert moved / 600 == pytest.approx(strength.moved, abs=0.06) and grey / 600 == pytest.approx(
        strength.grey, abs=0.04
    )


# The value that light of a factor gives to `values` (H, W, 3) in [0, 1]; Rec. 601 is the grey of saturation.
LIGHT: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.float64]]] = {
    "gain": lambda values, factor: factor * values,
    "contrast": lambda values, factor: 0.5 + factor * (values - 0.5),
    "gamma": lambda values, factor: values**factor,
    "balance": lambda values, factor: factor * values,
    "saturation": lambda values, factor: (1 - factor) * (values @ [0.299, 0.587, 0.114])[..., None] + factor * values,
}


@pytest.mark.parametrize("kind", LIGHT)
def test_each_change_of_light_is_its_formula_with_a_factor_up_to_its_strength(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one kind alone, some factor between exp(-strength) and exp(strength) explains all values of an image."""
    strength = 0.4
    none = dict.fromkeys(("moved", *LIGHT, "grey", "blurred", "noisy", "compressed"), 0.0)
    monkeypatch.setitem(STRENGTHS, "light", replace(STRENGTHS["light"], **{**none, kind: strength}))
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    factors = np.exp(np.linspace(-strength, strength, 201))
    formula = np.stack([255 * LIGHT[kind](image / 255, factor).clip(0, 1) for factor in factors])  # (201, H, W, 3)
    absent = np.zeros((0, 4), np.float32), np.zeros(0, np.bool_)
    found = []
    for seed in range(100):
        changed, *_ = change(image, NO_CROPS, *absent, "light", np.random.default_rng(seed))
        error = np.abs(formula - changed).max(axis=(1, 2))  # (201, 3)
        if kind != "balance":  # the same factor in all channels
            error = np.repeat(error.max(axis=1, keepdims=True), 3, axis=1)
        assert error.min(axis=0).max() < 2  # of 255: steps of the factors, and rounding
        found.append(factors[error.argmin(axis=0)])
    logarithms = np.log(found) / strength
    assert logarithms.min() < -0.9 and logarithms.max() > 0.9
    assert np.abs(logarithms.mean(axis=0)).max() < 0.2
    channels = np.corrcoef(logarithms.T)
    assert np.abs(channels[np.triu_indices(3, 1)] - (kind != "balance")).max() < 0.3


@pytest.mark.parametrize("name", ["blurred", "noisy", "compressed"])
def test_each_change_of_the_camera_has_its_share(name: str) -> None:
    others = {"blurred": 0.0, "noisy": 0.0, "compressed": 0.0}
    strength = replace(STRENGTHS["strong"], **{**others, name: 0.3, "noise": 60.0})
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8))
    changed = sum(
        image_changes._other_camera(picture, picture.height, strength, np.random.default_rng(seed)) is not picture
        for seed in range(400)
    )
    assert 90 <= changed <= 150


def test_items_depend_on_seed_epoch_and_position_alone_and_none_is_as_before(toy: Toy) -> None:
    names = toy.dataset.names()[:8]
    strong = Augmentation(changes="strong")
    first, second, other = (
        vehicle_images(toy.dataset, toy.parts, names, top_d=2, size=64, augmentation=strong, seed=seed)
        for seed in (3, 3, 4)
    )
    plain = vehicle_images(toy.dataset, toy.parts, names, top_d=2, size=64, augmentation=Augmentation(), seed=3)
    for key in (Sample(0, 0, 1), Sample(1, 0, 1), Sample(0, 5, 1)):
        one, same, different, unchanged = (images[key] for images in (first, second, other, plain))
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
        assert not np.array_equal(one[0], different[0]) and not np.array_equal(one[0], unchanged[0])
    assert first[2][0].shape == (3, 64, 64)  # an index alone is never changed
    np.testing.assert_array_equal(first[2][0], plain[2][0])
    assert not any("augment" in preset.model_dump() for preset in PRESETS.values())


def test_a_training_does_not_depend_on_the_workers(toy: Toy, tmp_path: Path, tiny_network: None) -> None:
    recipe = TINY.model_copy(update={"augment": "strong", "epochs": 2})
    first, second = (
        train_toy(recipe, toy, tmp_path / str(workers) / "run", workers=workers).parent for workers in (0, 2)
    )
    assert_same_run(first, second)
