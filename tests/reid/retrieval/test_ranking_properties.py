"""Properties of ranking for any labels and scores."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from helpers.naive.ranking import Case, assert_same_results, brute_force, unit
from reid.retrieval.metrics import QueryResults
from reid.retrieval.ranking import LabelledTrial, Labels, rank_queries

Scores = NDArray[np.float32]
VECTORS = unit(np.random.default_rng(0).standard_normal((5, 6)))  # few, so that ties are frequent


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Queries and a gallery of few vehicles, cameras and vectors; camera -1 is unknown."""

    def side(most: int) -> tuple[Scores, Labels]:
        row = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(-1, 2))
        table = np.array(draw(st.lists(row, min_size=1, max_size=most)), np.int64)
        return VECTORS[table[:, 0]], Labels(table[:, 1], table[:, 2])

    (query, query_labels), (gallery, gallery_labels) = side(5), side(14)
    return Case(query, gallery, LabelledTrial(query_labels, gallery_labels, draw(st.booleans())))


@st.composite
def scored_trials(draw: st.DrawFn) -> tuple[Scores, LabelledTrial]:
    """Scores of a few levels, (Q, G), with the labels of queries and gallery."""
    trial = draw(cases()).trial
    row = st.lists(st.integers(-3, 3), min_size=len(trial.gallery), max_size=len(trial.gallery))
    return np.array([draw(row) for _ in range(len(trial.query))], np.float32), trial


def ranked(scores: Scores, trial: LabelledTrial) -> QueryResults:
    return rank_queries([torch.from_numpy(scores.copy())], trial)


def with_gallery(trial: LabelledTrial, gallery: Labels) -> LabelledTrial:
    return LabelledTrial(trial.query, gallery, trial.same_camera_is_junk)


@given(cases(), st.integers(1, 6))
def test_ranking_equals_brute_force(case: Case, chunk: int) -> None:
    assert_same_results(case.rank(chunk=chunk), brute_force(case))


@given(scored_trials())
def test_only_the_order_of_the_scores_matters(drawn: tuple[Scores, LabelledTrial]) -> None:
    scores, trial = drawn
    assert_same_results(ranked(np.exp(scores) - 7, trial), ranked(scores, trial))


@given(scored_trials(), st.integers(-4, 4))
def test_another_wrong_image_never_improves_a_result(drawn: tuple[Scores, LabelledTrial], score: int) -> None:
    scores, trial = drawn
    gallery = Labels(np.append(trial.gallery.vehicle, 99), np.append(trial.gallery.camera, 0))
    more = np.concatenate([scores, np.full((len(scores), 1), score, np.float32)], axis=1)
    before, after = ranked(scores, trial), ranked(more, with_gallery(trial, gallery))
    assert (after.average_precision <= before.average_precision + 1e-12).all()
    assert (after.first_hit_rank >= before.first_hit_rank).all()
    if score < scores.min():
        assert_same_results(after, before)
