"""The boxes that the network reads, against a loop over each image."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cache.parts.cache import STATUS_FAILED, empty_cache
from data_cache.parts.names import PART_NAMES
from data_cache.parts.selection import label_coverage, select_parts, selected_slots
from helpers.parts import MakeParts


def naive(labels: list[int], top_d: int, per_label: int | None) -> list[int]:
    """Return the chosen slots of one image: the best of each label, then others, while a label has room."""
    slots = [slot for slot, label in enumerate(labels) if label >= 0]
    if per_label is None:
        return slots[:top_d]
    first = [slot for slot in slots if labels.index(labels[slot]) == slot]
    chosen: list[int] = []
    for slot in [*first, *(slot for slot in slots if slot not in first)]:
        if len(chosen) < top_d and Counter(labels[one] for one in chosen)[labels[slot]] < per_label:
            chosen.append(slot)
    return sorted(chosen)


@given(
    rows=st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=5),
    top_d=st.integers(1, 9),
    per_label=st.none() | st.integers(1, 4),
)
def test_selection_equals_a_loop(rows: list[list[int]], top_d: int, per_label: int | None) -> None:
    labels = np.array([[*row, *[-1] * (7 - len(row))] for row in rows], np.int8)
    found = selected_slots(labels, top_d, per_label)
    assert found.shape == (len(rows), min(top_d, 7))
    for slots, row in zip(found.tolist(), rows, strict=True):
        expected = naive(row, top_d, per_label)
        assert slots == [*expected, *[-1] * (len(slots) - len(expected))]


@pytest.mark.parametrize(("top_d", "per_label"), [(3, 1), (4, 2), (16, 1), (20, 3)])
def test_a_selected_cache_has_the_chosen_boxes_and_nothing_else(
    make_parts: MakeParts, top_d: int, per_label: int
) -> None:
    parts = make_parts(60, 16, seed=4)
    found = select_parts(parts, top_d, per_label)  # its class checks order, gaps and empty slots
    assert (found.names, found.fingerprint) == (parts.names, parts.fingerprint)
    for row in range(60):
        slots = naive(parts.labels[row].tolist(), top_d, per_label)
        count = len(slots)
        assert found.labels[row].tolist() == [*parts.labels[row, slots], *[-1] * (min(top_d, 16) - count)]
        np.testing.assert_array_equal(found.boxes[row, :count], parts.boxes[row, slots])
        np.testing.assert_array_equal(found.scores[row, :count], parts.scores[row, slots])


def test_without_a_limit_the_cache_is_unchanged(make_parts: MakeParts) -> None:
    parts = make_parts()
    assert select_parts(parts, 2, None) is parts
    assert select_parts(empty_cache(("a", "b")), 8, 2).labels.shape == (2, 0)


def test_coverage_is_the_share_of_images_that_did_not_fail(make_parts: MakeParts) -> None:
    parts = make_parts(40, 8, seed=2)
    for per_label in (None, 1):
        found = label_coverage(parts, 3, per_label)
        read = [row for row in range(40) if parts.status[row] != STATUS_FAILED]
        for label, name in enumerate(PART_NAMES):
            rows = [parts.labels[row, naive(parts.labels[row].tolist(), 3, per_label)] for row in read]
            assert found[name] == pytest.approx(sum(label in row for row in rows) / len(read))
    varied, confident = label_coverage(parts, 3, 1), label_coverage(parts, 3)
    assert sum(varied.values()) > sum(confident.values())
