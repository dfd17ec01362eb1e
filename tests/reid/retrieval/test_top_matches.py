"""The head of a list against the full sort of it, with junk, tracks and short galleries."""

import numpy as np
import pytest

from helpers.naive.ranking import Pair, random_pair
from reid.retrieval.ranked_lists import top_matches


def top(pair: Pair, k: int, *, junk: bool = True) -> tuple[np.ndarray, np.ndarray]:
    arrays = pair.query, pair.gallery, pair.query_labels, pair.gallery_labels
    return top_matches(*arrays, same_camera_is_junk=junk, k=k, tracks=pair.tracks)


@pytest.mark.parametrize("tracks", [True, False])
def test_they_are_the_head_of_the_sorted_list_without_junk(tracks: bool) -> None:
    pair = random_pair(11, tracks=tracks)
    rows, scores = top(pair, 10)
    results, shown = pair.rank(), pair.gallery_labels
    starts = np.arange(90) if pair.tracks is None else pair.tracks
    for index in range(23):
        match = shown.vehicle == pair.query_labels.vehicle[index]
        valid = ~(match & (shown.camera == pair.query_labels.camera[index]))
        everything = pair.gallery @ pair.query[index]
        images = [int(part[everything[part].argmax()]) for part in np.split(np.arange(90), starts[1:])]
        expected = sorted((row for row in images if valid[row]), key=lambda row: -everything[row])[:10]
        assert rows[index, : len(expected)].tolist() == expected
        np.testing.assert_allclose(scores[index, : len(expected)], everything[expected], rtol=1e-5)
        if 0 < results.first_hit_rank[index] <= 10:
            assert match[rows[index][results.first_hit_rank[index] - 1]]


def test_a_short_gallery_is_filled_up() -> None:
    rows, scores = top(random_pair(12, gallery=3), 5, junk=False)
    assert (rows[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all()
    assert (np.sort(rows[:, :3], axis=1) == [0, 1, 2]).all()
