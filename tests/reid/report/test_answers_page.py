"""The page of answers: what the CSVs say, with pictures; self-contained, escaped, and without any vehicle."""

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import unknown_vehicle
from data_cache.datasets.protocols import Trial
from helpers.browser.html_page import Page
from helpers.toy.evaluated import BY_COSINE, HOSTILE, make_evaluated_run, with_columns, write_answers
from reid.evaluation.answers import candidates, find_answers, submission
from reid.report.answers_page import evenly_spread
from reid.report.evaluated_run import EvaluatedRun
from reid.retrieval.open_set import FIRST
from reid.retrieval.scoring import AfterNetwork

HEADING = re.compile(r"<h3 [^>]*>(.*?)</h3>\s*<p>(.*?)</p>.*?<figcaption>query, row (\d+)", re.DOTALL)
CANDIDATE = re.compile(r'<strong>(\d+)</strong> (-?[\d.]+)(?:.*?)<br><span class="quiet">(.*?), row (\d+)</span>')


class Shown(NamedTuple):
    """A query on the page: its image, verdict and row, and its candidates: rank, score, image, row."""

    image: str
    verdict: str
    row: int
    candidates: list[tuple[int, str, str, int]]


def shown(page: Path) -> list[Shown]:
    """Return the queries of a page in their order."""
    found = []
    for article in page.read_text(encoding="utf-8").split("<article")[1:]:
        heading = HEADING.search(article)
        assert heading is not None
        image, verdict, row = (html.unescape(re.sub("<[^>]+>", "", text)) for text in heading.groups())
        rows = [
            (int(rank), score, html.unescape(name), int(number))
            for rank, score, name, number in CANDIDATE.findall(article)
        ]
        found.append(Shown(image, verdict, int(row), rows))
    return found


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    """A run of which some best matches are accepted and some are not."""
    return make_evaluated_run(tmp_path, noise=2)


def test_the_page_is_self_contained(run: EvaluatedRun) -> None:
    text = write_answers(run).read_text(encoding="utf-8")
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes.get(name))
    assert not re.search(r"url\((?!#)|@import", text) and len(page.attributes("script")) == 1
    assert any("default-src 'none'" in (one.get("content") or "") for one in page.attributes("meta"))
    images = page.attributes("img")
    assert all(one["alt"] and (one["src"] or "").startswith("data:image/jpeg") for one in images)
    assert max(int(one["height"] or 0) for one in images) <= 160


@pytest.mark.parametrize("after", [None, AfterNetwork(database=2, rerank=True), AfterNetwork(camera_means=True)])
def test_lists_and_decisions_are_those_of_the_csvs(run: EvaluatedRun, after: AfterNetwork | None) -> None:
    run = with_columns(run, row=np.arange(15)[::-1] * 7, frame=[f"frame {number}" for number in range(15)])
    plain = find_answers(run.features, run.dataset, run.protocol(), FIRST)
    lists = plain if after is None else find_answers(run.features, run.dataset, run.protocol(), FIRST, after)
    long = submission(run.dataset, lists, 4)
    decided = candidates(run.dataset, plain, BY_COSINE).set_index("query")
    found = shown(write_answers(run, after=after, top_k=4))
    assert [one.row for one in found] == decided["confidence"].astype(float).sort_values(ascending=False).index.tolist()
    verdicts = set()
    for one in found:
        rows = long[long["query"] == one.row]
        assert one.candidates == [
            (row.rank, f"{float(row.score):.3f}", row.candidate_image, row.candidate) for row in rows.itertuples()
        ]
        assert one.image == rows["query_image"].iloc[0]
        decision = decided.loc[one.row]
        if decision["candidate"] == "":
            assert one.verdict == f"Not in the gallery: confidence {float(decision['confidence']):.3f}, below 0.500"
        else:
            other = f": by plain scores it is {decision['candidate_image']}, row {decision['candidate']}"
            first = decision["candidate"] == str(one.candidates[0][3])
            assert one.verdict == f"Accepted, confidence {float(decision['confidence']):.3f}{'' if first else other}"
        verdicts.add(one.verdict[:8])
    assert verdicts == {"Accepted", "Not in t"}
    text = Page((run.folder / "answer.html").read_text(encoding="utf-8")).text
    accepted = int((decided["candidate"] != "").sum())
    assert f"5 queries, gallery 10 images: {accepted} accepted, {5 - accepted} not in the gallery." in text
    assert "from a confidence of 0.500 on, the threshold that the calibration chose for the best F1." in text
    assert ("those of plain scores" in text) == (after is not None)


