from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.images.drawing import LIGHT, QUIET
from data_cache.images.loading import load_image
from data_cache.parts.cache import STATUS_FAILED, STATUS_FOUND, PartBoxes, no_parts, read_parts
from data_cache.parts.names import PART_NAMES
from detect.evaluation.preview import WHITE, WRONG, choose_names, find_parts, pictures_of, preview_cell, write_preview
from detect.model.nms import RawParts
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from helpers.toy.annotations import TINY, find, toy_set
from helpers.toy.answers import answer, image

BOXES = [[10, 10, 30, 30], [50, 50, 90, 90], [10, 60, 30, 90]]
FOUND = answer(BOXES, [3, 0, 7], [0.9, 0.6, 0.3])


def cached(name: str, found: RawParts, failure: str = "", part_names: tuple[str, ...] = PART_NAMES) -> PartBoxes:
    """Return a part cache of one image of 100 x 100."""
    count = len(found)
    return PartBoxes(
        names=(name,),
        image_size=np.array([[100, 100]], np.int32),
        boxes=np.pad(found.boxes, ((0, 2), (0, 0)))[None],
        scores=np.pad(found.scores, (0, 2))[None],
        labels=np.pad(found.labels, (0, 2), constant_values=-1)[None].astype(np.int8),
        status=np.array([STATUS_FOUND if count else STATUS_FAILED], np.uint8),
        failure=(failure,),
        part_names=part_names,
        fingerprint={},
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one picture, a.png."""
    Image.new("RGB", (100, 100), (90, 90, 90)).save(tmp_path / "a.png")
    return tmp_path


def test_names_are_evenly_spaced_without_a_seed() -> None:
    names = [f"{place:02d}" for place in range(12)]
    assert choose_names(names[::-1], count=4) == ["00", "03", "06", "09"]
    assert choose_names(names, count=50) == names


def test_a_seed_draws_names_and_the_same_seed_the_same() -> None:
    names = [f"{place:03d}" for place in range(100)]
    first, second = (choose_names(names, count=10, seed=seed) for seed in (1, 2))
    assert first == choose_names(names, count=10, seed=1) == sorted(set(first)) and len(first) == 10
    assert first != second


def test_a_pattern_matches_whole_names() -> None:
    names = ["test/0001_c01.jpg", "test/0001_c02.jpg", "train/0001_c01.jpg"]
    assert choose_names(names, count=9, pattern="test/*") == names[:2]
    assert choose_names(names, count=9, pattern="*_c01.jpg") == [names[0], names[2]]
    with pytest.raises(UserError, match=r"no name of 3 images matches --names 'c01'; the first is test/0001_c01.jpg"):
        choose_names(names, count=9, pattern="c01")


def test_pictures_of_a_folder_are_found_below_it(root: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    for name in ("deep/b.JPG", "deep/er/c.jpeg", "deep/note.txt", "list.json"):
        (root / name).write_text("")
    assert pictures_of("veri", root, root / "deep", None).names == ["b.JPG", "er/c.jpeg"]
    with pytest.raises(UserError, match="nowhere: cannot be read"):
        pictures_of("veri", root, root / "nowhere", None)


def test_annotations_give_pictures_and_true_parts(tmp_path: Path) -> None:
    annotations = toy_set(tmp_path, 3)
    pictures = pictures_of("veri", tmp_path / "elsewhere", None, annotations)
    assert pictures.root == tmp_path and pictures.label == "parts"
    assert pictures.names == [f"images/000{place}.png" for place in range(3)] == sorted(pictures.truth)
    assert all(len(record.labels) == 4 for record in pictures.truth.values())


def test_a_data_set_gives_pictures(root: Path) -> None:
    (root / "images.csv").write_text("name,vehicle_id,camera_id,split\na.png,1,0,train\n")
    assert pictures_of("folder", root, None, None).names == ["a.png"]


def test_boxes_are_numbered_by_confidence_and_named(root: Path) -> None:
    cell = preview_cell(cached("a.png", FOUND), 0, root, top=8, minimum_score=0.0)
    assert [mark.key for mark in cell.marks] == ["1", "2", "3"]
    assert [mark.text for mark in cell.marks] == [
        f"{score}  {PART_NAMES[label]}" for score, label in (("0.90", 3), ("0.60", 0), ("0.30", 7))
    ]
    assert [list(mark.box) for mark in cell.marks] == BOXES
    assert cell.caption == ("a.png", "100 x 100") and {mark.text_colour for mark in cell.marks} == {LIGHT}


@pytest.mark.parametrize(("top", "minimum_score", "shown"), [(2, 0.0, 2), (8, 0.5, 2), (1, 0.5, 1), (8, 0.95, 0)])
def test_only_so_many_and_confident_boxes_are_shown(root: Path, top: int, minimum_score: float, shown: int) -> None:
    cell = preview_cell(cached("a.png", FOUND), 0, root, top=top, minimum_score=minimum_score)
    assert [mark.key for mark in cell.marks] == [str(place + 1) for place in range(shown)]


def test_true_parts_are_dashed_and_those_without_a_box_lettered(root: Path) -> None:
    """The first box is right, the second has the wrong label, the third's part is annotated nowhere."""
    truth = image("a.png", [BOXES[0], BOXES[1], [0, 0, 5, 5]], [3, 1, 5])
    parts = cached("a.png", FOUND)
    cell = preview_cell(parts, 0, root, top=8, minimum_score=0.0, truth=truth, annotated={0, 1, 3, 5})
    found, true = cell.marks[:3], cell.marks[3:]
    assert [mark.text_colour for mark in found] == [LIGHT, WRONG, LIGHT]
    assert all(mark.dashed and mark.colour == WHITE and mark.text_colour == QUIET for mark in true)
    assert [(mark.key, mark.text) for mark in true if mark.key] == [("a", PART_NAMES[1]), ("b", PART_NAMES[5])]
    assert cell.caption[1] == "100 x 100; 1 of 2 boxes right, 2 of 3 parts missed"


def test_many_missed_parts_get_letters_of_their_own(root: Path) -> None:
    truth = image("a.png", [[x, 0, x + 2, 2] for x in range(60)], [0] * 60)
    cell = preview_cell(cached("a.png", FOUND), 0, root, top=1, minimum_score=0.0, truth=truth, annotated={0})
    keys = [mark.key for mark in cell.marks[1:]]
    assert len(set(keys)) == 60 and keys[0] == "a" and keys[26] == "aa"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "a.png: damaged image"),
        (lambda path: Image.new("RGB", (50, 70)).save(path), "50 x 70, but 100 x 100 when its parts were found"),
    ],
)
def test_an_image_that_has_gone_bad_is_told(root: Path, spoil: object, reason: str) -> None:
    assert callable(spoil)
    spoil(root / "a.png")
    cell = preview_cell(cached("a.png", FOUND), 0, root, top=8, minimum_score=0.0)
    assert cell.image is None and reason in cell.reason and cell.caption == ("a.png",)


