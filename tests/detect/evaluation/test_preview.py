from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.contact_sheet import Cell
from data_cache.images.drawing import LIGHT, QUIET
from data_cache.images.loading import load_image
from data_cache.parts.cache import STATUS_FAILED, PartBoxes, empty_cache, read_parts
from data_cache.parts.names import PART_NAMES
from detect.evaluation.preview import (
    WHITE,
    WRONG,
    choose_names,
    detect_images,
    find_images,
    preview_cell,
    worst_names,
    write_preview,
)
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.toy.annotations import TINY, detect_toy, toy_set
from helpers.toy.detections import NOTHING, annotated_image, detections

BOXES = [[10, 10, 30, 30], [50, 50, 90, 90], [10, 60, 30, 90]]
IMAGE = annotated_image("a.png", BOXES, [3, 0, 7])
PARTS = detections([IMAGE], [(BOXES, [3, 0, 7], [0.9, 0.6, 0.3])])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one image, a.png."""
    Image.new("RGB", (100, 100), (90, 90, 90)).save(tmp_path / "a.png")
    return tmp_path


def cell_of(root: Path, parts: PartBoxes = PARTS, top: int = 8, minimum_score: float = 0.0, **truth: object) -> Cell:
    return preview_cell(parts, 0, root, top=top, minimum_score=minimum_score, **truth)  # type: ignore[arg-type]


def test_names_are_evenly_spaced_without_a_seed() -> None:
    names = [f"{index:02d}" for index in range(12)]
    assert choose_names(names[::-1], count=4) == ["00", "03", "06", "09"]
    assert choose_names(names, count=50) == names


def test_the_seed_decides_random_names() -> None:
    names = [f"{index:03d}" for index in range(100)]
    first, second = (choose_names(names, count=10, seed=seed) for seed in (1, 2))
    assert first == choose_names(names, count=10, seed=1) == sorted(set(first)) and len(first) == 10
    assert first != second


def test_a_pattern_matches_whole_names() -> None:
    names = ["test/0001_c01.jpg", "test/0001_c02.jpg", "train/0001_c01.jpg"]
    assert choose_names(names, count=9, pattern="test/*") == names[:2]
    assert choose_names(names, count=9, pattern="*_c01.jpg") == [names[0], names[2]]
    with pytest.raises(UserError, match=r"no name of 3 images matches --names 'c01'; the first is test/0001_c01.jpg"):
        choose_names(names, count=9, pattern="c01")


def test_worst_images_have_the_smallest_share_of_parts_found() -> None:
    boxes = [[10, 10, 30, 30], [50, 50, 90, 90]]
    images = [annotated_image(name, boxes, [3, 0]) for name in "abcd"]
    images.append(annotated_image("e", [], []))
    found = [(boxes, [0, 3], [0.9, 0.8]), NOTHING, (boxes[:1], [3], [0.9]), (boxes[1:], [5], [0.7]), NOTHING]
    truth = {image.name: image for image in images}
    parts = detections(images, found)
    assert worst_names(parts, truth, top=8, count=9) == ["b", "c", "d", "a"]
    assert worst_names(parts, truth, top=1, count=3) == ["b", "a", "c"]


def test_images_of_a_folder(root: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    for name in ("deep/b.JPG", "deep/er/c.jpeg", "deep/note.txt", "list.json"):
        (root / name).write_text("")
    assert find_images("veri", root, root / "deep", None).names == ["b.JPG", "er/c.jpeg"]
    with pytest.raises(UserError, match="nowhere: cannot be read"):
        find_images("veri", root, root / "nowhere", None)


def test_images_of_annotations_with_their_true_parts(tmp_path: Path) -> None:
    source = find_images("veri", tmp_path / "elsewhere", None, toy_set(tmp_path, 3))
    assert source.root == tmp_path and source.label == "parts"
    assert source.names == [f"images/000{index}.png" for index in range(3)] == sorted(source.truth)
    assert all(len(image.labels) == 4 for image in source.truth.values())


def test_images_of_a_data_set(root: Path) -> None:
    (root / "images.csv").write_text("name,vehicle_id,camera_id,split\na.png,1,0,train\n")
    assert find_images("folder", root, None, None).names == ["a.png"]


def test_the_number_at_a_box_is_its_confidence(root: Path) -> None:
    cell = cell_of(root)
    assert [mark.key for mark in cell.marks] == ["0.90", "0.60", "0.30"]
    assert [mark.text for mark in cell.marks] == [PART_NAMES[label] for label in (3, 0, 7)]
    assert [list(mark.box) for mark in cell.marks] == BOXES
    assert cell.caption == ("a.png", "100 x 100") and {mark.text_colour for mark in cell.marks} == {LIGHT}


@pytest.mark.parametrize(("top", "minimum_score", "shown"), [(2, 0.0, 2), (8, 0.5, 2), (1, 0.5, 1), (8, 0.95, 0)])
def test_boxes_are_limited_by_number_and_score(root: Path, top: int, minimum_score: float, shown: int) -> None:
    cell = cell_of(root, top=top, minimum_score=minimum_score)
    assert [mark.key for mark in cell.marks] == ["0.90", "0.60", "0.30"][:shown]


def test_true_parts_are_dashed_and_lettered_if_missed(root: Path) -> None:
    """The first box is right, the second has the wrong label, the third's part is annotated nowhere."""
    truth = annotated_image("a.png", [BOXES[0], BOXES[1], [0, 0, 5, 5]], [3, 1, 5])
    cell = cell_of(root, truth=truth, annotated={0, 1, 3, 5})
    detected, true = cell.marks[:3], cell.marks[3:]
    assert [mark.text_colour for mark in detected] == [LIGHT, WRONG, LIGHT]
    assert all(mark.dashed and mark.colour == WHITE and mark.text_colour == QUIET for mark in true)
    assert [(mark.key, mark.text) for mark in true if mark.key] == [("a", PART_NAMES[1]), ("b", PART_NAMES[5])]
    assert cell.caption[1] == "100 x 100; 1 of 2 boxes right, 2 of 3 parts missed"


