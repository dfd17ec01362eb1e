"""The page on scale: its tables are measured rates times sizes, and its simulation ends with identical bytes."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.scale import SIZES, amount, cost, cost_table, duration, main, measured_table
from benchmarks.scale_rates import Rates
from helpers.paths import ROOT

RATES = Rates(
    machine="toy",
    stage_one=100.0,
    stage_one_images=10,
    features=20.0,
    features_images=10,
    cache_bytes=400.0,
    merge_seconds=1e-4,
    merge_bytes=2000.0,
    cache_images=10,
    feature_bytes=2100.0,
    feature_images=10,
    exact=50.0,
    lists=800.0,
    vector_bytes=2048.0,
    index_bytes=80.0,
    recall=0.96,
    searched=100_000,
)


def test_costs_are_proportional_and_ivfpq_queries_grow_with_the_square_root() -> None:
    large = cost(10_000_000, RATES)  # a hundred times as many as were searched
    assert large.stage_one == pytest.approx(100_000) and large.features == pytest.approx(500_000)
    assert (large.cache, large.feature_file) == pytest.approx((4e9, 21e9))
    assert (large.merge, large.merge_memory) == pytest.approx((1000, 20e9))
    assert (large.exact, large.lists) == pytest.approx((0.5, 80))
    assert (large.exact_memory, large.lists_memory) == pytest.approx((20.48e9, 21.28e9))
    same = cost(RATES.searched, RATES)
    assert (same.exact, same.lists) == (RATES.exact, RATES.lists)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2 h"), (86400, "1 days"), (3.2e9, "101 years")],
)
def test_times_are_given_in_their_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (4000, "4 kB"), (2.05e11, "205 GB"), (2.4e15, "2.4 PB"), (5e19, "50,000 PB")],
)
def test_bytes_are_given_in_their_largest_unit(size: float, text: str) -> None:
    assert amount(size) == text


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="stage_one is"):
        replace(RATES, stage_one=value)


def test_the_command_prints_both_tables_from_saved_rates(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(vars(RATES)))
    output = CliRunner().invoke(main, ["--rates", str(path), "--images", "1000", "--cores", "10"]).output
    assert output == f"{measured_table(RATES)}\n\n{cost_table([1000], RATES, 10)}\n"
    assert "| stage one, one core | 10 s |" in output and "| stage one, 10 cores | 1 s |" in output


def test_the_tables_of_the_page_follow_from_its_rates() -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    rates = Rates(**json.loads((ROOT / "docs/scale.json").read_text()))
    assert measured_table(rates) in page
    assert cost_table(SIZES, rates, 1000) in page


def test_a_killed_torchrun_process_and_separate_machines_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    script = ROOT / "docs/examples/scale_simulation.sh"
    assert script.name in (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [str(script), str(tmp_path / "scale"), "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert steps[-1] == "== the same bytes: one process, 2 of them with one killed, and two machines merged"
    assert "SIGKILL" in done.stderr and "were finished before" in done.stderr
