"""Tables from metrics written by hand: means, deviations and errors by plain loops; Markdown, CSV, picture, JSON."""

import csv
import doctest
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from data_cache.parts.cache import write_parts
from helpers.toy.ablation import toy_place, toy_plan, write_run
from helpers.toy.vehicles import Toy
from reid.ablation import results as results_module
from reid.ablation.charts import draw_results
from reid.ablation.files import as_csv, markdown, write_results
from reid.ablation.place import Place
from reid.ablation.results import Results, Spread, _duration, difference, spread_of
from reid.ablation.running import Job, job_of

# mAP of Table 2, a row's runs by seed; row 5 has one run, row 6 none
MAPS = [(0.50, 0.52, 0.57), (0.61, 0.60, 0.65), (0.70, 0.64, 0.70), (0.40, 0.42), (0.55,), ()]


@pytest.fixture
def place(toy: Toy, tmp_path: Path) -> Place:
    write_parts(tmp_path / "folder" / "parts.h5", toy.parts)
    return toy_place(toy, tmp_path)


def table_2(place: Place, toy: Toy, values: list[tuple[float, ...]] = MAPS) -> Job:
    plan = toy_plan("2", seeds=3)
    for row, found in zip(plan.sheets[0].rows, values, strict=True):
        for run, value in zip(plan.runs_of(row), found, strict=False):
            write_run(place, toy, run, scores={"mAP": value, "cmc1": value + 0.1, "cmc5": 0.9})
    return job_of(place, plan, "python cli.py ablate --table 2")


def by_loop(values: tuple[float, ...]) -> tuple[float, float]:
    """Mean and deviation in percent."""
    total = 0.0
    for value in values:
        total += 100 * value
    mean, squares = total / len(values), 0.0
    for value in values:
        squares += (100 * value - mean) ** 2
    return mean, math.sqrt(squares / (len(values) - 1))


def test_means_and_deviations_are_those_of_a_plain_loop(place: Place, toy: Toy) -> None:
    (results,) = table_2(place, toy).results()
    for line, values in zip(results.lines[:4], MAPS[:4], strict=True):
        mean, deviation = by_loop(values)
        assert line.scores["mAP"].mean == pytest.approx(mean)
        assert line.scores["mAP"].deviation == pytest.approx(deviation)
        assert line.scores["cmc1"].mean == pytest.approx(mean + 10)
        assert line.seeds == tuple(range(len(values)))
    assert results.lines[4].scores["mAP"] == Spread(pytest.approx(55), None, 1)
    assert not results.lines[5].scores and results.lines[5].seeds == ()


def test_differences_and_their_errors_are_those_of_a_plain_loop(place: Place, toy: Toy) -> None:
    (results,) = table_2(place, toy).results()
    for row, above, against in ((1, 0, 0), (2, 1, 0), (3, 3, 3)):  # row 3 begins a group
        for found, other in ((results.lines[row].above, above), (results.lines[row].against, against)):
            if other == row:
                assert found is None
                continue
            (mean, deviation), (from_mean, from_deviation) = by_loop(MAPS[row]), by_loop(MAPS[other])
            error = math.sqrt(deviation**2 / len(MAPS[row]) + from_deviation**2 / len(MAPS[other]))
            assert found is not None and found.error is not None
            assert (found.value, found.error) == (pytest.approx(mean - from_mean), pytest.approx(error))
    one_run = results.lines[4].above
    assert one_run is not None and one_run.error is None and one_run.value == pytest.approx(55 - 41)
    assert results.lines[5].above is None and results.lines[0].above is None


def test_a_chart_of_a_figure_has_no_row_above_its_first(place: Place, toy: Toy) -> None:
    plan = toy_plan(figures=("3",), seeds=1)
    for run in plan.runs:
        write_run(place, toy, run, scores={"mAP": 0.5})
    (results,) = job_of(place, plan, "").results()
    named = {line.row.label: line.above for line in results.lines}
    assert named["PGAN, 2C' = 1024"] and named["PGAN, λ = 1"]
    assert named["PGAN, λ = 0.5"] is None and named["baseline, 2C' = 1024"] is None