def test_cameras_are_offered_in_the_order_of_their_numbers(run: EvaluatedRun) -> None:
    names = np.array(["10", "9", "gate", "1", "2"], object)  # of the five queries
    cameras = names[run.dataset.table.groupby("split").cumcount() % 5]
    page = Page(write_answers(with_columns(run, camera=cameras)).read_text(encoding="utf-8"))
    offered = [one["value"] for one in page.attributes("option")]
    assert offered == ["", "1", "2", "9", "10", "gate"]


def test_a_confidence_just_below_the_threshold_is_shown_below_it(run: EvaluatedRun) -> None:
    plain = find_answers(run.features, run.dataset, run.protocol(), FIRST)
    confidence = float(plain.confidence(BY_COSINE).max())
    for above in (1e-5, 1e-15):
        best, *_ = shown(write_answers(run, calibration=replace(BY_COSINE, threshold=confidence + above)))
        found = re.fullmatch(r"Not in the gallery: confidence ([0-9.]+), below ([0-9.]+)", best.verdict)
        assert found is not None and float(found[1]) < float(found[2]), best.verdict


def test_a_candidate_that_is_accepted_by_plain_scores_alone_is_named(run: EvaluatedRun) -> None:
    """A gallery whose features are all but equal has other first candidates."""
    sure = replace(BY_COSINE, threshold=0.0)
    verdicts = [one.verdict for one in shown(write_answers(run, calibration=sure, after=AfterNetwork(database=9)))]
    assert any("by plain scores it is" in verdict for verdict in verdicts)


