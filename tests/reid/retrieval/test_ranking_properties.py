"""Ranking, whatever the labels and scores: the sorted list by a loop, and what must not matter to it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.naive.ranking import Pair, brute_force, unit
from reid.retrieval.ranking import Labels, QueryResults, rank_rows

VECTORS = unit(np.random.default_rng(0).standard_normal((5, 6)))  # few, so that ties are everywhere


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Queries and a gallery of few vehicles, cameras and vectors; a camera of -1 is not known."""

    def side(most: int) -> tuple[NDArray[np.float32], Labels]:
        rows = draw(
            st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=most)
        )
        table = np.array(rows, np.int64)
        return VECTORS[table[:, 0]], Labels(table[:, 1], table[:, 2])

    (query, asked), (gallery, shown) = side(5), side(14)
    return Pair(query, gallery, asked, shown)


@st.composite
def scored(draw: st.DrawFn) -> tuple[NDArray[np.float32], Labels, Labels]:
    """Scores of a few levels, (Q, G), with the labels of queries and gallery."""
    drawn = draw(pairs())
    levels = st.lists(st.integers(-3, 3), min_size=len(drawn.gallery), max_size=len(drawn.gallery))
    rows = [draw(levels) for _ in range(len(drawn.query))]
    return np.array(rows, np.float32), drawn.query_labels, drawn.gallery_labels


def ranked(scores: NDArray[np.float32], asked: Labels, shown: Labels, *, junk: bool = True) -> QueryResults:
    return rank_rows(enumerate(scores.copy()), asked, shown, same_camera_is_junk=junk)


def assert_same(found: QueryResults, wanted: QueryResults) -> None:
    for name, values in vars(wanted).items():
        np.testing.assert_allclose(getattr(found, name), values, atol=1e-12, err_msg=name)


@given(pairs(), st.booleans(), st.integers(1, 6))
def test_it_is_what_a_loop_finds(pair: Pair, junk: bool, chunk: int) -> None:
    assert_same(pair.rank(junk=junk, chunk=chunk), brute_force(pair, junk=junk))


@given(scored(), st.randoms(use_true_random=False))
def test_the_order_of_the_gallery_does_not_matter(
    drawn: tuple[NDArray[np.float32], Labels, Labels], random: object
) -> None:
    scores, asked, shown = drawn
    order = np.array(random.sample(range(len(shown)), len(shown)))  # type: ignore[attr-defined]
    assert_same(ranked(scores[:, order], asked, shown.take(order)), ranked(scores, asked, shown))


@given(scored())
def test_only_the_order_of_the_scores_matters(drawn: tuple[NDArray[np.float32], Labels, Labels]) -> None:
    scores, asked, shown = drawn
    assert_same(ranked(np.exp(scores) - 7, asked, shown), ranked(scores, asked, shown))


@given(scored(), st.integers(-4, 4))
def test_another_vehicle_never_helps_and_hurts_no_better_match(
    drawn: tuple[NDArray[np.float32], Labels, Labels], score: int
) -> None:
    scores, asked, shown = drawn
    stranger = Labels(np.append(shown.vehicle, 99), np.append(shown.camera, 0))
    more = np.concatenate([scores, np.full((len(scores), 1), score, np.float32)], axis=1)
    before, after = ranked(scores, asked, shown), ranked(more, asked, stranger)
    assert (after.average_precision <= before.average_precision + 1e-12).all()
    assert (after.first_hit_rank >= before.first_hit_rank).all()
    if score < scores.min():
        assert_same(after, before)


@given(scored())
def test_without_known_cameras_nothing_is_junk(drawn: tuple[NDArray[np.float32], Labels, Labels]) -> None:
    scores, asked, shown = drawn
    unknown = Labels(asked.vehicle, np.full(len(asked), -1))
    assert_same(ranked(scores, unknown, shown), ranked(scores, asked, shown, junk=False))


@given(scored())
def test_the_figures_are_what_they_claim_to_be(drawn: tuple[NDArray[np.float32], Labels, Labels]) -> None:
    found = ranked(*drawn)
    matched = found.valid
    assert ((found.first_hit_rank > 0) == matched).all()
    for figure in (found.average_precision, found.inverse_negative_penalty):
        assert ((figure > 0) == matched).all() and (figure <= 1).all()
    best = found.positives[matched] / np.maximum(found.first_hit_rank[matched] + found.positives[matched] - 1, 1)
    assert (found.inverse_negative_penalty[matched] <= best + 1e-12).all()