def cells(results: Results) -> list[list[str]]:
    lines = [line for line in markdown(results).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_markdown_table(place: Place, toy: Toy) -> None:
    headings, rule, *rows = cells(*table_2(place, toy).results())
    assert headings[1:6] == ["mAP", "CMC@1", "CMC@5", "n", "mAP to the row above"]
    assert headings[6] == "mAP to grid attention"
    assert all(re.fullmatch(r":?-+:?", cell) for cell in rule)
    assert rows[1] == [
        *("PGAN without PAM, 2C' = 256", "62.0 ± 2.6", "72.0 ± 2.6", "90.0 ± 0.0", "3", "+9.0 ± 2.6", "+9.0 ± 2.6"),
        *("77.9", "95.6", "98.4", "3", "96", "`pgan_no_pam_features=256_parts=2`"),
    ]
    assert rows[4][1:7] == ["55.0", "65.0", "90.0", "1", "+14.0", "+14.0"]
    assert rows[5][1:7] == ["not run yet", "", "", "0", "", ""]
    assert {len(row) for row in (headings, rule, *rows)} == {13}


def test_below_stands_where_it_comes_from(place: Place, toy: Toy) -> None:
    text = markdown(*table_2(place, toy).results())
    for words in (
        "# Table 2: kinds of attention",
        "Paper: VeRi-776.",
        "Command: `python cli.py ablate --table 2`",
        "Commit: abc",
        "Device: CPU, 1 threads",
        "Versions: torch 2.0",
        "Runs: 12 of 18 finished",
        "Training time: 2 min 24 s for the finished runs",  # 12 runs of 3 epochs of 32 images, 8 a second
        "resnet18 (weights: random) at 64 pixels, 3 epochs on 32 images of 8 vehicles of folder",
        "test: 4 queries (0 without a match, left out), gallery 12",
    ):
        assert words in text


def test_runs_of_several_machines_are_told_with_all_of_them(place: Place, toy: Toy) -> None:
    job = table_2(place, toy)
    run = job.plan.runs[0]
    metrics = job.found[run.folder].metrics
    assert metrics is not None
    metrics["commit"], metrics["device"] = "def", "a GPU"  # type: ignore[index]
    text = markdown(*job.results())
    assert "Commit: def; abc" in text and "Device: a GPU; CPU, 1 threads" in text


def test_the_csv_table(place: Place, toy: Toy) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(*table_2(place, toy).results()))))
    assert [row["seeds"] for row in rows] == ["0 1 2"] * 3 + ["0 1", "0", ""]
    mean, deviation = by_loop(MAPS[2])
    assert (rows[2]["mAP"], rows[2]["mAP_std"]) == (f"{mean:.4f}", f"{deviation:.4f}")
    assert (rows[4]["mAP_std"], rows[4]["above"], rows[4]["above_error"]) == ("", "14.0000", "")
    assert rows[5]["mAP"] == "" and rows[5]["paper_mAP"] == "79.3000" and rows[5]["run"] == "pgan_parts=2"
    assert (rows[0]["epochs"], rows[0]["images_seen"]) == ("3", "96")


def test_nothing_run_yet_is_a_table_too(place: Place, toy: Toy) -> None:
    (results,) = job_of(place, toy_plan("1", seeds=2), "ablate").results()
    assert [row[1] for row in cells(results)[2:]] == ["not run yet"] * 5
    text = markdown(results)
    assert "Runs: 0 of 10 finished" in text and "Commit" not in text
    write_results(results, place.folder / "table-1")
    assert {path.suffix for path in place.folder.iterdir()} == {".md", ".csv", ".png"}


def test_json_has_what_the_table_has(place: Place, toy: Toy) -> None:
    (results,) = table_2(place, toy).results()
    line = results.to_dict()["lines"][1]
    assert line["scores"]["mAP"]["mean"] == pytest.approx(62)
    assert line["paper"] == {"mAP": 77.9, "top1": 95.6, "top5": 98.4}
    assert line["to_the_reference"]["value"] == pytest.approx(9)
    assert line["seeds"] == [0, 1, 2] and results.to_dict()["lines"][5]["scores"] == {}


def test_a_table_of_cmc_tells_differences_of_cmc(place: Place, toy: Toy) -> None:
    """VehicleID and VRIC have no mAP in the paper."""
    job = table_2(place, toy)
    plan = replace(job.plan, sheets=(replace(job.plan.sheets[0], decides="cmc1"),))
    (results,) = replace(job, plan=plan).results()
    above = results.lines[1].above
    assert above is not None and above.value == pytest.approx(9.0)
    assert "CMC@1 to the row above" in cells(results)[0]


# pictures


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        found = image.convert("RGB").getcolors(1 << 20)
    assert found is not None
    return {colour for count, colour in found if count > 200}  # type: ignore[misc]


BLUE, ORANGE = (47, 129, 247), (217, 119, 6)


def test_bars_are_drawn_for_what_has_run(place: Place, toy: Toy, tmp_path: Path) -> None:
    (empty,) = job_of(place, toy_plan("2"), "").results()
    draw_results(empty, tmp_path / "empty.png")
    assert not {BLUE, ORANGE} & colours(tmp_path / "empty.png")
    (results,) = table_2(place, toy).results()
    draw_results(results, tmp_path / "bars.png")
    assert {BLUE, ORANGE} <= colours(tmp_path / "bars.png")


def test_lines_are_drawn_for_the_figure(place: Place, toy: Toy, tmp_path: Path) -> None:
    plan = toy_plan(figures=("3",))
    draw_results(*job_of(place, plan, "").results(), tmp_path / "empty.png")
    for number, run in enumerate(plan.runs):
        write_run(place, toy, run, scores={"mAP": 0.5 + number / 50})
    draw_results(*job_of(place, plan, "").results(), tmp_path / "lines.png")
    assert (tmp_path / "lines.png").read_bytes() != (tmp_path / "empty.png").read_bytes()
    assert {BLUE, ORANGE} <= colours(tmp_path / "lines.png")


# where a run stands


def test_spreads_and_differences_of_single_values() -> None:
    assert spread_of([3.0]) == Spread(3.0, None, 1)
    assert difference(Spread(3.0, None, 1), Spread(1.0, 0.5, 2)).error is None
    assert str(difference(Spread(1.0, 3.0, 9), Spread(3.0, 4.0, 16))) == "-2.0 ± 1.4"


def test_durations() -> None:
    assert [_duration(seconds) for seconds in (0, 59.6, 3599, 3600, 360_000)] == [
        *("0 min 0 s", "1 min 0 s", "59 min 59 s", "1 h 00 min", "100 h 00 min")
    ]
    assert doctest.testmod(results_module).failed == 0
