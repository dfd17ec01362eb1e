"""Tables from hand-written metrics: means, deviations and errors by plain loops; Markdown, CSV, charts, JSON."""

import csv
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from data_cache.parts.cache import write_parts
from helpers.toy.ablation import toy_plan, toy_workspace, write_run
from helpers.toy.vehicles import Toy
from reid.ablation.ablation import Ablation, load_ablation
from reid.ablation.charts import draw_results
from reid.ablation.results import Estimate, TableResults
from reid.ablation.table_files import as_csv, as_markdown, write_table
from reid.ablation.workspace import Workspace

# mAP of Table 2: the runs of each row, by seed
MAPS = [(0.50, 0.52, 0.57), (0.61, 0.60, 0.65), (0.70, 0.64, 0.70), (0.40, 0.42), (0.55,), ()]


@pytest.fixture
def workspace(toy: Toy, tmp_path: Path) -> Workspace:
    write_parts(tmp_path / "folder" / "parts.h5", toy.parts)
    return toy_workspace(toy, tmp_path)


def table_2(workspace: Workspace, toy: Toy, values: list[tuple[float, ...]] = MAPS) -> Ablation:
    plan = toy_plan("2", seeds=3)
    for row, found in zip(plan.tables[0].rows, values, strict=True):
        for run, value in zip(plan.runs_of(row), found, strict=False):
            write_run(workspace, toy, run, scores={"mAP": value, "cmc1": value + 0.1, "cmc5": 0.9})
    return load_ablation(workspace, plan, "python cli.py ablate --table 2")


def mean_and_deviation(values: tuple[float, ...]) -> tuple[float, float]:
    """Return mean and deviation in percent, by definition."""
    mean = 100 * sum(values) / len(values)
    return mean, math.sqrt(sum((100 * value - mean) ** 2 for value in values) / (len(values) - 1))


def test_means_and_deviations_equal_their_definition(workspace: Workspace, toy: Toy) -> None:
    (results,) = table_2(workspace, toy).results()
    for row, values in zip(results.rows[:4], MAPS[:4], strict=True):
        mean, deviation = mean_and_deviation(values)
        assert row.scores["mAP"].mean == pytest.approx(mean)
        assert row.scores["mAP"].deviation == pytest.approx(deviation)
        assert row.scores["cmc1"].mean == pytest.approx(mean + 10)
        assert row.seeds == tuple(range(len(values)))
    assert results.rows[4].scores["mAP"] == Estimate(pytest.approx(55), None, 1)
    assert not results.rows[5].scores and results.rows[5].seeds == ()


def test_differences_and_their_errors_equal_their_definition(workspace: Workspace, toy: Toy) -> None:
    (results,) = table_2(workspace, toy).results()
    for row, above, reference in ((1, 0, 0), (2, 1, 0), (3, 3, 3)):  # row 3 starts a group
        for found, other in ((results.rows[row].above, above), (results.rows[row].against, reference)):
            if other == row:
                assert found is None
                continue
            mean, deviation = mean_and_deviation(MAPS[row])
            other_mean, other_deviation = mean_and_deviation(MAPS[other])
            error = math.sqrt(deviation**2 / len(MAPS[row]) + other_deviation**2 / len(MAPS[other]))
            assert found is not None and found.error is not None
            assert (found.value, found.error) == (pytest.approx(mean - other_mean), pytest.approx(error))
    one_run = results.rows[4].above
    assert one_run is not None and one_run.error is None and one_run.value == pytest.approx(55 - 41)
    assert results.rows[5].above is None and results.rows[0].above is None


def test_the_first_row_of_a_chart_has_no_row_above(workspace: Workspace, toy: Toy) -> None:
    plan = toy_plan(figures=("3",), seeds=1)
    for run in plan.runs:
        write_run(workspace, toy, run, scores={"mAP": 0.5})
    (results,) = load_ablation(workspace, plan, "").results()
    above = {row.row.label: row.above for row in results.rows}
    assert above["PGAN, 2C' = 1024"] and above["PGAN, λ = 1"]
    assert above["PGAN, λ = 0.5"] is None and above["baseline, 2C' = 1024"] is None


