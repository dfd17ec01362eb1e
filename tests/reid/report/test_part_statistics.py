"""Mean attention by part, against a walk over every box."""

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import PartBoxes, no_parts
from reid.features.file import Features
from reid.report.statistics import part_statistics

PART_NAMES = ("wheel", "logo", "plate")


def samples(count: int = 40, places: int = 6, depth: int = 4) -> tuple[PartBoxes, Features]:
    random = np.random.default_rng(0)
    names = tuple(f"{number:02d}.jpg" for number in range(count))
    number = random.integers(0, places + 1, count)
    present = np.arange(places) < number[:, None]
    labels = np.where(present, random.integers(0, 2, (count, places)), -1).astype(np.int8)
    boxes = np.where(present[..., None], np.float32([1, 1, 5, 5]), np.float32(0)).astype(np.float32)
    scores = np.where(present, np.float32(0.5), np.float32(0)).astype(np.float32)
    status = np.where(number > 0, 0, 1).astype(np.uint8)
    status[np.flatnonzero(number == 0)[:1]] = 2
    size = np.full((count, 2), 9, np.int32)
    failure = tuple("damaged" if code == 2 else "" for code in status)
    parts = PartBoxes(names, size, boxes, scores, labels, status, failure, PART_NAMES, {})
    weights = np.where(present[:, :depth], random.random((count, depth)), 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    order = random.permutation(count)  # the feature file's order is its own, and it may hold fewer images
    chosen = order[: count - 5]
    matrix = np.eye(count, dtype=np.float32)[chosen]
    return parts, Features(tuple(names[row] for row in chosen), matrix, weights[chosen].astype(np.float32), {})


def test_attention_by_part_equals_the_walk() -> None:
    parts, features = samples()
    found = part_statistics(parts, features)
    assert found is not None
    weights: dict[str, list[float]] = {name: [] for name in PART_NAMES}
    equal: dict[str, list[float]] = {name: [] for name in PART_NAMES}
    holders: dict[str, set[str]] = {name: set() for name in PART_NAMES}
    for image, name in enumerate(features.names):
        labels = [int(label) for label in parts.labels[parts.names.index(name)][:4] if label >= 0]
        for place, label in enumerate(labels):
            weights[PART_NAMES[label]].append(float(features.attention[image, place]))
            equal[PART_NAMES[label]].append(1 / len(labels))
            holders[PART_NAMES[label]].add(name)
    assert [use.images for use in found.uses] == sorted((use.images for use in found.uses), reverse=True)
    for use in found.uses:
        assert (use.images, use.boxes) == (len(holders[use.name]), len(weights[use.name]))
        if use.name == "plate":
            assert use.attention is None and use.relative is None
        else:
            assert use.attention == pytest.approx(np.mean(weights[use.name]))
            assert use.relative == pytest.approx(np.mean(weights[use.name]) / np.mean(equal[use.name]))
    assert found.boxes_per_image == pytest.approx(sum(map(len, weights.values())) / len(features.names))
    assert found.largest_weight == pytest.approx(max(max(use.attention or 0, use.equal or 0) for use in found.uses))


def test_equal_weights_are_once_the_equal_share() -> None:
    parts, features = samples()
    present = parts.labels[parts.rows(features.names), :4] >= 0
    attention = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    found = part_statistics(parts, Features(features.names, features.matrix, attention.astype(np.float32), {}))
    assert found is not None
    assert [use.relative for use in found.uses if use.boxes] == pytest.approx([1.0, 1.0])


def test_every_image_is_counted_once() -> None:
    parts, features = samples()
    found = part_statistics(parts, features)
    assert found is not None
    assert found.found + found.empty + found.failed == found.images == len(features.names)
    assert found.failed <= 1 and found.empty > 0


def test_networks_without_part_attention() -> None:
    parts, features = samples()
    grid = Features(features.names, features.matrix, np.full((35, 49), 1 / 49, np.float32), {})
    found = part_statistics(parts, grid)
    assert found is not None and found.depth == 6
    assert all(use.attention is None for use in found.uses) and found.largest_weight == 1.0
    assert part_statistics(no_parts(sorted(features.names)), grid) is None


def test_an_image_missing_in_the_part_cache_is_named() -> None:
    _, features = samples()
    with pytest.raises(UserError, match="not in it"):
        part_statistics(samples(count=3)[0], features)