def test_a_failure_in_the_cache_is_told(root: Path) -> None:
    cell = preview_cell(
        cached("a.png", answer([], [], []), failure="a.png: truncated"), 0, root, top=8, minimum_score=0
    )
    assert cell.image is None and cell.reason == "a.png: truncated"


def test_a_sheet_shows_what_is_asked_for(root: Path) -> None:
    parts, truth = cached("a.png", FOUND), {"a.png": image("a.png", BOXES, [3, 0, 7])}
    plain, dashed, fewer = (
        load_image(write_preview(parts, ["a.png"], root, root / "sheets" / "b.png", title="toy", **options))
        for options in ({}, {"truth": truth}, {"top": 1})
    )
    assert plain.shape[1] == dashed.shape[1] > 400
    assert (dashed == 255).all(axis=-1).sum() > (plain == 255).all(axis=-1).sum() + 100
    assert (fewer != plain).any()


def test_parts_of_other_names_are_not_compared_with_annotations(root: Path) -> None:
    parts = cached("a.png", FOUND, part_names=tuple(f"part {place}" for place in range(8)))
    write_preview(parts, ["a.png"], root, root / "b.png", title="toy")
    with pytest.raises(UserError, match="leave out --annotations"):
        write_preview(parts, ["a.png"], root, root / "b.png", title="toy", truth={"a.png": image("a.png", [], [])})


def test_an_image_that_the_cache_lacks_is_told(root: Path) -> None:
    with pytest.raises(UserError, match=r"not in it, first a\.png"):
        write_preview(no_parts(["b.png"]), ["a.png"], root, root / "b.png", title="toy")


def test_a_detector_at_work_finds_what_stage_one_finds(tmp_path: Path) -> None:
    toy_set(tmp_path, 3)
    torch.manual_seed(0)
    weights = tmp_path / "w.safetensors"
    write_weights(weights, build_network(TINY), TINY)
    (tmp_path / "images/0001.png").write_text("no picture")
    find(tmp_path, tmp_path / "parts.h5")
    expected = read_parts(tmp_path / "parts.h5")
    found = find_parts(list(expected.names), tmp_path, weights, device="cpu", workers=0)
    assert found.names == expected.names and found.failure == expected.failure
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
    assert write_preview(found, found.names, tmp_path, tmp_path / "sheet.png", title="toy").exists()
