"""Errors explained: what wrong first matches have in common, against loops over the images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_cache.datasets.catalogue import load_dataset
from data_cache.images.loading import load_image
from helpers.naive.ranking import unit
from helpers.toy.evaluated import make_evaluated_run, with_metrics
from reid.report import errors as module
from reid.report.decisions import Decisions
from reid.report.errors import Firsts, find_errors, margin_by_part
from reid.report.evaluated_run import EvaluatedRun
from reid.report.pictures.covering import Covering

VEHICLES, CAMERAS = 12, 3


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    """A run with features of chance: 12 vehicles by three cameras, three of a fleet, two colours in each fleet."""
    (tmp_path / "toy").mkdir()
    made = make_evaluated_run(tmp_path / "toy")
    lines = ["name,vehicle_id,camera_id,split,fleet,colour"]
    for vehicle in range(VEHICLES):
        for camera in range(CAMERAS):
            name = f"{vehicle}_{camera}.png"
            grey = 20 if vehicle % 4 == 0 else 150
            Image.new("RGB", (50 if vehicle % 2 else 120, 100), (grey, grey, grey)).save(tmp_path / name)
            split = "query" if camera < 2 else "gallery"
            lines.append(f"{name},v{vehicle},{camera},{split},f{vehicle // 3},{'red' if vehicle % 3 else 'blue'}")
    (tmp_path / "images.csv").write_text("\n".join(lines))
    dataset = load_dataset("folder", tmp_path)
    names = tuple(dataset.names())
    matrix = unit(np.random.default_rng(3).standard_normal((len(names), 8)))
    count = len(names)
    random = np.random.default_rng(5)
    parts = replace(
        made.parts,
        names=names,
        image_size=np.array([(50 if int(name.split("_")[0]) % 2 else 120, 100) for name in names], np.int32),
        boxes=np.tile(made.parts.boxes[:1], (count, 1, 1)),
        scores=-np.sort(-random.uniform(0.2, 1.0, (count, 2)).astype(np.float32)),
        labels=random.permuted(np.tile(np.int8([1, 0]), (count, 1)), axis=1),
        status=np.zeros(count, np.uint8),
        failure=("",) * count,
    )
    features = replace(made.features, names=names, matrix=matrix, attention=np.zeros((count, 0), np.float32))
    return replace(made, dataset=dataset, features=features, parts=parts)


def naive_firsts(run: EvaluatedRun) -> list[tuple[pd.Series, pd.Series, pd.Series, bool]]:
    """Return query, best true match and best wrong image of each query, and whether the wrong one is first."""
    table = run.dataset.table
    vectors = dict(zip(run.features.names, run.features.matrix, strict=True))
    found = []
    for _, query in table[table["split"] == "query"].iterrows():
        gallery = [row for _, row in table[table["split"] == "gallery"].iterrows()]
        gallery.sort(key=lambda row: -float(vectors[query["name"]] @ vectors[row["name"]]))
        match = next(row for row in gallery if row["vehicle_id"] == query["vehicle_id"])
        wrong = next(row for row in gallery if row["vehicle_id"] != query["vehicle_id"])
        found.append((query, match, wrong, gallery[0] is wrong))
    return found


def test_kinds_of_errors_equal_a_loop(run: EvaluatedRun) -> None:
    found, firsts = find_errors(Firsts(run), None), naive_firsts(run)
    errors = [one for one in firsts if one[3]]
    assert (found.queries, found.wrong) == (len(firsts), len(errors)) and 0 < len(errors) < len(firsts)
    kinds = {kind.name: kind for kind in found.kinds}
    gallery = run.dataset.table[run.dataset.table["split"] == "gallery"]
    for name, columns in {
        "same fleet, colour: twins": ["fleet", "colour"],
        "same fleet": ["fleet"],
        "same colour": ["colour"],
        "by the query's own camera": ["camera_id"],
    }.items():
        same = [(query[columns] == wrong[columns]).all() for query, _, wrong, _ in errors]
        assert (kinds[name].count, kinds[name].share) == (sum(same), pytest.approx(np.mean(same)))
        shares = []
        for query, *_ in errors:
            others = gallery[gallery["vehicle_id"] != query["vehicle_id"]]
            shares.append((others[columns] == query[columns]).all(axis=1).mean())
        assert kinds[name].usual == pytest.approx(np.mean(shares))
    small = [int(query["name"].split("_")[0]) % 2 == 1 for query, *_ in firsts]
    dark = [int(query["name"].split("_")[0]) % 4 == 0 for query, *_ in firsts]
    few = []
    for query, match, *_ in firsts:
        rows = run.parts.rows([query["name"], match["name"]])
        shown = [{int(label) for label, score in zip(run.parts.labels[row], run.parts.scores[row], strict=True)
                  if score >= 0.5} for row in rows]  # fmt: skip
        either = shown[0] | shown[1]
        few.append(None if not either else len(shown[0] & shown[1]) < len(either) / 3)
    for name, member in {"query below 80 pixels": small, "dark query: mean grey below 60": dark,
                         "few parts in common with the best true match": few}.items():  # fmt: skip
        known = [(one, wrong) for one, (*_, wrong) in zip(member, firsts, strict=True) if one is not None]
        assert kinds[name].count == sum(one for one, wrong in known if wrong)
        assert kinds[name].share == pytest.approx(np.mean([one for one, wrong in known if wrong]))
        assert kinds[name].usual == pytest.approx(np.mean([one for one, wrong in known if not wrong]))


def test_the_row_of_dark_queries_says_that_it_is_of_a_sample(
    run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    firsts = naive_firsts(run)
    is_wrong = {query["name"]: wrong for query, _, _, wrong in firsts}
    read: list[bool] = []

    def image(path: Path, *, turned: bool) -> NDArray[np.uint8]:
        read.append(is_wrong[path.name])
        return load_image(path, turned=turned)

    monkeypatch.setattr(module, "SAMPLE", 3)
    monkeypatch.setattr(module, "load_image", image)
    found = find_errors(Firsts(run), None)
    assert (sum(read), len(read)) == (3, 6) and len(firsts) > 6
    (kind,) = (kind for kind in found.kinds if kind.name.startswith("dark query"))
    assert kind.name == "dark query: mean grey below 60, in a sample of 3 wrong and 3 right first matches"
    assert kind.count == pytest.approx(3 * kind.share)
    assert all("sample" not in name for one in found.examples for name in one.kinds)


def test_refused_matches_are_a_kind_where_there_are_decisions(run: EvaluatedRun) -> None:
    firsts = naive_firsts(run)
    accepted = np.arange(len(firsts)) % 3 == 0
    found = find_errors(Firsts(run), Decisions("the best F1", {}, {}, accepted, (), ()))
    kind = next(kind for kind in found.kinds if kind.name == "not accepted by its confidence")
    wrong = np.array([one[3] for one in firsts])
    assert kind.count == (~accepted & wrong).sum() and kind.usual == pytest.approx((~accepted[~wrong]).mean())


def test_examples_are_the_errors_with_the_highest_scores(run: EvaluatedRun) -> None:
    found = find_errors(Firsts(run), None)
    vectors = dict(zip(run.features.names, run.features.matrix, strict=True))
    errors = {
        query["name"]: (match["name"], wrong["name"]) for query, match, wrong, first in naive_firsts(run) if first
    }
    scores = sorted((float(vectors[query] @ vectors[wrong]) for query, (_, wrong) in errors.items()), reverse=True)
    assert [one.first_score for one in found.examples] == pytest.approx(scores[: module.SHOWN], abs=1e-6)
    for one in found.examples:
        assert (one.match, one.first) == errors[one.query]
        assert one.match_rank > 1 and one.first_score >= one.match_score
        fleets = [int(name.split("_")[0]) // 3 for name in (one.query, one.first)]
        assert any(kind.startswith("same fleet") for kind in one.kinds) == (fleets[0] == fleets[1])
        twins = "same fleet, colour: twins"
        assert twins not in one.kinds or not {"same fleet", "same colour"} & {*one.kinds}


def test_without_errors_there_are_no_kinds_of_them(run: EvaluatedRun) -> None:
    own = np.eye(VEHICLES, dtype=np.float32)[[int(name.split("_")[0]) for name in run.features.names]]
    found = find_errors(Firsts(replace(run, features=replace(run.features, matrix=own))), None)
    assert (found.wrong, found.examples) == (0, ()) and all(kind.count == 0 for kind in found.kinds)


def test_margins_by_part_sum_what_covering_the_boxes_of_a_kind_takes(
    run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def effects(_run: EvaluatedRun, triples: list[tuple[str, ...]], *, device: str) -> list[Covering]:
        asked.extend(triples)
        labels = run.parts.labels[run.parts.rows([query for query, *_ in triples])]
        effect = np.where(labels == 1, np.float32(-0.1), np.float32(0.02))  # of a wheel, of a mirror
        return [Covering(0.2, np.zeros((0, 0), np.float32), one) for one in effect]

    monkeypatch.setattr(EvaluatedRun, "margin_effects", effects)
    found = margin_by_part(Firsts(run), 4, device="cpu")
    right = {
        query["name"]: (match["name"], wrong["name"]) for query, match, wrong, first in naive_firsts(run) if not first
    }
    twins = {
        name for name, (_, wrong) in right.items() if int(name.split("_")[0]) // 3 == int(wrong.split("_")[0]) // 3
    }
    assert 1 <= len(asked) <= 4 and all(right[query] == (match, wrong) for query, match, wrong in asked)
    if twins:
        assert {query for query, *_ in asked} <= twins
    wheel, mirror = found
    assert (wheel.part, mirror.part) == ("wheel", "mirror") and wheel.queries == mirror.queries == len(asked)
    assert (wheel.share, mirror.share) == (pytest.approx(0.5), pytest.approx(-0.1))


def test_other_systems_have_no_parts_to_cover(run: EvaluatedRun) -> None:
    other = with_metrics(run, scores={"given": run.metrics["scores"]["trained"]})
    assert margin_by_part(Firsts(other), 4, device="cpu") == []
