"""Statistics of a cache against loops over its rows, and the table and files that show them."""

import io
import json
import statistics as plain
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from data_cache.parts.cache import STATUS_FAILED, PartBoxes, empty_cache
from data_cache.parts.names import PART_NAMES
from data_cache.parts.packing import FlatBoxes, ImageEntry, pack_boxes
from data_cache.parts.selection import BoxChoice, label_coverage
from data_cache.parts.statistics import CacheStatistics, cache_statistics, statistics_table, write_statistics
from helpers.parts import MakeParts


def shown(found: CacheStatistics) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=140).print(statistics_table(found, "a [b] parts.h5"))
    return buffer.getvalue()


def one_box(score: float, box: tuple[float, ...], images: list[ImageEntry]) -> PartBoxes:
    boxes = FlatBoxes(np.array([0]), np.float32([box]), np.float32([score]), np.array([0]))
    return pack_boxes(images, boxes, top_k=2, part_names=("wheel", "plate"), fingerprint={})


@pytest.mark.parametrize(("count", "slots", "seed"), [(6, 3, 0), (90, 5, 1), (41, 16, 2)])
def test_statistics_equal_a_loop(make_parts: MakeParts, count: int, slots: int, seed: int) -> None:
    parts = make_parts(count, slots, seed)
    found = cache_statistics(parts)
    read = [row for row in range(count) if parts.status[row] != STATUS_FAILED]
    stored = [(row, slot) for row in read for slot in range(slots) if parts.labels[row, slot] >= 0]
    boxes = [box for box in stored if parts.scores[box] >= 0.5]
    assert 0 < len(boxes) < len(stored) and found.useful_confidence == 0.5
    assert found.boxes_below == len(stored) - len(boxes)
    best = [max((float(score) for score in parts.scores[row]), default=0.0) for row in read]
    assert found.median_best == pytest.approx(plain.median(best))
    per_image = [sum(1 for row, _ in boxes if row == image) for image in read]
    assert (found.images, found.failed, found.boxes) == (count, 1, len(boxes))
    assert found.found + found.empty == len(read) and found.empty == per_image.count(0)
    assert found.parts_per_image == pytest.approx(sum(per_image) / len(read))
    assert found.images_by_parts == tuple(per_image.count(number) for number in range(slots + 1))
    bins = [min(int(float(parts.scores[box]) * 20), 19) for box in stored]
    assert found.score_histogram == tuple(bins.count(number) for number in range(20))
    for part in found.parts:
        own = [box for box in boxes if PART_NAMES[parts.labels[box]] == part.name]
        assert part.boxes == len(own) and part.images == len({row for row, _ in own})
        assert part.share == pytest.approx(part.images / len(read))
        if own:
            corners = [parts.boxes[box].tolist() for box in own]
            areas = [(x1 - x0) * (y1 - y0) / (100 * 90) for x0, y0, x1, y1 in corners]
            assert part.median_area == pytest.approx(plain.median(areas), rel=1e-5)
            assert part.median_score == pytest.approx(plain.median(float(parts.scores[box]) for box in own))
        else:
            assert part.median_area is part.median_score is None
    assert [part.images for part in found.parts] == sorted((part.images for part in found.parts), reverse=True)
    assert {part.name for part in found.parts} == set(PART_NAMES)


def test_coverage_is_shown_only_if_asked_for(make_parts: MakeParts) -> None:
    parts = make_parts(40, 8, seed=2)
    plain_text, found = shown(cache_statistics(parts)), cache_statistics(parts, BoxChoice(3, 1))
    assert "chosen" not in plain_text and "coverage" not in cache_statistics(parts).to_dict()
    assert "% of top 3" in shown(found) and "% of chosen" in shown(found)
    assert found.to_dict()["coverage"]["varied"] == label_coverage(parts, BoxChoice(3, 1))
    assert found.to_dict()["parts"] == cache_statistics(parts).to_dict()["parts"]


def test_score_of_1_and_box_of_the_whole_image_are_counted() -> None:
    found = cache_statistics(one_box(1.0, (0, 0, 10, 8), [ImageEntry("a", 10, 8)]))
    assert found.score_histogram[-1] == 1
    assert found.parts[0].median_area == 1.0
    assert found.images_by_parts == (0, 1, 0)


