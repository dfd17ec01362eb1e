"""Thumbnails: heights, frames, boxes on the right pixels, stronger lines for more attention."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from helpers.toy.evaluated import make_evaluated_run
from reid.report.evaluated_run import EvaluatedRun
from reid.report.pictures.thumbnails import (
    FRAME,
    RIGHT,
    WRONG,
    WeightedBoxes,
    draw_thumbnail,
    weighted_boxes,
)
from reid.retrieval.ranked_lists import Choice, RankedList, ranked_lists

NO_BOXES = WeightedBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), (1, 1))


def grey(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.full((height, width, 3), 128, np.uint8)


def inside(image: np.ndarray[Any, Any], boxes: WeightedBoxes, height: int, **options: bool) -> np.ndarray[Any, Any]:
    """Return the pixels of a thumbnail without its frame."""
    return np.asarray(draw_thumbnail(image, boxes, RIGHT, height=height, **options))[FRAME:-FRAME, FRAME:-FRAME]


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    return make_evaluated_run(tmp_path)


@pytest.fixture
def ranked(run: EvaluatedRun) -> RankedList:
    return ranked_lists(run.features, run.dataset, run.protocol(), Choice(1), top_k=4)[0]


@pytest.mark.parametrize("size", [(40, 60), (300, 200), (10, 900), (700, 9)])
def test_a_thumbnail_has_its_height_and_its_frame(size: tuple[int, int]) -> None:
    picture = draw_thumbnail(grey(*size), NO_BOXES, WRONG, height=100)
    pixels = np.asarray(picture)
    assert pixels.shape[0] == 100 + 2 * FRAME
    assert picture.width <= 250 + 2 * FRAME
    for edge in (pixels[:FRAME], pixels[-FRAME:], pixels[:, :FRAME], pixels[:, -FRAME:]):
        assert (edge == WRONG).all()
    height, width = size
    if width <= 2.5 * height:
        assert picture.width - 2 * FRAME == max(1, round(width * 100 / height))
        assert (pixels[FRAME:-FRAME, FRAME:-FRAME] == 128).all()


@pytest.mark.parametrize("scale", [1, 2])
def test_boxes_are_on_their_pixels_at_any_scale(scale: int) -> None:
    boxes = WeightedBoxes(np.array([[20, 10, 60, 40]], np.float32), np.ones(1, np.float32), (100, 50))
    pixels = inside(grey(50, 100), boxes, 50 * scale)
    yellow = (pixels[..., 0].astype(int) - pixels[..., 2]) > 60
    rows, columns = np.flatnonzero(yellow.any(axis=1)), np.flatnonzero(yellow.any(axis=0))
    corners = [columns[0], rows[0], columns[-1], rows[-1]]
    assert corners == pytest.approx([20 * scale, 10 * scale, 60 * scale, 40 * scale])


def test_more_attention_is_a_stronger_line() -> None:
    def strength(weights: list[float]) -> list[int]:
        corners = np.array([[5, 5, 35, 45], [55, 5, 85, 45]], np.float32)
        pixels = inside(grey(50, 100), WeightedBoxes(corners, np.array(weights, np.float32), (100, 50)), 50)
        changed = np.abs(pixels.astype(int) - 128).sum(axis=2)
        return [int(changed[:, :50].sum()), int(changed[:, 50:].sum())]

    left, right = strength([0.9, 0.1])
    assert left > 1.5 * right > 0
    assert strength([0.1, 0.9]) == pytest.approx([right, left], rel=0.05)
    same = strength([0.5, 0.5])
    assert same[0] == pytest.approx(same[1], rel=0.05)


def test_weights_are_written_beside_their_boxes() -> None:
    corners = np.array([[30, 60, 60, 90], [130, 60, 160, 90]], np.float32)

    def drawn(weights: list[float], *, show_weights: bool) -> np.ndarray[Any, Any]:
        boxes = WeightedBoxes(corners, np.array(weights, np.float32), (200, 150))
        return inside(grey(150, 200), boxes, 150, show_weights=show_weights)

    plain, labelled = drawn([0.6, 0.4], show_weights=False), drawn([0.6, 0.4], show_weights=True)
    changed = (plain != labelled).any(axis=2)
    for half in (changed[:, :100], changed[:, 100:]):
        rows, columns = np.nonzero(half)
        assert 50 < len(rows) and rows.max() - rows.min() < 16 and columns.max() - columns.min() < 36
    assert (drawn([0.61, 0.39], show_weights=True) != labelled).any(axis=2).sum() > 5


def test_the_strongest_parts_come_first() -> None:
    weights = np.float32([0.2, 0.5, 0.3])
    boxes = WeightedBoxes(np.zeros((3, 4), np.float32), weights, (9, 9), ("wheel", "logo", "plate"))
    assert [name for name, _ in boxes.strongest(2)] == ["logo", "plate"]
    assert boxes.strongest(9)[2] == ("wheel", pytest.approx(0.2))
    assert NO_BOXES.strongest(3) == []


def test_boxes_of_an_image_of_another_size_are_refused() -> None:
    boxes = WeightedBoxes(np.array([[0, 0, 5, 5]], np.float32), np.ones(1, np.float32), (99, 50))
    with pytest.raises(UserError, match=r"\(100, 50\) now and was \(99, 50\)"):
        draw_thumbnail(grey(50, 100), boxes, RIGHT, height=50)


def test_weighted_boxes_are_the_slots_that_the_network_used(run: EvaluatedRun) -> None:
    labels = run.parts.labels.copy()
    labels[:, 1] = -1
    boxes, scores = run.parts.boxes * (labels >= 0)[..., None], run.parts.scores * (labels >= 0)
    run = replace(run, parts=replace(run.parts, labels=labels, boxes=boxes, scores=scores))
    found = weighted_boxes(run, "1&<b>_2.png")
    assert found.boxes.tolist() == [[2, 2, 12, 12]] and found.weights.tolist() == pytest.approx([0.2])
    assert found.image_size == (50, 30) and found.parts == ("wheel",)


@pytest.mark.parametrize("cells", [0, 5, 196])
def test_a_network_without_part_attention_has_no_boxes(run: EvaluatedRun, cells: int) -> None:
    other = replace(run, features=replace(run.features, attention=np.full((15, cells), 0.005, np.float32)))
    assert not other.attends_to_parts
    assert len(weighted_boxes(other, "1&<b>_2.png").boxes) == 0
