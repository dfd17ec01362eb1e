"""Open-set metrics against plain loops and scikit-learn, and the confidence of a best match."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from data_cache.base.errors import UserError
from reid.retrieval.open_set import Calibration, OpenSet, evidence


def random_test(seed: int, levels: int = 0, count: int = 60) -> OpenSet:
    """Queries with random answers; with `levels` many confidences are equal."""
    random = np.random.default_rng(seed)
    present = random.random(count) < 0.7
    right = present & (random.random(count) < 0.8)
    confidence = random.random(count) * 0.7 + 0.3 * right
    positives = np.where(present, random.integers(1, 5, count), 0)
    return OpenSet(np.round(confidence * levels) / levels if levels else confidence, right, positives)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [0, 5])
def test_rates_equal_a_loop_over_the_queries(seed: int, levels: int) -> None:
    test = random_test(seed, levels)
    for threshold in (0.0, 0.4, 0.6, 2.0):
        counts = dict.fromkeys(("accepted", "right", "present_accepted", "present", "absent", "absent_refused"), 0)
        for confidence, right, present in zip(test.confidence, test.right, test.present, strict=True):
            accepted = confidence >= threshold
            counts["accepted"] += accepted
            counts["right"] += accepted and right
            counts["present_accepted"] += accepted and present
            counts["present"] += present
            counts["absent"] += not present
            counts["absent_refused"] += not present and not accepted
        rates = test.at(threshold)
        accepted = max(1, counts["accepted"])
        assert rates["top1_precision"] == pytest.approx(counts["right"] / accepted)
        assert rates["top1_recall"] == pytest.approx(counts["right"] / counts["present"])
        assert rates["pairs_precision"] == rates["top1_precision"]
        assert rates["pairs_recall"] == pytest.approx(counts["right"] / sum(test.positives.tolist()))
        assert rates["tnr"] == pytest.approx(counts["absent_refused"] / counts["absent"])
        assert rates["fpir"] == pytest.approx(1 - rates["tnr"])
        precision, recall, f1, _ = precision_recall_fscore_support(
            test.present, test.confidence >= threshold, average="binary", zero_division=0
        )
        found = (rates["presence_precision"], rates["presence_recall"], rates["presence_f1"])
        assert found == pytest.approx((precision, recall, f1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [0, 6])
def test_average_precision_equals_scikit_learn(seed: int, levels: int) -> None:
    test = random_test(seed, levels)
    theirs = average_precision_score(test.right, test.confidence)  # its recall is of the right first matches
    assert test.average_precision() == pytest.approx(theirs * test.right.sum() / test.present.sum())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [0, 6])
def test_no_threshold_is_better_than_the_chosen_ones(seed: int, levels: int) -> None:
    test = random_test(seed, levels)
    grid = [*np.linspace(-0.1, 1.2, 200), *test.confidence]
    assert test.at(test.best_f1())["top1_f1"] == pytest.approx(max(test.at(t)["top1_f1"] for t in grid))
    for fpir in (0.0, 0.05, 0.1, 0.5, 1.0):
        threshold = test.threshold_at(fpir)
        assert test.at(threshold)["fpir"] <= fpir
        allowed = [t for t in grid if test.at(t)["fpir"] <= fpir]
        best = max(test.at(t)["top1_recall"] for t in allowed)
        assert test.identification_rate(fpir) == pytest.approx(best)


def test_without_absent_vehicles_there_is_no_rate_of_false_accepts() -> None:
    test = OpenSet(np.array([0.2, 0.9]), np.array([False, True]), np.array([2, 1]))
    with pytest.raises(UserError, match="no query's vehicle is absent"):
        test.threshold_at(0.1)
    assert "dir_at_fpir_0.1" not in test.scores(0.5) and test.scores(0.5)["tnr"] == 0


def test_evidence_is_read_off_the_list() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.4, -np.inf, -np.inf], [-np.inf] * 3], np.float32)
    found = evidence(scores, gallery=100)
    softmax = 1 / (1 + np.exp(-0.4 / 0.05) + np.exp(-0.8 / 0.05))
    assert found[0] == pytest.approx([0.9, 0.4, 0.4, np.log(softmax), np.log(100)], abs=1e-6)
    for row, cosine in ((1, 0.4), (2, -1.0)):  # nothing to compare a single image with, nor none
        assert found[row, [0, 4]] == pytest.approx([cosine, np.log(100)], abs=1e-6)
        assert np.isnan(found[row, 1:4]).all()


def test_a_single_image_is_accepted_for_its_cosine_alone() -> None:
    """What would compare it with others speaks for neither answer; as a match without a rival it would be certain."""
    random = np.random.default_rng(0)
    lists = -np.sort(-random.uniform(-0.5, 1, (400, 6)).astype(np.float32), axis=1)
    found = evidence(lists, gallery=6)
    calibration = Calibration.fit(found, random.random(400) < found[:, 1] * 4)
    alone = evidence(np.float32([[0.7, -np.inf]]), gallery=6)
    usual = np.array([[0.7, *found[:, 1:4].mean(axis=0), np.log(6)]])
    assert calibration.confidence(alone) == pytest.approx(calibration.confidence(usual))
    assert calibration.confidence(alone)[0] < calibration.confidence(evidence(np.float32([[0.7, -0.9]]), 6))[0]
    learnt = Calibration.fit(np.concatenate([found, alone]), np.append(random.random(400) < 0.5, True))
    assert learnt.mean[1:4] == pytest.approx(found[:, 1:4].mean(axis=0))
    assert learnt.low[1:4] == pytest.approx(found[:, 1:4].min(axis=0))


def test_a_longer_list_than_counts_changes_nothing() -> None:
    scores = -np.sort(-np.random.default_rng(0).uniform(-1, 1, (5, 80)).astype(np.float32), axis=1)
    np.testing.assert_allclose(evidence(scores, 80), evidence(scores[:, :50], 80))


def test_a_calibration_is_near_the_rates_that_it_was_drawn_from() -> None:
    random = np.random.default_rng(0)
    found = random.standard_normal((20_000, 5))
    truth = 1 / (1 + np.exp(-(0.5 + found @ [2.0, -1.0, 0.0, 0.5, 0.0])))
    calibration = Calibration.fit(found, random.random(len(found)) < truth)
    assert np.abs(calibration.confidence(found) - truth).mean() < 0.01
    with pytest.raises(UserError, match="both are needed"):
        Calibration.fit(found, np.ones(len(found), bool))


def test_evidence_beyond_what_was_seen_counts_as_its_bound() -> None:
    random = np.random.default_rng(0)
    found = random.uniform(-1, 1, (500, 5))
    calibration = Calibration.fit(found, random.random(500) < 0.5)
    low, high = found.min(axis=0), found.max(axis=0)
    for column in range(5):
        inside, beyond = found[:1].copy(), found[:1].copy()
        inside[0, column], beyond[0, column] = high[column], 1000
        assert calibration.confidence(beyond) == pytest.approx(calibration.confidence(inside))
        inside[0, column], beyond[0, column] = low[column], -1000
        assert calibration.confidence(beyond) == pytest.approx(calibration.confidence(inside))
