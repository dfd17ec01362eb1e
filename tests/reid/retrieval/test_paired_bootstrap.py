"""The paired bootstrap against a naive loop, against scipy, and on cases with known answers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from data_cache.base.errors import UserError
from reid.retrieval import paired_bootstrap as module
from reid.retrieval.paired_bootstrap import COMPARED, PairedResults, numbered, paired_bootstrap

RESAMPLES = 400


def random_results(queries: int, draws: int = 1, vehicles: int | None = None, *, seed: int = 0) -> PairedResults:
    """Return results of two systems, the second often better; with draws, a fifth of the queries is left out."""
    random = np.random.default_rng(seed)
    draw, query = np.repeat(np.arange(draws), queries), np.tile(np.arange(queries), draws)
    if draws > 1:
        kept = np.sort(random.permutation(len(query))[: 4 * len(query) // 5])
        draw, query = draw[kept], numbered([str(number) for number in query[kept]])
    first, second = (1 + random.geometric(share, len(query)) // 2 for share in (0.3, 0.4))
    precisions = [1 / (ranks + random.random(len(query))) for ranks in (first, second)]
    units = query if vehicles is None else query % vehicles
    return PairedResults(draw, query, units, first, second, precisions[0], precisions[1])


def naive_differences(results: PairedResults, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return the difference of each metric in each resample, (R, M): draw units, score both systems, subtract."""
    random, units = np.random.default_rng(seed), max(results.units) + 1
    differences = []
    for _ in range(resamples):
        lines = [
            line
            for unit in random.integers(units, size=units)
            for line in range(len(results.query))
            if results.units[line] == unit
        ]
        scores = []
        for ranks, precision in (
            (results.first_ranks, results.first_precision),
            (results.second_ranks, results.second_precision),
        ):
            by_draw = []
            for draw in sorted({int(results.draw[line]) for line in lines}):
                of_draw = [line for line in lines if results.draw[line] == draw]
                by_draw.append(
                    [
                        sum(precision[line] for line in of_draw) / len(of_draw),
                        sum(ranks[line] == 1 for line in of_draw) / len(of_draw),
                        sum(ranks[line] <= 5 for line in of_draw) / len(of_draw),
                    ]
                )
            scores.append(np.mean(by_draw, axis=0))
        differences.append(scores[1] - scores[0])
    return np.array(differences)


@pytest.mark.parametrize(
    "results",
    [random_results(30), random_results(12, draws=3), random_results(12, draws=4, vehicles=5), random_results(2)],
    ids=["queries", "draws", "vehicles", "two queries"],
)
def test_intervals_are_those_of_a_naive_loop(results: PairedResults) -> None:
    found = paired_bootstrap(results, resamples=RESAMPLES, seed=3)
    naive = naive_differences(results, RESAMPLES, seed=3)
    for column, name in enumerate(COMPARED):
        expected = np.quantile(naive[:, column], [0.025, 0.975])
        np.testing.assert_allclose(found[name].interval, expected, atol=1e-12)
        assert found[name].not_better == pytest.approx((naive[:, column] <= 1e-12).mean())


def test_interval_is_that_of_scipy() -> None:
    """With the same generator scipy draws the same queries."""
    results = random_results(200)
    first, second = results.values()
    found = paired_bootstrap(results, resamples=RESAMPLES, seed=5)
    for column, name in enumerate(COMPARED):
        expected = stats.bootstrap(
            (first[:, column], second[:, column]),
            lambda one, other, axis: (other - one).mean(axis=axis),
            n_resamples=RESAMPLES,
            paired=True,
            method="percentile",
            random_state=np.random.default_rng(5),
        )
        np.testing.assert_allclose(found[name].interval, expected.confidence_interval, atol=1e-12)


def test_share_of_resamples_is_near_the_value_of_a_permutation_test() -> None:
    """Both ask, in different ways, how easily chance alone explains the difference."""
    for seed in range(3):
        results = random_results(60, seed=seed)
        first, second = results.values()
        found = paired_bootstrap(results, resamples=4000, seed=0)["mAP"]
        permuted = stats.permutation_test(
            (second[:, 0], first[:, 0]),
            lambda one, other, axis: (one - other).mean(axis=axis),
            permutation_type="samples",
            alternative="greater",
            n_resamples=4000,
            random_state=np.random.default_rng(1),
        )
        assert found.not_better == pytest.approx(permuted.pvalue, abs=0.03)


