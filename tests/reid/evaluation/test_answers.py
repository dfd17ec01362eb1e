"""Answers as files against a loop over the features: lists, decisions, page, embeddings, the rows that they name."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_cache.base.files import read_json
from data_cache.datasets.catalogue import load_dataset
from helpers.browser.html_page import Page
from helpers.places.reid import Place, assert_error
from helpers.toy.vehicles import toy_set
from reid.evaluation.calibration import CalibratedRun
from reid.features.file import read_features
from reid.model.checkpoint import read_checkpoint
from reid.retrieval.open_set import Calibration, evidence

pytestmark = pytest.mark.usefixtures("tiny")
MODEL = Calibration(
    (0.5, 0.1, 0.1, -1.0, 3.0), (0.2,) * 5, (-9.0,) * 5, (9.0,) * 5, (1.0, 0.5, -0.2, 0.3, 0.1), 0.2, 0.6
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Commands on a toy set of its own, whose table a test may change."""
    return Place(toy_set(tmp_path / "data"), tmp_path / "runs")


@pytest.fixture
def run(place: Place) -> Path:
    return place.train("--recipe", "pgan_small").parent


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def expected(place: Place, run: Path, junk: str) -> dict[int, list[tuple[float, int, str]]]:
    """Return for each query, by its number, the scores, numbers and names of the gallery, best first."""
    table = load_dataset("folder", place.toy.dataset.root).table
    features = read_features(run / "test/features.safetensors")
    vector = dict(zip(features.names, features.matrix, strict=True))
    queries, gallery = (table[table["split"] == split] for split in ("query", "gallery"))
    lists = {}
    for number, query in enumerate(queries.itertuples()):
        found = []
        for row, image in enumerate(gallery.itertuples()):
            same_camera = image.camera_id == query.camera_id
            if same_camera and (junk == "camera" or image.vehicle_id == query.vehicle_id):
                continue
            found.append((float(vector[query.name] @ vector[image.name]), row, image.name))
        lists[number] = sorted(found, reverse=True)
    return lists


@pytest.mark.parametrize("junk", ["protocol", "camera"])
def test_lists_name_the_rows_of_the_tables(place: Place, run: Path, tmp_path: Path, junk: str) -> None:
    result = place("rank", "--top", "3", "--output", str(tmp_path / "s.csv"), "--junk", junk)
    assert result.exit_code == 0 and result.stdout == f"{tmp_path / 's.csv'}\n"
    place("rank", "--top", "3", "--output", str(tmp_path / "w.csv"), "--junk", junk, "--wide")
    long, wide, lists = read(tmp_path / "s.csv"), read(tmp_path / "w.csv"), expected(place, run, junk)
    assert len(wide) == len(lists) and len(long) == 3 * len(lists)
    for query, found in lists.items():
        rows = long[long["query"] == str(query)]
        assert rows["rank"].tolist() == ["1", "2", "3"]
        assert rows["candidate"].tolist() == [str(row) for _, row, _ in found[:3]]
        assert rows["candidate_image"].tolist() == [name for *_, name in found[:3]]
        np.testing.assert_allclose(rows["score"].astype(float), [score for score, *_ in found[:3]], atol=1e-5)
        assert wide.loc[query, ["candidate_1", "candidate_2", "candidate_3"]].tolist() == rows["candidate"].tolist()
        assert wide.loc[query, ["score_1", "score_2", "score_3"]].tolist() == rows["score"].tolist()


