"""The page on scale: its tables are measured rates times sizes, and its simulation ends with identical bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.scale import BYTES, SIZES, TIMES, cost_table, in_units, main, measured_table
from helpers.paths import ROOT

RATES = {
    **{"stage_one": 100.0, "stage_one_images": 10, "features": 20.0, "features_images": 10},
    **{"cache_bytes": 400.0, "merge_seconds": 1e-4, "merge_bytes": 2000.0, "cache_images": 10},
    **{"feature_bytes": 2100.0, "feature_images": 10, "exact": 50.0, "lists": 800.0, "vector_bytes": 2048.0},
    **{"store_bytes": 2600.0, "recall": 0.96, "searched": 100_000},
}


def test_costs_are_proportional_and_approximate_queries_grow_with_the_square_root() -> None:
    table = cost_table([RATES["searched"], 100 * RATES["searched"]], RATES, 10)
    rows = [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in table.splitlines()[2:]]
    assert rows == [
        *(["17 min", "1.2 days"], ["1.7 min", "2.8 h"], ["1.4 h", "5.8 days"], ["8.3 min", "14 h"]),  # networks
        *(["40 MB", "4 GB"], ["210 MB", "21 GB"]),  # disk
        *(["10 s", "17 min"], ["200 MB", "20 GB"]),  # merging
        *(["205 MB", "20 GB"], ["20 ms", "2 s"]),  # exact search
        *(["260 MB", "26 GB"], ["1.2 ms", "12 ms"]),  # a stored gallery
    ]


@pytest.mark.parametrize(
    ("value", "units", "text"),
    [
        *((0.25, TIMES, "250 ms"), (59, TIMES, "59 s"), (90, TIMES, "1.5 min"), (7200, TIMES, "2 h")),
        *((86400, TIMES, "1 days"), (3.2e9, TIMES, "101 years")),
        *((0, BYTES, "0 B"), (999, BYTES, "999 B"), (4000, BYTES, "4 kB"), (2.05e11, BYTES, "205 GB")),
        *((2.4e15, BYTES, "2.4 PB"), (5e19, BYTES, "50,000 PB")),
    ],
)
def test_values_are_given_in_their_largest_unit(value: float, units: tuple[tuple[float, str], ...], text: str) -> None:
    assert in_units(value, units) == text


def test_the_command_prints_both_tables_from_saved_rates(tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(RATES))
    output = CliRunner().invoke(main, ["--rates", str(path), "--images", "1000", "--cores", "10"]).output
    assert output == f"{measured_table(RATES)}\n\n{cost_table([1000], RATES, 10)}\n"
    assert "| stage one, one core | 10 s |" in output and "| stage one, 10 cores | 1 s |" in output


def test_the_tables_of_the_page_follow_from_its_rates() -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    rates = json.loads((ROOT / "docs/scale.json").read_text())
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