def test_scores_and_counts_of_a_worked_example() -> None:
    """Draw 0 asks for images 0, 1 and 2, draw 1 for images 0 and 1; metrics are means of the two draws' means."""
    results = PairedResults(
        draw=np.array([0, 0, 0, 1, 1]),
        query=np.array([0, 1, 2, 0, 1]),
        units=np.array([0, 1, 2, 0, 1]),
        first_ranks=np.array([2, 1, 8, 2, 1]),
        second_ranks=np.array([1, 1, 4, 4, 2]),
        first_precision=1 / np.array([2, 1, 8, 2, 1]),
        second_precision=1 / np.array([1, 1, 4, 4, 2]),
    )
    found = paired_bootstrap(results, resamples=10, seed=0)
    assert found["cmc1"].first == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found["cmc1"].second == pytest.approx((2 / 3 + 0) / 2)
    assert found["mAP"].difference == pytest.approx(((0.5 + 0 + 0.125) / 3 + (-0.25 - 0.5) / 2) / 2)
    counts = {name: (one.won, one.lost, one.equal) for name, one in found.items()}
    assert counts == {"mAP": (2, 1, 0), "cmc1": (1, 1, 1), "cmc5": (1, 0, 2)}


def test_equal_systems_do_not_differ_and_a_better_one_is_always_better() -> None:
    results = random_results(40, draws=3)
    equal = PairedResults(
        **{**vars(results), "second_ranks": results.first_ranks, "second_precision": results.first_precision}
    )
    for one in paired_bootstrap(equal, resamples=50, seed=0).values():
        assert (one.difference, one.interval, one.not_better, one.won, one.lost) == (0, (0, 0), 1, 0, 0)
    better = PairedResults(**{**vars(equal), "second_precision": results.first_precision + 0.01})
    found = paired_bootstrap(better, resamples=50, seed=0)["mAP"]
    assert found.not_better == 0 and found.lost == 0 == found.equal
    np.testing.assert_allclose([found.difference, *found.interval], 0.01)


def test_exchanging_the_systems_mirrors_the_result() -> None:
    results = random_results(50, draws=2)
    exchanged = PairedResults(
        results.draw,
        results.query,
        results.units,
        results.second_ranks,
        results.first_ranks,
        results.second_precision,
        results.first_precision,
    )
    one, other = (paired_bootstrap(each, resamples=RESAMPLES, seed=1) for each in (results, exchanged))
    for name in COMPARED:
        assert (one[name].won, one[name].lost) == (other[name].lost, other[name].won)
        np.testing.assert_allclose(one[name].interval, [-value for value in other[name].interval[::-1]], atol=1e-12)


def test_the_seed_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    results = random_results(50)
    expected = paired_bootstrap(results, resamples=RESAMPLES, seed=7)
    assert paired_bootstrap(results, resamples=RESAMPLES, seed=8) != expected
    monkeypatch.setattr(module, "AT_ONCE", 150)  # three resamples at once
    assert paired_bootstrap(results, resamples=RESAMPLES, seed=7) == expected


def test_draws_of_the_same_images_do_not_narrow_the_interval() -> None:
    """Ten equal draws hold no more than one."""
    once = random_results(60)
    repeated = PairedResults(**{name: np.tile(values, 10) for name, values in vars(once).items()})
    repeated.draw[:] = np.repeat(np.arange(10), 60)
    one, ten = (paired_bootstrap(each, resamples=RESAMPLES, seed=2)["mAP"] for each in (once, repeated))
    np.testing.assert_allclose(ten.interval, one.interval, atol=1e-12)
    assert (ten.won, ten.lost, ten.equal) == (one.won, one.lost, one.equal)


def test_vehicles_resampled_whole_widen_the_interval_if_their_queries_agree() -> None:
    """Twenty vehicles with ten equal queries each: the interval is that of twenty queries."""
    few = random_results(20)
    copies = PairedResults(**{name: np.repeat(values, 10) for name, values in vars(few).items()})
    by_vehicle = PairedResults(**{**vars(copies), "query": np.arange(200)})
    by_query = PairedResults(**{**vars(by_vehicle), "units": np.arange(200)})
    one, whole, single = (
        paired_bootstrap(each, resamples=RESAMPLES, seed=4)["mAP"] for each in (few, by_vehicle, by_query)
    )
    np.testing.assert_allclose(whole.interval, one.interval, atol=1e-12)
    width, narrow = (high - low for low, high in (whole.interval, single.interval))
    assert narrow < width / 2


def test_no_query_is_refused() -> None:
    with pytest.raises(UserError, match="no query has a match"):
        paired_bootstrap(random_results(0), resamples=10, seed=0)
