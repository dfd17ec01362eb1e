"""`--per-track`: of each track the largest box of each of its spans, and nothing else is left out."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cli import main
from data_cache.objects.table import objects_table
from data_cache.objects.tracks import best_of_tracks

Row = tuple[str, str, int, str, int]  # vehicle, camera, frame, video or "" for an image, area
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "b"]), st.sampled_from(["", "1", "2"]), st.integers(0, 12),
        st.sampled_from(["", "x.mp4", "y.mp4"]), st.integers(1, 4),
    ),
    max_size=40,
)  # fmt: skip


def table_of(rows: list[Row]) -> pd.DataFrame:
    images = [f"{video}#{frame}" if video else f"{frame}.jpg" for _, _, frame, video, _ in rows]
    texts = {"image": images, "vehicle_id": [row[0] for row in rows], "camera_id": [row[1] for row in rows]}
    return objects_table(texts, np.zeros((len(rows), 4)), Path("t.csv"), [""] * len(rows))


@given(ROWS, st.integers(1, 6), st.sets(st.integers(0, 39)))
def test_the_largest_of_each_span_is_kept(rows: list[Row], count: int, unusable: set[int]) -> None:
    areas = {row: float(one[4]) for row, one in enumerate(rows) if row not in unusable}
    found = best_of_tracks(table_of(rows), areas, count)
    tracks: dict[tuple[str, str], list[int]] = defaultdict(list)
    expected = set()
    for row in areas:
        vehicle, camera, _, video, _ = rows[row]
        if vehicle:
            tracks[vehicle, video or camera].append(row)
        else:
            expected.add(row)
    for track in tracks.values():
        track.sort(key=lambda row: (rows[row][2], row))
        spans: dict[int, list[int]] = defaultdict(list)
        for position, row in enumerate(track):
            spans[next(one for one in range(count) if position < (one + 1) * len(track) // count)].append(row)
        sizes = [len(span) for span in spans.values()]
        assert len(spans) == min(count, len(track)) and max(sizes) - min(sizes) <= 1
        for span in spans.values():
            best = span[0]
            for row in span:
                if areas[row] > areas[best]:
                    best = row
            expected.add(best)
    assert found == expected


def test_tables_and_splits_have_tracks_of_their_own() -> None:
    table = table_of([("a", "", frame, "x.mp4", 1) for frame in range(6)])
    areas = dict.fromkeys(range(6), 1.0)
    assert best_of_tracks(table, areas, 1) == {0}
    assert best_of_tracks(table.assign(split=["train"] * 2 + ["gallery"] * 4), areas, 1) == {0, 2}
    assert best_of_tracks(table.assign(split=["query"] * 2 + ["gallery"] * 4), areas, 1) == {0, 1, 2}
    assert best_of_tracks(table.assign(file=["a"] * 3 + ["b"] * 3), areas, 1) == {0, 3}


def test_frames_are_ordered_by_their_numbers() -> None:
    table = table_of([("a", "1", frame, "", 1) for frame in (10, 9, 100, 2)])
    assert best_of_tracks(table, {0: 1.0, 1: 2.0, 2: 9.0, 3: 1.0}, 2) == {1, 2}  # 2 and 9, 10 and 100


@pytest.mark.parametrize("count", [2, 9])
def test_crop_keeps_the_rows_of_the_others(tmp_path: Path, count: int) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(4):
        Image.new("RGB", (60, 40)).save(tmp_path / f"frames/{number}.png")
    boxes = [
        "0,10,10,20,20,a",
        "1,30,10,99,20,a",
        "2,10,10,20,20,",
        "2,10,10,31,20,a",
        "3,10,10,20,20,a",
        "9,1,1,9,9,a",
    ]
    (tmp_path / "t.csv").write_text("\n".join(["frame,x,y,w,h,vehicle_id", *boxes]))
    words = ["--images", tmp_path / "frames", "--table", tmp_path / "t.csv", "--output", tmp_path / "crops"]
    run = CliRunner().invoke(main, ["crop", *map(str, words), "--workers", "0", "--json", "--per-track", str(count)])
    rows = pd.read_csv(tmp_path / "crops/images.csv")["row"].tolist()
    summary = json.loads(run.stdout)
    assert rows == ([1, 2, 3] if count == 2 else [0, 1, 2, 3, 4])  # 30 x 20 inside the frame are more than 20 x 20
    assert (summary["crops"], summary["written"], summary["failures"]) == (len(rows), len(rows), 1)
    assert f"{5 - len(rows)} of 5 objects are left out: {count} of each track are kept" in run.stderr
    assert pd.read_csv(tmp_path / "crops/failed.csv")["row"].tolist() == [5]