def test_failures_are_grouped_without_file_names() -> None:
    images = [
        ImageEntry("in/a.jpg", 10, 8),
        ImageEntry("in/b.jpg", 0, 0, "/data/in/b.jpg: no such file"),
        ImageEntry("in/c.jpg", 0, 0, "/masks/in/c.npy: no such mask"),
        ImageEntry("in/d.jpg", 0, 0, "/data/in/d.jpg: no such file"),
        ImageEntry("in/e.jpg", 0, 0, "out of luck"),
    ]
    found = cache_statistics(one_box(0.5, (0, 0, 1, 1), images))
    assert found.failures == {"no such file": 2, "no such mask": 1, "out of luck": 1}
    assert list(found.failures) == ["no such file", "no such mask", "out of luck"]
    assert "failed, 2: no such file" in shown(found)


def test_empty_cache_has_statistics() -> None:
    for names in ([], ["a"]):
        found = cache_statistics(empty_cache(names))
        assert found.parts_per_image == 0 and found.parts == ()
        assert found.images_by_parts == (len(names),)
        assert "images by number of parts" in shown(found)


def test_table_has_every_part_and_the_totals(make_parts: MakeParts) -> None:
    parts = make_parts(90, 5)
    found = int((parts.scores.max(axis=1) >= 0.5).sum())
    text = shown(cache_statistics(parts))
    assert all(name in text for name in PART_NAMES)
    assert "a [b] parts.h5" in text
    assert f"90 images: {found} with parts, {89 - found} without, 1 failed" in text
    assert "scores:" not in text


@pytest.mark.parametrize(("score", "counted"), [(0.49, False), (0.5, True)])
def test_a_box_counts_from_the_useful_confidence_on(score: float, counted: bool) -> None:
    found = cache_statistics(one_box(score, (0, 0, 1, 1), [ImageEntry("a", 10, 8)]))
    assert (found.boxes, found.boxes_below, found.found, found.empty) == ((1, 0, 1, 0) if counted else (0, 1, 0, 1))
    text = shown(found)
    assert f"{int(counted)} with parts, {int(not counted)} without" in text
    assert f"counted are boxes of confidence 0.5 or more; {int(not counted)} others are stored too" in text


@pytest.mark.parametrize(("scores", "median"), [((0.9, 0.81, 0.1), 0.81), ((0.9, 0.79, 0.1), 0.79)])
def test_a_low_median_of_the_best_boxes_is_a_warning(scores: tuple[float, ...], median: float) -> None:
    """One box an image, and one image more that failed and does not count."""
    images = [ImageEntry(name, 10, 8) for name in "abc"] + [ImageEntry("d", 0, 0, "no such file")]
    boxes = FlatBoxes(np.arange(3), np.float32([(0, 0, 1, 1)] * 3), np.float32(scores), np.zeros(3, int))
    parts = pack_boxes(images, boxes, top_k=2, part_names=("wheel",), fingerprint={})
    found = cache_statistics(parts)
    assert found.median_best == pytest.approx(median)
    assert (found.warning is not None) == (median < 0.8) == ("warning: the best boxes" in shown(found))
    assert found.to_dict()["warning"] == found.warning
    masks = cache_statistics(replace(parts, fingerprint={"scores": "rank only"}))
    assert masks.warning is None and masks.boxes == 3 and masks.median_best is masks.useful_confidence is None


def test_table_says_if_scores_are_not_confidences(make_parts: MakeParts) -> None:
    found = cache_statistics(replace(make_parts(), fingerprint={"scores": "rank only"}))
    assert found.to_dict()["scores_are"] == "rank only"
    assert "scores: rank only" in shown(found)


@pytest.mark.parametrize("names", [PART_NAMES, tuple(f"$x_1$ {'a' * 60} {number}" for number in range(60))])
def test_same_cache_gives_same_files_with_the_statistics(
    tmp_path: Path, make_parts: MakeParts, names: tuple[str, ...]
) -> None:
    found = cache_statistics(replace(make_parts(20, 40), part_names=names))
    numbers, picture = write_statistics(found, tmp_path / "new")
    assert json.loads(numbers.read_text()) == json.loads(json.dumps(found.to_dict()))
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.width > 1000
    again = write_statistics(found, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [numbers.read_bytes(), picture.read_bytes()]