def test_queries_are_evenly_spread_with_the_extremes(run: EvaluatedRun) -> None:
    everything = [one.row for one in shown(write_answers(run))]
    for count, places in ((1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (4, [0, 1, 2, 4]), (5, range(5))):
        page = write_answers(run, count=count)
        assert [one.row for one in shown(page)] == [everything[place] for place in places]
        words = "All queries from" if count == 5 else f"{count} of the queries, evenly spread from"
        assert words in Page(page.read_text(encoding="utf-8")).text
    for size in range(1, 40):
        values = np.random.default_rng(size).random(size)
        for count in range(2, 50):
            chosen = values[evenly_spread(values, count)]
            assert len(set(chosen)) == min(count, size) and (np.diff(chosen) < 0).all()
            assert chosen[0] == values.max() and chosen[-1] == values.min()


def test_at_most_ten_candidates_are_shown(tmp_path: Path, run: EvaluatedRun) -> None:
    protocol = run.protocol()
    gallery = np.concatenate([protocol.trials[0].gallery, protocol.trials[0].query])
    wider = replace(protocol, trials=(Trial(protocol.trials[0].query, gallery),), same_camera_is_junk=False)
    assert {len(one.candidates) for one in shown(write_answers(run, protocol=wider, top_k=50))} == {10}


def test_without_a_calibration_it_has_scores_and_the_command(run: EvaluatedRun) -> None:
    page = write_answers(run, calibration=None, remedy="`python cli.py calibrate --run '<b>'`")
    text = Page(page.read_text(encoding="utf-8")).text
    assert "the run is not calibrated. For confidences and decisions run python cli.py calibrate --run '<b>' ," in text
    assert "accepted" not in text and "not in the gallery" not in text and "highest to the lowest best score" in text
    found = shown(page)
    scores = [float(one.candidates[0][1]) for one in found]
    assert scores == sorted(scores, reverse=True) and found[0].verdict == f"Best score {scores[0]:.3f}"
    names = {one["name"] for tag in ("input", "select") for one in Page(page.read_text()).attributes(tag)}
    assert names == {"camera"}


def test_an_aim_at_absent_vehicles_is_told(run: EvaluatedRun) -> None:
    text = Page(write_answers(run, aim="fpir=0.05").read_text(encoding="utf-8")).text
    assert "chose for an FPIR of at most 0.05." in text


def test_unknown_vehicles_and_cameras(tmp_path: Path) -> None:
    run = make_evaluated_run(tmp_path, cameras=False)
    run = with_columns(run, vehicle_id=[unknown_vehicle(number) for number in range(15)])
    page = Page(write_answers(run, calibration=None).read_text(encoding="utf-8"))
    assert "camera" not in page.text and not page.attributes("script") and not page.attributes("select")
    assert len(page.attributes("article")) == 5 and len(page.attributes("li")) == 50
    assert {one["name"] for one in Page(write_answers(run).read_text()).attributes("input")} == {"verdict"}


def test_cameras_have_the_names_of_the_csv(run: EvaluatedRun) -> None:
    names = np.array(["north", "", "Süd 2"], object)[run.dataset.table["camera_id"]]
    numbers = np.where(names == "", -1, run.dataset.table["camera_id"])
    page = Page(write_answers(with_columns(run, camera=names, camera_id=numbers)).read_text(encoding="utf-8"))
    assert "camera north" in page.text and "camera Süd 2" in page.text and "camera -1" not in page.text
    assert {one["data-camera"] for one in page.attributes("article")} == {"north"}
    assert [one["value"] for one in page.attributes("option")] == ["", "north"]


def test_vehicles_are_not_used(run: EvaluatedRun) -> None:
    """Where no junk depends on them, pages of other vehicles are the same bytes; no verdict is right or wrong."""
    protocol = replace(run.protocol(), same_camera_is_junk=False)
    first = write_answers(run, protocol=protocol).read_bytes()
    vehicles = np.random.default_rng(0).permutation(run.dataset.table["vehicle_id"].to_numpy(object))
    assert first == write_answers(with_columns(run, vehicle_id=vehicles), protocol=protocol).read_bytes()
    words = set(Page(first.decode()).text.lower().split())
    assert not words & {"right", "wrong", "vehicle", "✓", "✗"}


def test_what_the_protocol_leaves_out_is_no_candidate(run: EvaluatedRun) -> None:
    """A gallery by other cameras only; of queries whose camera took all of it nothing is left."""
    run = with_columns(run, camera_id=np.where(run.dataset.table["name"].str.startswith("1"), 1, 0))
    page = write_answers(run, protocol=replace(run.protocol(), cameras="other"), calibration=BY_COSINE)
    counts = {one.image: len(one.candidates) for one in shown(page)}
    assert counts == {f"{number}&<b>_0.png": 8 if number == 1 else 2 for number in range(5)}
    table = run.dataset.table.assign(camera_id=0)
    empty = replace(run, dataset=replace(run.dataset, table=table))
    sure = replace(BY_COSINE, threshold=0.0)
    page = write_answers(empty, protocol=replace(run.protocol(), cameras="other"), calibration=sure)
    text = Page(page.read_text(encoding="utf-8")).text
    assert text.count("No image of the gallery is left to be a candidate.") == 5
    assert "0 accepted, 5 not in the gallery" in text and text.count("Not in the gallery : confidence 0.000 query") == 5


def test_tracks_are_shown_by_their_best_images(run: EvaluatedRun) -> None:
    protocol = run.protocol()
    trial = protocol.trials[0]
    tracks = replace(protocol, trials=(replace(trial, tracks=np.arange(0, 10, 2)),), same_camera_is_junk=False)
    page = write_answers(run, protocol=tracks)
    assert "gallery 10 images in 5 tracks" in Page(page.read_text(encoding="utf-8")).text
    long = submission(run.dataset, find_answers(run.features, run.dataset, tracks, FIRST), 10)
    for one in shown(page):
        assert [name for _, _, name, _ in one.candidates] == long["candidate_image"][long["query"] == one.row].tolist()
        assert len(one.candidates) == 5


def test_names_are_escaped(run: EvaluatedRun) -> None:
    numbers = pd.Series(range(15)).astype(str)
    of_crop = dict.fromkeys(("x0", "y0", "x1", "y1"), 0.0) | {"file": "t.csv", "row": range(15)}
    run = with_columns(run, frame=HOSTILE + "\u202e" + numbers, camera=f"{HOSTILE}\x1b", **of_crop)
    text = write_answers(run, remedy=f"`{HOSTILE}`").read_text(encoding="utf-8")
    page = Page(text)
    assert HOSTILE not in text and text.count("<script>") == 1 and not re.search("[\x00-\x08\x0e-\x1f\u202e]", text)
    assert f"{HOSTILE}\\u202e" in page.text and f"camera {HOSTILE}\\x1b" in page.text
    assert any((one.get("title") or "").startswith(HOSTILE) for one in page.attributes("img"))
    (camera,) = {one["data-camera"] for one in page.attributes("article")}
    assert [one["value"] for one in page.attributes("option")] == ["", camera]


def test_nothing_is_written_if_an_image_cannot_be_drawn(run: EvaluatedRun) -> None:
    run.dataset.path("1&<b>_1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^1&<b>_1\.png: cannot be drawn"):
        write_answers(run)
    assert not (run.folder / "answer.html").exists()
