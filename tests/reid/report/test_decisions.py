"""Decisions in the report: what is accepted and refused, and the rates by threshold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cache.base.errors import UserError
from helpers.browser.html_page import Page
from helpers.toy.evaluated import BY_COSINE, make_evaluated_run
from reid.evaluation.calibration import CalibratedRun
from reid.report.decisions import find_decisions, rates_by_threshold
from reid.report.errors import Firsts
from reid.report.evaluated_run import EvaluatedRun
from reid.report.page import write_report
from reid.retrieval.open_set import OpenSet


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    """A calibrated run, of which the vehicle of the last query has no image in the gallery."""
    made = make_evaluated_run(tmp_path, noise=2)
    table = made.dataset.table.copy()
    table.loc[(table["split"] == "query") & table["name"].str.startswith("4"), "vehicle_id"] = "absent"
    made.folder.mkdir()
    CalibratedRun(BY_COSINE, "c0ffee", "f1", 9, {}).write(made.folder)
    return replace(made, dataset=replace(made.dataset, table=table))


def test_decisions_equal_a_loop_over_the_queries(run: EvaluatedRun) -> None:
    found = find_decisions(run, Firsts(run).positives)
    assert found is not None
    table, vectors = run.dataset.table, dict(zip(run.features.names, run.features.matrix, strict=True))
    taken: list[bool] = []
    accepted, refused, counts = [], [], dict.fromkeys(("accepted", "right", "absent", "absent_refused"), 0)
    for _, query in table[table["split"] == "query"].iterrows():
        gallery = table[table["split"] == "gallery"]
        cosines = [float(vectors[query["name"]] @ vectors[name]) for name in gallery["name"]]
        first = gallery.iloc[int(np.argmax(cosines))]
        confidence, right = 1 / (1 + np.exp(-10 * (max(cosines) - 0.8))), first["vehicle_id"] == query["vehicle_id"]
        counts["accepted"] += confidence >= 0.5
        counts["right"] += confidence >= 0.5 and right
        counts["absent"] += query["vehicle_id"] == "absent"
        counts["absent_refused"] += query["vehicle_id"] == "absent" and confidence < 0.5
        taken.append(confidence >= 0.5)
        if (confidence >= 0.5) != right:
            (refused if right else accepted).append((query["name"], first["name"], pytest.approx(confidence, abs=1e-5)))
    rates = found.scores
    assert (
        rates["top1_precision"] == counts["right"] / counts["accepted"] and rates["top1_recall"] == counts["right"] / 4
    )
    assert rates["pairs_recall"] == counts["right"] / 8  # two images of each vehicle in the gallery
    assert (rates["absent"], rates["tnr"]) == (1, counts["absent_refused"])
    shown = [
        [(one.query, one.match, one.confidence) for one in kind] for kind in (found.false_accepts, found.false_refusals)
    ]
    assert sorted(shown[0]) == sorted(accepted) and sorted(shown[1]) == sorted(refused)
    assert [one.confidence for one in found.false_accepts] == sorted(
        (one.confidence for one in found.false_accepts), reverse=True
    )


def test_the_curve_has_the_rates_of_every_threshold() -> None:
    test = OpenSet(np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, True, False, True]), np.array([1, 2, 0, 1]))
    rates = {name: {round(at, 2): rate for at, rate in points} for name, points in rates_by_threshold(test).items()}
    assert rates["recall"][0.5] == pytest.approx(1 / 3) and rates["TNR"][0.7] == 1 and rates["TNR"][0.5] == 0
    assert rates["precision"][0.5] == 0.5 and max(rates["precision"]) == 0.8
    assert "TNR" not in rates_by_threshold(replace(test, positives=np.array([1, 2, 1, 1])))


def test_the_page_shows_them(run: EvaluatedRun) -> None:
    page = Page(
        write_report(run, target=run.test_folder / "report.html", queries=3, top_k=3).read_text(encoding="utf-8")
    )
    text = page.text
    for words in (
        "Is it the vehicle, or is it not in the gallery?",
        "from a confidence of 0.500 on",
        "1 have no match",
    ):
        assert words in text
    assert "Errors" in text


def test_a_run_without_a_calibration_has_no_decisions(run: EvaluatedRun) -> None:
    (run.folder / "calibration.json").unlink()
    assert find_decisions(run, Firsts(run).positives) is None
    page = Page(write_report(run, target=run.test_folder / "report.html", queries=3).read_text(encoding="utf-8"))
    assert "not in the gallery?" not in page.text


def test_a_calibration_of_another_checkpoint_is_refused(run: EvaluatedRun) -> None:
    CalibratedRun(BY_COSINE, "other", "f1", 9, {}).write(run.folder)
    with pytest.raises(UserError, match="made for another checkpoint"):
        find_decisions(run, Firsts(run).positives)
