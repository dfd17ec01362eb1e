"""PNG files of ranked lists: frames compared pixel by pixel with the truth, one file per query in the right folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.toy.evaluated import make_evaluated_run, ramp_coverings
from reid.report.evaluated_run import EvaluatedRun
from reid.report.pictures.image_grid import image_file_name
from reid.report.pictures.thumbnails import FRAME, QUERY, RIGHT, WRONG
from reid.report.query_images import (
    HEIGHT,
    explain_queries,
    part_effects,
    query_summary,
    rank_queries_of_runs,
    write_ranked_lists,
)
from reid.retrieval.ranked_lists import Choice, RankedList

WIDTH = round(HEIGHT * 50 / 30)


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    return make_evaluated_run(tmp_path)


def frames_on(path: Path) -> list[list[tuple[int, int, int]]]:
    """Return the colours of the frames on a PNG, row by row, found by their upper left corners."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    rows: dict[int, list[tuple[int, tuple[int, int, int]]]] = {}
    for row in range(pixels.shape[0] - HEIGHT - 2 * FRAME + 1):
        for colour in (QUERY, RIGHT, WRONG):
            same = (pixels[row, :-WIDTH] == colour).all(axis=1)
            above = (pixels[row - 1, :-WIDTH] == colour).all(axis=1)
            for left in np.flatnonzero(same & ~above):
                if left and (pixels[row, left - 1] == colour).all():
                    continue
                box = pixels[row : row + HEIGHT + 2 * FRAME, left : left + WIDTH + 2 * FRAME]
                edges = (box[:FRAME], box[-FRAME:], box[:, :FRAME], box[:, -FRAME:])
                if all((edge == colour).all() for edge in edges):
                    rows.setdefault(row, []).append((int(left), colour))
    return [[colour for _, colour in sorted(rows[row])] for row in sorted(rows)]


def true_frames(ranked: RankedList, run: EvaluatedRun) -> list[tuple[int, int, int]]:
    """Return the expected frames of a list, from the data set's table."""
    vehicle = dict(zip(run.dataset.table["name"], run.dataset.table["vehicle_id"], strict=True))
    own = vehicle[ranked.query]
    return [QUERY, *(RIGHT if vehicle[image.name] == own else WRONG for image in ranked.images)]


def test_frames_are_green_exactly_if_the_vehicle_is_the_same(run: EvaluatedRun, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    written = write_ranked_lists([run], tmp_path / "out", Choice(5), top_k=4)
    frames = [frames_on(image.path) for image in written]
    assert frames == [[true_frames(image.lists[0][1], run)] for image in written]
    assert {colour for rows in frames for row in rows for colour in row} == {QUERY, RIGHT, WRONG}
    paths = {tmp_path / "out" / image_file_name(f"{car}&<b>_0.png") for car in range(5)}
    assert {image.path for image in written} == paths
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "out", *paths}


def test_lists_of_two_runs_for_the_same_query_are_stacked(run: EvaluatedRun, tmp_path: Path) -> None:
    other = make_evaluated_run(tmp_path, name="grid_small", noise=5)
    written = write_ranked_lists([run, other], tmp_path / "out", Choice(3), top_k=4)
    for image in written:
        (first, own), (second, compared) = image.lists
        assert (first, second) == ("pgan_small", "grid_small") and own.query == compared.query
        assert frames_on(image.path) == [true_frames(own, run), true_frames(compared, other)]
    assert [image.lists[0][1].group for image in written] == ["worst", "middle", "best"]


def test_files_are_reproducible(run: EvaluatedRun, tmp_path: Path) -> None:
    first, second = (write_ranked_lists([run], tmp_path / name, Choice(2), top_k=2) for name in "ab")
    assert [image.path.read_bytes() for image in first] == [image.path.read_bytes() for image in second]


def test_covered_squares_are_below_their_list(
    run: EvaluatedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluatedRun, "coverings", ramp_coverings)
    (image,) = write_ranked_lists([run], tmp_path / "out", Choice(1), top_k=3, heatmap_device="cpu")
    assert frames_on(image.path) == [true_frames(image.lists[0][1], run)] * 2  # the list, and its covered squares
    monkeypatch.setattr(EvaluatedRun, "coverings", lambda *_, device: {})  # features of another system
    (image,) = write_ranked_lists([run], tmp_path / "none", Choice(1), top_k=3, heatmap_device="cpu")
    assert len(frames_on(image.path)) == 1


def test_a_query_is_explained_by_its_best_true_match(run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def coverings(run: EvaluatedRun, pairs: list[tuple[str, str]], *, device: str) -> object:
        asked.extend(pairs)
        return ramp_coverings(run, pairs, device=device)

    monkeypatch.setattr(EvaluatedRun, "coverings", coverings)
    lists = rank_queries_of_runs([run], Choice(5), top_k=1)[0]
    explained = explain_queries([run], lists, device="cpu")
    matrix = dict(zip(run.features.names, run.features.matrix, strict=True))
    for (query, other), ranked, one in zip(asked, lists, explained, strict=True):
        own = [name for name in matrix if name[0] == query[0] and not name.endswith("_0.png")]  # the query's vehicle
        assert query == ranked.query and other == max(own, key=lambda name: float(matrix[query] @ matrix[name]))
        assert one.other_is_right and part_effects(run, query, one.coverings[0]) == [
            ("mirror", pytest.approx(-0.02)),
            ("wheel", pytest.approx(0.01)),
        ]


def test_query_summary(run: EvaluatedRun) -> None:
    ranked = rank_queries_of_runs([run], Choice(1), top_k=1)[0][0]
    ranked = replace(ranked, average_precision=0.5, first_hit_rank=2, positives=1)
    assert query_summary(ranked) == "average precision 0.500, first match at rank 2, 1 match in the gallery"
    assert query_summary(replace(ranked, positives=0)) == "no match in the gallery"
