"""Rankings restricted by camera: equal to those in a gallery from which the other images were removed."""

from typing import get_args

import numpy as np
import pytest

from data_cache.datasets.protocols import Cameras
from helpers.naive.ranking import Case, random_case
from reid.retrieval.metrics import QueryResults
from reid.retrieval.ranked_lists import top_matches
from reid.retrieval.ranking import LabelledTrial, Labels


def removed(case: Case, query: int, cameras: Cameras) -> tuple[Case, np.ndarray]:
    """Return the case of one query in which the gallery has only the images that count, and their rows."""
    trial = case.trial
    camera = trial.query.camera[query]
    own = (trial.gallery.camera == camera) & (camera >= 0)
    rows = np.flatnonzero(own if cameras == "own" else ~own)
    labels = LabelledTrial(trial.query.take(np.array([query])), trial.gallery.take(rows), same_camera_is_junk=False)
    return Case(case.query[[query]], case.gallery[rows], labels), rows


def case_with_unknown_cameras(seed: int, levels: int) -> Case:
    case = random_case(seed, levels=levels)
    unknown = np.random.default_rng(seed).random(len(case.trial.gallery)) < 0.2
    camera = np.where(unknown, -1, case.trial.gallery.camera)
    query = case.trial.query.camera.copy()
    query[:3] = -1
    return case.with_trial(
        gallery=Labels(case.trial.gallery.vehicle, camera), query=Labels(case.trial.query.vehicle, query)
    )


def one(results: QueryResults, query: int) -> list[float]:
    return [values[query] for values in vars(results).values()]


@pytest.mark.parametrize("cameras", [name for name in get_args(Cameras) if name != "any"])
@pytest.mark.parametrize(("seed", "levels"), [(0, 0), (1, 6), (2, 0)])
def test_restricted_rankings_equal_those_of_a_smaller_gallery(cameras: Cameras, seed: int, levels: int) -> None:
    case = case_with_unknown_cameras(seed, levels)
    results = case.with_trial(cameras=cameras).rank()
    assert results.valid.any()
    for query in range(len(case.query)):
        alone, _ = removed(case, query, cameras)
        wanted = one(alone.rank(), 0) if len(alone.gallery) else [0, 0, 0, 0, 0]
        assert one(results, query) == pytest.approx(wanted)


@pytest.mark.parametrize("cameras", ["other", "own"])
def test_lists_to_look_at_leave_out_the_same_images(cameras: Cameras) -> None:
    case = case_with_unknown_cameras(3, 0)
    best, _ = top_matches(case.query, case.gallery, case.with_trial(cameras=cameras).trial, k=5)
    for query, rows in enumerate(best):
        alone, kept = removed(case, query, cameras)
        scores = alone.gallery @ alone.query[0]
        wanted = kept[np.argsort(-scores)][:5]
        assert rows[rows >= 0].tolist() == wanted.tolist()


def test_tracks_are_left_out_as_a_whole() -> None:
    case = random_case(4, tracks=True)
    results = case.with_trial(cameras="other").rank()
    plain = case.rank()
    assert (results.positives == plain.positives).all()  # the matches by its own camera were junk anyway
    assert (results.average_precision >= plain.average_precision - 1e-12).all()  # fewer wrong images above them
    assert (results.average_precision > plain.average_precision).any()
