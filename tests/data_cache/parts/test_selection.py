"""The boxes that the network reads, against a loop over each image."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cache.base.errors import UserError
from data_cache.parts.cache import STATUS_EMPTY, STATUS_FAILED, STATUS_FOUND, PartBoxes, empty_cache
from data_cache.parts.names import PART_NAMES, VARYING_PARTS
from data_cache.parts.selection import BoxChoice, label_coverage, of_named_kinds, select_parts, selected_slots
from helpers.parts import MakeParts


def naive(labels: list[int], scores: list[float], choice: BoxChoice) -> list[int]:
    """Return the chosen slots of one image: confident varying parts, then (with a limit) the best of each, then others.

    Boxes are taken one by one while a label has room.
    """
    slots = [slot for slot, label in enumerate(labels) if label >= 0]
    best = [slot for slot in slots if labels.index(labels[slot]) == slot]
    early = [slot for slot in best if PART_NAMES[labels[slot]] in VARYING_PARTS and scores[slot] >= np.float32(0.3)]
    order = early if choice.first == "varying" else []
    order = order + [slot for slot in (best if choice.per_label else slots) if slot not in order]
    order = order + [slot for slot in slots if slot not in order]
    chosen: list[int] = []
    for slot in order:
        taken = Counter(labels[one] for one in chosen)[labels[slot]]
        if len(chosen) < choice.top_d and (choice.per_label is None or taken < choice.per_label):
            chosen.append(slot)
    return sorted(chosen)


def row_of(parts: PartBoxes, row: int, choice: BoxChoice) -> list[int]:
    return naive(parts.labels[row].tolist(), parts.scores[row].tolist(), choice)


CHOICES = st.builds(
    BoxChoice, st.integers(1, 9), st.none() | st.integers(1, 4), st.sampled_from(["confident", "varying"])
)


@given(
    rows=st.lists(st.lists(st.sampled_from([0, 1, 3, 6, 14]), max_size=7), min_size=1, max_size=5),
    choice=CHOICES,
    seed=st.integers(0, 99),
)
def test_selection_equals_a_loop(rows: list[list[int]], choice: BoxChoice, seed: int) -> None:
    parts = cache_of_labels(rows, seed)
    found = selected_slots(parts, choice)
    assert found.shape == (len(rows), min(choice.top_d, 7))
    for row, slots in enumerate(found.tolist()):
        expected = row_of(parts, row, choice)
        assert slots == [*expected, *[-1] * (len(slots) - len(expected))]


def cache_of_labels(rows: list[list[int]], seed: int) -> PartBoxes:
    """A cache of up to seven boxes of the given labels an image, with random scores."""
    labels = np.array([[*row, *[-1] * (7 - len(row))] for row in rows], np.int8)
    scores = -np.sort(-np.random.default_rng(seed).uniform(0.05, 0.8, labels.shape).astype(np.float32), axis=1)
    boxes = np.tile(np.float32([1, 1, 9, 9]), (*labels.shape, 1))
    return replace(
        empty_cache(tuple(f"{row}.jpg" for row in range(len(rows)))),
        image_size=np.full((len(rows), 2), 10, np.int32),
        boxes=np.where(labels[..., None] >= 0, boxes, np.float32(0)),
        scores=np.where(labels >= 0, scores, np.float32(0)),
        labels=labels,
        part_names=PART_NAMES,
        status=np.where((labels >= 0).any(axis=1), STATUS_FOUND, STATUS_EMPTY).astype(np.uint8),
    )


def test_varying_parts_go_before_more_confident_boxes_if_they_are_confident_enough() -> None:
    wheel, sign, hanging = (PART_NAMES.index(name) for name in ("wheel", "newer sign", "hanging"))
    parts = cache_of_labels([[wheel, wheel, wheel, sign, sign, hanging]], 0)
    parts = replace(parts, scores=np.float32([[0.9, 0.8, 0.7, 0.35, 0.32, 0.29, 0]]))
    assert selected_slots(parts, BoxChoice(3)).tolist() == [[0, 1, 2]]
    assert selected_slots(parts, BoxChoice(3, first="varying")).tolist() == [[0, 1, 3]]
    assert selected_slots(parts, BoxChoice(3, per_label=1, first="varying")).tolist() == [[0, 3, 5]]
    assert selected_slots(parts, BoxChoice(6, first="varying")).tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    "choice", [BoxChoice(3, 1), BoxChoice(4, 2), BoxChoice(16, 1), BoxChoice(20, 3), BoxChoice(4, None, "varying")]
)
def test_a_selected_cache_has_the_chosen_boxes_and_nothing_else(make_parts: MakeParts, choice: BoxChoice) -> None:
    parts = make_parts(60, 16, seed=4)
    found = select_parts(parts, choice)  # its class checks order, gaps and empty slots
    assert (found.names, found.fingerprint) == (parts.names, parts.fingerprint)
    for row in range(60):
        slots = row_of(parts, row, choice)
        count = len(slots)
        assert found.labels[row].tolist() == [*parts.labels[row, slots], *[-1] * (min(choice.top_d, 16) - count)]
        np.testing.assert_array_equal(found.boxes[row, :count], parts.boxes[row, slots])
        np.testing.assert_array_equal(found.scores[row, :count], parts.scores[row, slots])


def test_by_confidence_the_cache_is_unchanged(make_parts: MakeParts) -> None:
    parts = make_parts()
    assert select_parts(parts, BoxChoice(2)) is parts
    assert select_parts(empty_cache(("a", "b")), BoxChoice(8, 2, "varying")).labels.shape == (2, 0)


def test_coverage_is_the_share_of_images_that_did_not_fail(make_parts: MakeParts) -> None:
    parts = make_parts(40, 8, seed=2)
    for choice in (BoxChoice(3), BoxChoice(3, 1), BoxChoice(3, first="varying")):
        found = label_coverage(parts, choice)
        read = [row for row in range(40) if parts.status[row] != STATUS_FAILED]
        for label, name in enumerate(PART_NAMES):
            slots = [row_of(parts, row, choice) for row in read]
            rows = [
                [parts.labels[row, slot] for slot in chosen if parts.scores[row, slot] >= 0.5]
                for row, chosen in zip(read, slots, strict=True)
            ]
            assert found[name] == pytest.approx(sum(label in row for row in rows) / len(read))
    parts = make_parts(400, 8, seed=2)
    varied, confident = label_coverage(parts, BoxChoice(3, 1)), label_coverage(parts, BoxChoice(3))
    assert sum(varied.values()) > sum(confident.values())


@pytest.mark.parametrize("others", [[], ["bumper", "Wheel"]])
def test_labels_of_any_names_in_any_order_become_those_of_the_sixteen_parts(
    make_parts: MakeParts, others: list[str]
) -> None:
    names = np.random.default_rng(1).permutation([*PART_NAMES[:-2], *others, *PART_NAMES[-2:]]).tolist()
    parts = replace(make_parts(60, 8, seed=2), part_names=tuple(names))
    found = of_named_kinds(parts)
    assert found.part_names == PART_NAMES and found.fingerprint != parts.fingerprint
    for row in range(60):
        named = [names[label] if label >= 0 else "" for label in parts.labels[row].tolist()]
        wanted = [
            (name, *box) for name, box in zip(named, parts.boxes[row].tolist(), strict=True) if name in PART_NAMES
        ]
        boxes = zip(found.labels[row].tolist(), found.boxes[row].tolist(), strict=True)
        assert [(PART_NAMES[kind], *box) for kind, box in boxes if kind >= 0] == wanted
        assert row == 0 or (found.status[row] == STATUS_FOUND) == bool(wanted)


def test_a_cache_with_the_sixteen_names_stays_and_one_without_any_is_refused() -> None:
    parts = replace(empty_cache(["a.jpg"]), part_names=PART_NAMES)
    assert of_named_kinds(parts) is parts
    assert of_named_kinds(empty_cache(["a.jpg"])).labels.shape == (1, 0)
    with pytest.raises(UserError, match=r"the boxes are of part, which are no parts that PGAN\+ compares .*as pgan"):
        of_named_kinds(replace(parts, part_names=("part",)))