def cells(results: TableResults) -> list[list[str]]:
    lines = [line for line in as_markdown(results).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_markdown_table(workspace: Workspace, toy: Toy) -> None:
    headings, rule, *rows = cells(*table_2(workspace, toy).results())
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


def test_the_origin_is_below_the_table(workspace: Workspace, toy: Toy) -> None:
    text = as_markdown(*table_2(workspace, toy).results())
    for words in (
        "# Table 2: kinds of attention",
        "Paper: VeRi-776.",
        "Command: `python cli.py ablate --table 2`",
        "Commit: abc",
        "Device: CPU, 1 threads",
        "Versions: torch 2.0",
        "Runs: 12 of 18 finished",
        "Training time: 2 min 24 s for the finished runs",  # 12 runs of 3 epochs of 32 images, 8 per second
        "resnet18 (weights: random) at 64 pixels, 3 epochs on folder: 32 images of 8 vehicles",
        "test: 4 queries (0 without a match, left out), gallery 12",
    ):
        assert words in text


def test_the_origin_lists_all_commits_and_devices(workspace: Workspace, toy: Toy) -> None:
    ablation = table_2(workspace, toy)
    run = ablation.plan.runs[0]
    metrics = ablation.states[run.folder].metrics
    assert metrics is not None
    metrics["commit"], metrics["device"] = "def", "a GPU"  # type: ignore[index]
    text = as_markdown(*ablation.results())
    assert "Commit: def; abc" in text and "Device: a GPU; CPU, 1 threads" in text


def test_the_csv_table(workspace: Workspace, toy: Toy) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(*table_2(workspace, toy).results()))))
    assert [row["seeds"] for row in rows] == ["0 1 2"] * 3 + ["0 1", "0", ""]
    mean, deviation = mean_and_deviation(MAPS[2])
    assert (rows[2]["mAP"], rows[2]["mAP_std"]) == (f"{mean:.4f}", f"{deviation:.4f}")
    assert (rows[4]["mAP_std"], rows[4]["above"], rows[4]["above_error"]) == ("", "14.0000", "")
    assert rows[5]["mAP"] == "" and rows[5]["paper_mAP"] == "79.3000" and rows[5]["run"] == "pgan_parts=2"
    assert (rows[0]["epochs"], rows[0]["images_seen"]) == ("3", "96")


def test_a_table_without_finished_runs(workspace: Workspace, toy: Toy) -> None:
    (results,) = load_ablation(workspace, toy_plan("1", seeds=2), "ablate").results()
    assert [row[1] for row in cells(results)[2:]] == ["not run yet"] * 5
    text = as_markdown(results)
    assert "Runs: 0 of 10 finished" in text and "Commit" not in text
    write_table(results, workspace.folder / "table-1")
    assert {path.suffix for path in workspace.folder.iterdir()} == {".md", ".csv", ".png"}


def test_the_json_form(workspace: Workspace, toy: Toy) -> None:
    (results,) = table_2(workspace, toy).results()
    line = results.to_dict()["lines"][1]
    assert line["scores"]["mAP"]["mean"] == pytest.approx(62)
    assert line["paper"] == {"mAP": 77.9, "top1": 95.6, "top5": 98.4}
    assert line["to_the_reference"]["value"] == pytest.approx(9)
    assert line["seeds"] == [0, 1, 2] and results.to_dict()["lines"][5]["scores"] == {}


def test_a_table_without_map_in_the_paper_compares_cmc(workspace: Workspace, toy: Toy) -> None:
    ablation = table_2(workspace, toy)
    plan = replace(ablation.plan, tables=(replace(ablation.plan.tables[0], metric="cmc1"),))
    (results,) = replace(ablation, plan=plan).results()
    above = results.rows[1].above
    assert above is not None and above.value == pytest.approx(9.0)
    assert "CMC@1 to the row above" in cells(results)[0]


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        found = image.convert("RGB").getcolors(1 << 20)
    assert found is not None
    return {colour for count, colour in found if count > 200}  # type: ignore[misc]


BLUE, ORANGE = (47, 129, 247), (217, 119, 6)


def test_bars_are_drawn_for_finished_runs(workspace: Workspace, toy: Toy, tmp_path: Path) -> None:
    (empty,) = load_ablation(workspace, toy_plan("2"), "").results()
    draw_results(empty, tmp_path / "empty.png")
    assert not {BLUE, ORANGE} & colours(tmp_path / "empty.png")
    (results,) = table_2(workspace, toy).results()
    draw_results(results, tmp_path / "bars.png")
    assert {BLUE, ORANGE} <= colours(tmp_path / "bars.png")


def test_lines_are_drawn_for_figure_3(workspace: Workspace, toy: Toy, tmp_path: Path) -> None:
    plan = toy_plan(figures=("3",))
    draw_results(*load_ablation(workspace, plan, "").results(), tmp_path / "empty.png")
    for number, run in enumerate(plan.runs):
        write_run(workspace, toy, run, scores={"mAP": 0.5 + number / 50})
    draw_results(*load_ablation(workspace, plan, "").results(), tmp_path / "lines.png")
    assert (tmp_path / "lines.png").read_bytes() != (tmp_path / "empty.png").read_bytes()
    assert {BLUE, ORANGE} <= colours(tmp_path / "lines.png")
