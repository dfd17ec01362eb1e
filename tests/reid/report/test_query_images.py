"""Ranked lists on disk: frames that tell the truth, pixel by pixel, a PNG for each query and nothing outside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_cache.base.errors import UserError
from helpers.toy.evaluated import HOSTILE, shown_run
from reid.report.evaluated_run import ShownRun
from reid.report.heatmaps import Heat
from reid.report.picture_grid import picture_name
from reid.report.ranked import RankedPicture, fared, lists_of, write_ranked
from reid.report.tiles import FRAME, QUERY, RIGHT, WRONG
from reid.retrieval.ranked_lists import Choice, RankedList

HEIGHT = 220
WIDTH = round(HEIGHT * 50 / 30)


@pytest.fixture
def run(tmp_path: Path) -> ShownRun:
    return shown_run(tmp_path)


def frames_on(path: Path) -> list[list[tuple[int, int, int]]]:
    """The colours of the frames in a picture, line by line, found by their upper left corners alone."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    lines: dict[int, list[tuple[int, int, int]]] = {}
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
                    lines.setdefault(row, []).append((int(left), colour))
    return [[colour for _, colour in sorted(lines[row])] for row in sorted(lines)]


def truth(found: RankedList, run: ShownRun) -> list[tuple[int, int, int]]:
    """The frames that a list must have, by the table and not by the list's own word."""
    vehicle = dict(zip(run.dataset.table["name"], run.dataset.table["vehicle_id"], strict=True))
    own = vehicle[found.query]
    return [QUERY, *(RIGHT if vehicle[image.name] == own else WRONG for image in found.images)]


def test_frames_are_green_exactly_where_the_vehicle_is_the_same(run: ShownRun, tmp_path: Path) -> None:
    written = write_ranked([run], tmp_path / "out", Choice(5), top_k=4)
    assert len(written) == 5
    shown = [frames_on(one.path) for one in written]
    assert shown == [[truth(one.lists[0][1], run)] for one in written]
    assert {colour for lines in shown for line in lines for colour in line} == {QUERY, RIGHT, WRONG}


def test_two_runs_stand_one_above_the_other_with_the_same_query(run: ShownRun, tmp_path: Path) -> None:
    other = shown_run(tmp_path, name="grid_small", noise=5)
    written = write_ranked([run, other], tmp_path / "out", Choice(3), top_k=4)
    for one in written:
        (first, own), (second, compared) = one.lists
        assert (first, second) == ("pgan_small", "grid_small") and own.query == compared.query
        assert frames_on(one.path) == [truth(own, run), truth(compared, other)]
    assert [one.lists[0][1].group for one in written] == ["worst", "middle", "best"]


def test_every_file_lies_in_its_folder(run: ShownRun, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*")}
    written = write_ranked([run], tmp_path / "out", Choice(5), top_k=2)
    added = {path for path in tmp_path.rglob("*")} - before
    assert added == {tmp_path / "out", *(one.path for one in written)}
    assert {one.path for one in written} == {tmp_path / "out" / picture_name(f"{car}&<b>_0.png") for car in range(5)}


def test_pictures_are_the_same_each_time(run: ShownRun, tmp_path: Path) -> None:
    one, other = (write_ranked([run], tmp_path / name, Choice(2), top_k=2) for name in "ab")
    assert [picture.path.read_bytes() for picture in one] == [picture.path.read_bytes() for picture in other]


def test_named_and_hardest_queries(run: ShownRun) -> None:
    everything = lists_of([run], Choice(5), top_k=1)[0]
    precisions = [found.average_precision for found in everything]
    assert precisions == sorted(precisions)
    hardest = lists_of([run], Choice(2, hardest=True), top_k=1)[0]
    assert [found.query for found in hardest] == [found.query for found in everything[:2]]
    named = lists_of([run], Choice(names=("3&<b>_0.png", "1&<b>_0.png", "3&<b>_0.png")), top_k=1)[0]
    assert [found.query for found in named] == ["3&<b>_0.png", "1&<b>_0.png"]
    with pytest.raises(UserError, match=r"3&<b>_1\.png: not a query of this test; did you mean 3&<b>_0\.png"):
        lists_of([run], Choice(names=("3&<b>_1.png",)), top_k=1)


def test_heatmaps_stand_below_their_list(run: ShownRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    monkeypatch.setattr(ShownRun, "heat", lambda _, names, *, device: {name: Heat(ramp, 2 * ramp) for name in names})
    one = write_ranked([run], tmp_path / "out", Choice(1), top_k=3, heat_on="cpu")[0]
    assert frames_on(one.path) == [truth(one.lists[0][1], run)] * 3  # the list, Fp, Fp - Fg
    monkeypatch.setattr(ShownRun, "heat", lambda _, names, *, device: {name: Heat(ramp, None) for name in names})
    two = write_ranked([run], tmp_path / "none", Choice(1), top_k=3, heat_on="cpu")[0]
    assert len(frames_on(two.path)) == 2  # of a baseline, Fg


def test_what_is_told_as_json(run: ShownRun, tmp_path: Path) -> None:
    found = write_ranked([run], tmp_path, Choice(names=("0&<b>_0.png",)), top_k=2)[0]
    told = found.to_dict()
    assert told["file"] == str(found.path) and told["lists"][0]["run"] == "pgan_small"
    assert told["lists"][0]["vehicle"] == HOSTILE and len(told["lists"][0]["images"]) == 2
    assert isinstance(found, RankedPicture)


def test_how_a_query_fared(run: ShownRun) -> None:
    found = replace(lists_of([run], Choice(1), top_k=1)[0][0], average_precision=0.5, first_hit_rank=2, positives=1)
    assert fared(found) == "average precision 0.500, first match at rank 2, 1 match in the gallery"
    assert fared(replace(found, positives=0)) == "no match in the gallery"