def test_decisions_are_those_of_the_calibration(place: Place, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "candidates.csv"
    assert_error(place("rank", "--candidates", str(path)), 1, "not calibrated; run `", "calibrate")
    CalibratedRun(MODEL, read_checkpoint(run / "best.safetensors").sha256, "f1", 9, {}).write(run)
    assert place("rank", "--candidates", str(path)).exit_code == 0
    table, lists = read(path), expected(place, run, "protocol")
    assert table["query"].tolist() == [str(query) for query in lists]
    gallery = int((place.toy.dataset.table["split"] == "gallery").sum())
    for row, found in zip(table.itertuples(), lists.values(), strict=True):
        confidence = MODEL.confidence(evidence(np.float32([[score for score, *_ in found]]), gallery))[0]
        assert float(row.confidence) == pytest.approx(confidence, abs=1e-4)
        assert row.candidate == (str(found[0][1]) if confidence >= MODEL.threshold else "")
        assert bool(row.candidate_image) == bool(row.candidate)


def test_embeddings_are_queries_then_gallery_in_the_order_of_the_table(place: Place, run: Path, tmp_path: Path) -> None:
    result = place("features", "--output", str(tmp_path / "e.npy"))
    assert result.exit_code == 0, result.output
    table = place.toy.dataset.table
    names = [*table["name"][table["split"] == "query"], *table["name"][table["split"] == "gallery"]]
    wanted = read_features(run / "test/features.safetensors").of(names)
    np.testing.assert_array_equal(np.load(tmp_path / "e.npy", allow_pickle=False), wanted)
    assert f"{len(names)} x {wanted.shape[1]}" in result.stdout


def test_a_test_without_vehicles_is_ranked_but_not_scored(place: Place, run: Path, tmp_path: Path) -> None:
    path = place.toy.dataset.root / "images.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[table["split"] != "train", "vehicle_id"] = ""
    table.to_csv(path, index=False)
    assert_error(place("evaluate"), 1, "none of the 4 queries has a match")
    assert place("rank", "--top", "2", "--output", str(tmp_path / "s.csv")).exit_code == 0
    assert len(read(tmp_path / "s.csv")) == 8


def test_the_rows_and_frames_of_crops_are_those_of_their_tables(place: Place, run: Path, tmp_path: Path) -> None:
    path = place.toy.dataset.root / "images.csv"
    table = pd.read_csv(path, dtype=str)
    table["row"] = [str(1000 + number) for number in range(len(table))]
    table["frame"] = [f"frame {number}" for number in range(len(table))]
    table.to_csv(path, index=False)
    assert place("rank", "--top", "1", "--output", str(tmp_path / "own.csv")).exit_code == 0
    own = read(tmp_path / "own.csv")  # columns of the user's own, which only happen to be called row and frame
    assert set(own["query"]) == {"0", "1", "2", "3"} and own["candidate_image"].isin(table["name"]).all()
    table.assign(file="t.csv", x0=1, y0=2, x1=3, y1=4).to_csv(path, index=False)
    assert place("rank", "--top", "1", "--output", str(tmp_path / "s.csv")).exit_code == 0
    found = read(tmp_path / "s.csv")
    by_row = table.set_index("row")
    assert (by_row.loc[found["query"], "split"] == "query").all()
    assert by_row.loc[found["candidate"], "frame"].tolist() == found["candidate_image"].tolist()


def test_decisions_are_scored_on_the_test(place: Place, run: Path) -> None:
    assert_error(place("evaluate", "--open-set"), 1, "not calibrated; run `")
    CalibratedRun(MODEL, read_checkpoint(run / "best.safetensors").sha256, "f1", 9, {}).write(run)
    path = place.toy.dataset.root / "images.csv"
    table = pd.read_csv(path, dtype=str)
    absent = sorted(table["vehicle_id"][table["split"] == "query"])[0]
    table = table[~((table["split"] == "gallery") & (table["vehicle_id"] == absent))]
    table.to_csv(path, index=False)
    result = place("evaluate", "--open-set")
    assert result.exit_code == 0, result.output
    assert "decisions at 0.600 on 4 queries, 1 without a match: precision" in result.stdout
    found = read_json(run / "test/metrics.json")["open_set"]
    by_name = table.set_index("name")["vehicle_id"]
    accepted = right = refused = 0
    for query, images in zip(
        table[table["split"] == "query"].itertuples(), expected(place, run, "protocol").values(), strict=True
    ):
        gallery = int((table["split"] == "gallery").sum())
        confidence = MODEL.confidence(evidence(np.float32([[score for score, *_ in images]]), gallery))[0]
        accepted += confidence >= MODEL.threshold
        right += confidence >= MODEL.threshold and by_name[images[0][2]] == query.vehicle_id
        refused += confidence < MODEL.threshold and query.vehicle_id == absent
    assert found["top1_recall"] == pytest.approx(right / 3) and found["accepted"] == pytest.approx(accepted / 4)
    assert (found["queries"], found["absent"], found["tnr"]) == (4, 1, refused)
    present = table.index[(table["split"] == "query") & (table["vehicle_id"] != absent)][0]
    table.loc[present, "vehicle_id"] = ""  # nobody knows whether it is in the gallery
    table.to_csv(path, index=False)
    assert place("evaluate", "--open-set").exit_code == 0
    unknown = read_json(run / "test/metrics.json")["open_set"]
    assert (unknown["queries"], unknown["absent"]) == (3, 1)


AFTER = {
    "re-ranked": ("--rerank",),
    "expanded queries": ("--expand", "2"),
    "augmented database": ("--database", "2"),
    "without camera means": ("--camera-means",),
    "whitened": ("--whiten",),
    "with baseline_small": ("--with", "baseline_small"),
}


def test_lists_after_the_network_have_the_scores_of_their_rows(place: Place, run: Path, tmp_path: Path) -> None:
    place.train("--recipe", "baseline_small")
    options = [word for words in AFTER.values() for word in words]
    metrics = json.loads(place("evaluate", "--run", "pgan_small", *options, "--json").stdout)
    table = load_dataset("folder", place.toy.dataset.root).table
    queries, gallery = (table[table["split"] == split].reset_index(drop=True) for split in ("query", "gallery"))
    lists = set()
    for row, words in {"": (), **AFTER}.items():
        result = place("rank", "--run", "pgan_small", "--top", "10", "--output", str(tmp_path / "s.csv"), *words)
        assert result.exit_code == 0, result.output
        lists.add((tmp_path / "s.csv").read_bytes())
        found, precisions, firsts = read(tmp_path / "s.csv").astype({"query": int, "candidate": int}), [], []
        for number, query in queries.iterrows():
            candidates = gallery.loc[found.loc[found["query"] == number, "candidate"]]
            hits = (candidates["vehicle_id"] == query["vehicle_id"]).to_numpy()
            others = (gallery["vehicle_id"] == query["vehicle_id"]) & (gallery["camera_id"] != query["camera_id"])
            precisions.append((np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits).sum() / min(10, others.sum()))
            firsts.append(hits[0])
        scores = metrics["scores"][f"trained, {row}" if row else "trained"]
        assert scores["mAP10"] == pytest.approx(np.mean(precisions)) and scores["cmc1"] == pytest.approx(
            np.mean(firsts)
        )
    assert len(lists) == 1 + len(AFTER)


def test_decisions_are_by_plain_scores(place: Place, run: Path, tmp_path: Path) -> None:
    CalibratedRun(MODEL, read_checkpoint(run / "best.safetensors").sha256, "f1", 9, {}).write(run)
    written = []
    for words in ((), ("--database", "2", "--rerank")):
        place("rank", "--candidates", str(tmp_path / "c.csv"), "--output", str(tmp_path / "s.csv"), *words)
        written.append((tmp_path / "c.csv").read_bytes())
    assert written[0] == written[1]


def titles(page: Path) -> dict[str, list[str]]:
    """Return the candidates of each query, best first, by the names of their images."""
    articles = page.read_text(encoding="utf-8").split("<article")[1:]
    found = [
        [str(one["title"]) for one in Page(f"<article{one.partition('</article>')[0]}</article>").attributes("img")]
        for one in articles
    ]
    return {query: images for query, *images in found}


@pytest.mark.parametrize("words", [(), ("--junk", "camera", "--database", "2", "--rerank")])
def test_the_page_shows_the_same_lists(place: Place, run: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    page, both = tmp_path / "new" / "answer.html", ("--top", "3", *words)
    result = place("rank", *both, "--page", str(page))
    assert result.exit_code == 0 and result.stdout == f"{page}\n"
    alone = page.read_bytes()
    result = place("rank", *both, "--page", str(page), "--output", str(tmp_path / "s.csv"))
    assert result.stdout == f"{tmp_path / 's.csv'}\n{page}\n" and page.read_bytes() == alone
    lists = read(tmp_path / "s.csv").groupby("query_image")["candidate_image"].agg(list).to_dict()
    assert titles(page) == lists
    assert (
        f"run python cli.py calibrate --dataset folder --data-root {place.toy.dataset.root}"
        in Page(alone.decode()).text
    )
    CalibratedRun(MODEL, read_checkpoint(run / "best.safetensors").sha256, "f1", 9, {}).write(run)
    assert place("rank", *both, "--page", str(page), "--candidates", str(tmp_path / "c.csv")).exit_code == 0
    confidence = read(tmp_path / "c.csv").set_index("query_image")["confidence"].astype(float)
    assert titles(page) == lists and list(titles(page)) == confidence.sort_values(ascending=False).index.tolist()
    assert place("rank", *both, "--page", str(page), "--count", "2").exit_code == 0
    assert set(titles(page)) == {confidence.idxmax(), confidence.idxmin()}


def test_a_page_for_unknown_vehicles_names_the_run_to_calibrate(place: Place, run: Path, tmp_path: Path) -> None:
    path = place.toy.dataset.root / "images.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[table["split"] != "train", "vehicle_id"] = ""
    table.to_csv(path, index=False)
    assert place("rank", "--run", "pgan_small", "--page", str(tmp_path / "a.html")).exit_code == 0
    text = Page((tmp_path / "a.html").read_text(encoding="utf-8")).text
    assert "4 queries, gallery" in text and "calibrate --dataset" in text and "--run pgan_small" in text


def test_what_is_for_pictures_is_refused_for_csvs_and_page(place: Place, tmp_path: Path) -> None:
    page, output = ("--page", str(tmp_path / "a.html")), ("--output", str(tmp_path / "s.csv"))
    for words in (("--query", "a"), ("--hardest", "1"), ("--heatmaps",)):
        assert_error(place("rank", *page, *words), 2, f"{words[0]} is for pictures")
    assert_error(place("rank", *output, "--count", "1"), 2, "--count is for pictures and --page")
    assert_error(place("rank", *page, "--wide"), 2, "--wide is for --output")


def test_what_is_for_lists_as_csv_alone_is_refused_for_pictures(place: Place, run: Path, tmp_path: Path) -> None:
    assert_error(place("rank", "--database", "2"), 2, "--database is for --output")
    assert_error(place("rank", "--with", "other"), 2, "--with is for --output")
    both = ("--with", "pgan_small", "--whiten", "--output", str(tmp_path / "s.csv"))
    assert_error(place("rank", *both), 2, "--with and --whiten cannot be combined")