def test_many_missed_parts_get_different_letters(root: Path) -> None:
    truth = annotated_image("a.png", [[x, 0, x + 2, 2] for x in range(60)], [0] * 60)
    keys = [mark.key for mark in cell_of(root, top=1, truth=truth, annotated={0}).marks[1:]]
    assert len(set(keys)) == 60 and keys[0] == "a" and keys[26] == "aa"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "a.png: damaged image"),
        (lambda path: Image.new("RGB", (50, 70)).save(path), "50 x 70, but 100 x 100 when its parts were found"),
    ],
)
def test_the_cell_of_an_unreadable_image_has_the_reason(
    root: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(root / "a.png")
    cell = cell_of(root)
    assert cell.image is None and reason in cell.reason and cell.caption == ("a.png",)


def test_the_cell_of_an_image_that_failed_in_the_cache_has_the_reason(root: Path) -> None:
    empty = detections([IMAGE], [NOTHING])
    failed = replace(empty, status=np.full_like(empty.status, STATUS_FAILED), failure=("a.png: truncated",))
    cell = cell_of(root, failed)
    assert cell.image is None and cell.reason == "a.png: truncated"


def test_a_sheet_depends_on_its_options(root: Path) -> None:
    plain, dashed, fewer = (
        load_image(write_preview(PARTS, ["a.png"], root, root / "sheets" / "b.png", title="toy", **options))
        for options in ({}, {"truth": {"a.png": IMAGE}}, {"top": 1})
    )
    assert plain.shape[1] == dashed.shape[1] > 400
    assert (dashed == 255).all(axis=-1).sum() > (plain == 255).all(axis=-1).sum() + 100
    assert (fewer != plain).any()


def test_caches_with_other_part_names_cannot_be_compared_with_annotations(root: Path) -> None:
    parts = replace(PARTS, part_names=tuple(f"part {number}" for number in range(8)))
    write_preview(parts, ["a.png"], root, root / "b.png", title="toy")
    with pytest.raises(UserError, match="leave out --annotations"):
        write_preview(parts, ["a.png"], root, root / "b.png", title="toy", truth={"a.png": IMAGE})


def test_an_image_that_is_not_in_the_cache_is_an_error(root: Path) -> None:
    with pytest.raises(UserError, match=r"first a\.png"):
        write_preview(empty_cache(["b.png"]), ["a.png"], root, root / "b.png", title="toy")


def test_the_preview_detects_the_same_parts_as_stage_one(tmp_path: Path) -> None:
    toy_set(tmp_path, 3)
    torch.manual_seed(0)
    weights = tmp_path / "w.safetensors"
    write_weights(weights, build_network(TINY), TINY)
    (tmp_path / "images/0001.png").write_text("no image")
    detect_toy(tmp_path, tmp_path / "parts.h5")
    expected = read_parts(tmp_path / "parts.h5")
    found = detect_images(list(expected.names), tmp_path, weights, device="cpu", workers=0)
    assert found.names == expected.names and found.failure == expected.failure
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
    assert write_preview(found, found.names, tmp_path, tmp_path / "sheet.png", title="toy").exists()
