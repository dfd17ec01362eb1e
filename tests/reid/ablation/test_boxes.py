"""Control boxes: sizes are kept, boxes stay inside, seeds reproduce them, and fingerprints differ."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from data_cache.parts.names import PART_NAMES
from helpers.parts import MakeParts
from reid.ablation.boxes import TRUTH_FILES, has_truth, random_boxes, rarest_boxes, shifted_boxes, true_boxes

CONTROLS: dict[str, Callable[[PartBoxes], PartBoxes]] = {
    "random": lambda parts: random_boxes(parts, seed=1),
    "shifted": shifted_boxes,
}


def sizes(parts: PartBoxes) -> np.ndarray[Any, Any]:
    return parts.boxes[..., 2:].astype(np.float64) - parts.boxes[..., :2]


def one_box(box: tuple[float, ...], parts: PartBoxes) -> PartBoxes:
    """Return the cache with only this box in every image except the first, which failed."""
    boxes, labels, scores = (np.zeros_like(array) for array in (parts.boxes, parts.labels, parts.scores))
    labels[:] = -1
    boxes[1:, 0], labels[1:, 0], scores[1:, 0] = box, 3, 0.5
    return replace(parts, boxes=boxes, labels=labels, scores=scores, status=np.array([2, *[0] * 5], np.uint8))


@pytest.mark.parametrize("name", CONTROLS)
def test_only_the_positions_change(make_parts: MakeParts, name: str) -> None:
    parts = make_parts(40, 5)
    moved = CONTROLS[name](parts)  # PartBoxes refuses boxes outside their image
    np.testing.assert_allclose(sizes(moved), sizes(parts), atol=1e-4)
    for field in ("names", "failure", "part_names"):
        assert getattr(moved, field) == getattr(parts, field)
    for field in ("scores", "labels", "status", "image_size"):
        assert np.array_equal(getattr(moved, field), getattr(parts, field))
    assert not moved.boxes[parts.labels < 0].any()
    present = parts.labels >= 0
    assert (moved.boxes[present] != parts.boxes[present]).any(axis=1).mean() > 0.9


def test_every_control_has_its_own_fingerprint(make_parts: MakeParts) -> None:
    parts = make_parts()
    made = [parts, *(random_boxes(parts, seed=seed) for seed in (0, 1)), shifted_boxes(parts)]
    fingerprints = [json.dumps(dict(one.fingerprint), sort_keys=True) for one in made]
    assert len(set(fingerprints)) == len(fingerprints)
    assert all(one.fingerprint["detector"] == "toy" for one in made)
    assert parts.fingerprint == make_parts().fingerprint


def test_random_boxes_depend_only_on_the_seed(make_parts: MakeParts) -> None:
    parts = make_parts()
    first, again, other = (random_boxes(parts, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.boxes, other.boxes)


def test_random_boxes_are_uniform(make_parts: MakeParts) -> None:
    """The corners of 3,000 boxes of 20 x 30 in images of 100 x 90 are uniform in 80 x 60."""
    parts = make_parts(3000, 1)
    labels = np.zeros_like(parts.labels)
    whole = replace(
        parts,
        labels=labels,
        scores=np.full_like(parts.scores, 0.5),
        boxes=np.tile(np.array([0, 0, 20, 30], np.float32), (3000, 1, 1)),
        status=np.zeros_like(parts.status),
        failure=("",) * 3000,
    )
    corners = random_boxes(whole, seed=0).boxes[:, 0, :2] / (80, 60)
    assert corners.min() >= 0 and corners.max() <= 1
    for axis in (0, 1):
        counts, _ = np.histogram(corners[:, axis], bins=10, range=(0, 1))
        assert counts.min() > 240 and counts.max() < 360  # 300 expected, standard deviation 16


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 10, 10), (25, 22.5, 35, 32.5)),  # images are 100 x 90: a quarter is 25 and 22.5
        ((65, 57.5, 75, 67.5), (90, 80, 100, 90)),  # just fits
        ((66, 58, 76, 68), (41, 35.5, 51, 45.5)),  # would leave the image: the other way
        ((90, 0, 100, 45), (65, 22.5, 75, 67.5)),
        ((5, 5, 85, 75), (20, 20, 100, 90)),  # fits neither way: the farther end
        ((15, 15, 95, 85), (0, 0, 80, 70)),
        ((0, 0, 100, 90), (0, 0, 100, 90)),  # the whole image cannot move
    ],
)
def test_shifted_boxes_by_worked_examples(
    make_parts: MakeParts, box: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    moved = shifted_boxes(one_box(box, make_parts()))
    np.testing.assert_allclose(moved.boxes[1:, 0], np.tile(np.array(expected), (5, 1)), atol=1e-4)


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("box", [(0, 0, 1e-6, 1e-6), (99.99999, 89.99999, 100, 90), (0, 0, 99.99999, 89.99999)])
def test_boxes_at_the_limits_of_float32_stay_valid(make_parts: MakeParts, name: str, box: tuple[float, ...]) -> None:
    CONTROLS[name](one_box(box, make_parts()))


def test_a_cache_without_slots_is_kept(make_parts: MakeParts) -> None:
    for control in CONTROLS.values():
        assert control(make_parts(6, 0)).boxes.shape == (6, 0, 4)


def write_truth(root: Path, images: dict[str, dict[str, list[tuple[float, ...]]]]) -> Dataset:
    """Write a `folder` data set with COCO files: file -> image -> boxes (x, y, width, height, category)."""
    categories = [{"id": number, "name": name} for number, name in enumerate(PART_NAMES, 1)]
    for file, found in images.items():
        records, boxes = [], []
        for number, (name, drawn) in enumerate(found.items()):
            records.append({"id": number, "file_name": name, "width": 100, "height": 90})
            for *corners, category in drawn:
                boxes.append({"id": len(boxes), "image_id": number, "category_id": category, "bbox": corners})
        document = {"images": records, "annotations": boxes, "categories": categories}
        (root / file).write_text(json.dumps(document))
    names = [name for found in images.values() for name in found]
    lines = [f"{name},{number // 2},{number % 2},train" for number, name in enumerate(sorted(names))]
    (root / "images.csv").write_text("\n".join(["name,vehicle_id,camera_id,split", *lines]) + "\n")
    return load_dataset("folder", root)


TRAIN = {"b.jpg": [(0, 0, 4, 5, 3), (50, 40, 20, 10, 1), (1, 1, 6, 5, 16)], "d.jpg": []}
TEST = {"c.jpg": [(10, 20, 30, 40, 2)], "a.jpg": [(0, 0, 90, 80, 7)]}


def test_true_boxes_merge_both_files_largest_first(tmp_path: Path) -> None:
    parts = true_boxes(write_truth(tmp_path, dict(zip(TRUTH_FILES, (TRAIN, TEST), strict=True))))
    assert parts.names == ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert parts.labels[:, :4].tolist() == [[6, -1, -1, -1], [0, 15, 2, -1], [1, -1, -1, -1], [-1, -1, -1, -1]]
    assert parts.boxes[1, :3].tolist() == [[50, 40, 70, 50], [1, 1, 7, 6], [0, 0, 4, 5]]
    assert parts.scores[1, :4].tolist() == [1, 1, 1, 0]
    assert parts.labels.shape[1] == 64  # the largest D of a recipe
    assert parts.fingerprint["control"] == {"boxes": "truth"}


def test_the_rarest_parts_of_the_training_images_come_first(tmp_path: Path) -> None:
    often, seldom, never, large = 3, 1, 7, (1, 1, 60, 50)
    train = {"b.jpg": [(0, 0, 4, 5, often), (9, 9, 9, 9, often), (50, 40, 2, 1, seldom), (50, 40, 2, 2, seldom)]}
    train["d.jpg"] = [(0, 0, 4, 5, often)]
    test = {"a.jpg": [(*large, often), (0, 0, 9, 9, seldom), (*large, seldom), (0, 0, 5, 5, never)]}
    dataset = write_truth(tmp_path, dict(zip(TRUTH_FILES, (train, test), strict=True)))
    parts = rarest_boxes(replace(dataset, table=dataset.table.assign(split=["gallery", "train", "train"])))
    assert parts.names == ("a.jpg", "b.jpg", "d.jpg")
    kinds = [[kind - 1 for kind in row] for row in ([never, seldom, seldom, often], [seldom, seldom, often, often])]
    assert parts.labels[:2, :5].tolist() == [[*row, -1] for row in kinds]
    assert parts.boxes[0, :2].tolist() == [[0, 0, 5, 5], [1, 1, 61, 51]]  # the largest of a kind first
    assert parts.fingerprint["control"] == {"boxes": "rarest"}


def test_different_true_boxes_have_different_fingerprints(tmp_path: Path) -> None:
    first = true_boxes(write_truth(tmp_path, dict(zip(TRUTH_FILES, (TRAIN, TEST), strict=True))))
    more = {**TEST, "c.jpg": []}
    second = true_boxes(write_truth(tmp_path, dict(zip(TRUTH_FILES, (TRAIN, more), strict=True))))
    assert first.fingerprint != second.fingerprint


def test_true_boxes_that_lack_an_image_are_refused(tmp_path: Path) -> None:
    dataset = write_truth(tmp_path, dict(zip(TRUTH_FILES, (TRAIN, TEST), strict=True)))
    for name, content in ((TRUTH_FILES[0], TRAIN), (TRUTH_FILES[1], {"c.jpg": TEST["c.jpg"]})):
        (tmp_path / "less").mkdir(exist_ok=True)
        write_truth(tmp_path / "less", {name: content})
        (tmp_path / name).write_text((tmp_path / "less" / name).read_text())
    with pytest.raises(UserError, match=r"lack 1 images of folder, first a.jpg"):
        true_boxes(dataset)


def test_has_truth_needs_both_files(tmp_path: Path) -> None:
    dataset = write_truth(tmp_path, dict(zip(TRUTH_FILES, (TRAIN, TEST), strict=True)))
    assert has_truth(dataset)
    (tmp_path / TRUTH_FILES[1]).unlink()
    assert not has_truth(dataset)
    with pytest.raises(UserError, match=TRUTH_FILES[1]):
        true_boxes(dataset)
