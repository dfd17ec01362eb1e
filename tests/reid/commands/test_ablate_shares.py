"""Several processes on one ablation: each trains its share, no run is trained twice, the last one writes the tables."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_cache.base.files import read_json, read_json_lines
from data_cache.base.locks import run_lock
from helpers.paths import TESTS
from helpers.places.reid import Place, assert_error
from helpers.toy.ablation import (
    BASELINE,
    GRID,
    ONE_EPOCH,
    PGAN,
    TABLE,
    WITHOUT_PAM,
    ablation_folder_of,
    write_times,
)
from helpers.toy.vehicles import assert_same_run
from reid.ablation import ablation
from reid.ablation.pace import Pace
from reid.ablation.plan import Run
from reid.ablation.share import Share
from reid.runs import LAST

PROGRAM = """
import sys
from pytest import MonkeyPatch
from helpers.toy.ablation import draw_nothing
from helpers.toy.vehicles import tiny_scale
from cli import main
with tiny_scale(), MonkeyPatch.context() as patch:
    draw_nothing(patch)
    main(sys.argv[1:])
"""
RUNS = (BASELINE, GRID, WITHOUT_PAM, PGAN)
pytestmark = pytest.mark.usefixtures("tiny", "no_pictures")


def start(place: Place, *options: str) -> "subprocess.Popen[str]":
    """Start `ablate --table 3` in a process of its own."""
    where = ["--dataset", "folder", "--data-root", str(place.toy.dataset.root), "--runs", str(place.runs)]
    words = ["ablate", "--table", "3", *where, "--device", "cpu", "--workers", "0", *ONE_EPOCH, *options]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished_runs(place: Place) -> set[str]:
    return {path.parts[-3].removesuffix("-seed0") for path in ablation_folder_of(place).glob("*/*/metrics.json")}


def epochs_of(place: Place) -> dict[str, list[int]]:
    """Return the epochs that were trained of each run, in the order of its log."""
    logs = ablation_folder_of(place).glob("*/log.jsonl")
    return {path.parent.name: [line["epoch"] for line in read_json_lines(path)] for path in logs}


def assert_same_results(place: Place, undisturbed: Place) -> None:
    """Assert that all runs have the same weights to the bit, and the tables the same rows."""
    one, other = ablation_folder_of(place), ablation_folder_of(undisturbed)
    for name in RUNS:
        assert_same_run(one / f"{name}-seed0", other / f"{name}-seed0")
    csv = Path(TABLE).with_suffix(".csv").name
    assert (one / csv).read_text() == (other / csv).read_text()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_every_run_is_in_one_share_and_shares_differ_by_one_run_at_most(count: int) -> None:
    shares = [[number for number in range(1, 41) if Share(index, count).takes(number)] for index in range(1, count + 1)]
    assert sorted(number for share in shares for number in share) == list(range(1, 41))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [share[0] for share in shares] == list(range(1, count + 1))


def test_a_share_makes_its_runs_and_the_last_share_writes_the_tables(place: Place) -> None:
    first = place("ablate", "--table", "3", *ONE_EPOCH, "--only", "1/2")
    assert first.exit_code == 0 and first.stdout == ""
    assert finished_runs(place) == {BASELINE, WITHOUT_PAM}
    assert f"run 1 of 4: {BASELINE}, seed 0" in first.stderr and f"run 3 of 4: {WITHOUT_PAM}, seed 0" in first.stderr
    assert "2 of 4 runs are not finished (2, 4): the share that finishes last writes the tables" in first.stderr
    assert not list(ablation_folder_of(place).glob("table*"))
    second = place("ablate", "--table", "3", *ONE_EPOCH, "--only", "2/2")
    assert second.exit_code == 0 and finished_runs(place) == {*RUNS}
    table = (ablation_folder_of(place) / TABLE).read_text()
    assert table in second.stdout and "not run yet" not in table and "4 of 4 finished" in table
    (command,) = [line for line in table.splitlines() if line.startswith("- Command: ")]
    assert "--only" not in command  # the table is that of all shares
    before = write_times(place)
    assert place("ablate", "--table", "3", *ONE_EPOCH).stderr.count(", finished") == 4
    assert write_times(place) == before and (ablation_folder_of(place) / TABLE).read_text() == table


def test_a_final_ablation_without_only_makes_what_is_left(place: Place) -> None:
    place("ablate", "--table", "3", *ONE_EPOCH, "--only", "2/2")
    before = write_times(place)
    result = place("ablate", "--table", "3", *ONE_EPOCH)
    assert result.exit_code == 0 and result.stderr.count(", finished") == 2 and finished_runs(place) == {*RUNS}
    assert before.items() <= write_times(place).items()
    assert "not run yet" not in (ablation_folder_of(place) / TABLE).read_text()


def test_a_share_without_a_run_does_nothing(place: Place) -> None:
    result = place("ablate", "--table", "3", *ONE_EPOCH, "--only", "5/5")
    assert result.exit_code == 0 and "4 of 4 runs are not finished" in result.stderr
    assert not ablation_folder_of(place).exists()


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "1/", "/2", "a/b", "-1/2", "1/2/3", "1.0/2", "²/2", ""])
def test_a_share_that_is_none_is_refused(place: Place, share: str) -> None:
    result = place("ablate", "--table", "3", *ONE_EPOCH, "--only", share)
    assert_error(result, 2, "--only", "I/N", "1/4")


def test_a_dry_run_lists_the_share_with_the_numbers_of_all_runs(place: Place) -> None:
    lines = place("ablate", "--table", "3", *ONE_EPOCH, "--only", "2/2", "--dry-run").stdout.splitlines()
    assert [line.split()[:3] for line in lines[:-1]] == [["2", "folder:", f"{GRID},"], ["4", "folder:", f"{PGAN},"]]
    assert lines[-1] == "2 runs, 0 finished; 64 images to train on"
    listed = json.loads(place("ablate", "--table", "3", *ONE_EPOCH, "--only", "2/2", "--dry-run", "--json").stdout)
    assert [run["number"] for run in listed] == [2, 4]


def test_what_remains_is_told_before_each_run_with_the_time_left(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which every run takes 96 seconds: 32 images at three seconds each."""
    now, made = [0.0], ablation._train_and_evaluate

    def train(workspace: object, run: Run, *arguments: object) -> None:
        made(workspace, run, *arguments)  # type: ignore[arg-type]
        now[0] += 96

    monkeypatch.setattr(ablation, "_train_and_evaluate", train)
    monkeypatch.setattr(ablation, "monotonic", lambda: now[0])
    result = place("ablate", "--table", "3", *ONE_EPOCH)
    assert [line for line in result.stderr.splitlines() if " left, " in line] == [
        "4 runs left, 128 images to train on",
        "3 runs left, 96 images to train on, about 4 min 48 s at the rate so far",
        "2 runs left, 64 images to train on, about 3 min 12 s at the rate so far",
        "1 run left, 32 images to train on, about 1 min 36 s at the rate so far",
    ]
    assert Pace(32, 96.0).time_for(64) == "3 min 12 s"


def test_the_time_left_is_that_of_the_logs_before_a_run_is_made(place: Place) -> None:
    place("ablate", "--table", "3", *ONE_EPOCH, "--only", "1/2")
    logs = ablation_folder_of(place).glob("*/log.jsonl")
    for log in logs:
        (line,) = read_json_lines(log)
        log.write_text(json.dumps({**line, "images_per_second": 0.25}) + "\n")
    listed = place("ablate", "--table", "3", *ONE_EPOCH, "--dry-run").stdout.splitlines()
    assert listed[-1] == "4 runs, 2 finished; 64 images to train on, about 4 min 16 s at the rate of the finished runs"
    result = place("ablate", "--table", "3", *ONE_EPOCH)
    assert "2 runs left, 64 images to train on, about 4 min 16 s at the rate so far" in result.stderr


def test_a_run_that_another_process_is_making_is_left_to_it(place: Place) -> None:
    with run_lock(ablation_folder_of(place) / f"{GRID}-seed0"):
        result = place("ablate", "--table", "3", *ONE_EPOCH)
        assert result.exit_code == 0 and finished_runs(place) == {*RUNS} - {GRID}
        assert f"run 2 of 4: {GRID}, seed 0: another process is making it; going on with the next run" in result.stderr
        assert "1 of 4 runs are not finished (2): another process is making them; run the same" in result.stderr
        assert (ablation_folder_of(place) / TABLE).read_text().count("not run yet") == 1
    assert place("ablate", "--table", "3", *ONE_EPOCH).exit_code == 0
    assert "not run yet" not in (ablation_folder_of(place) / TABLE).read_text()


@pytest.mark.parametrize("options", [("--only", "1/2"), ()])
def test_two_processes_at_once_train_every_run_once(place: Place, tmp_path: Path, options: tuple[str, ...]) -> None:
    """As two shares, and as two ablations that meet on the same runs."""
    other = ("--only", "2/2") if options else ()
    processes = [start(place, "--decoded-cache", *words) for words in (options, other)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    if options:
        assert sum(out != "" for out, _ in outputs) >= 1, outputs  # both, if they finish at the same moment
    assert finished_runs(place) == {*RUNS}
    assert epochs_of(place) == {f"{name}-seed0": [1] for name in RUNS}
    assert "not run yet" not in (ablation_folder_of(place) / TABLE).read_text()
    undisturbed = Place(place.toy, tmp_path / "undisturbed")
    assert undisturbed("ablate", "--table", "3", *ONE_EPOCH).exit_code == 0
    assert_same_results(place, undisturbed)
    assert not [path for path in ablation_folder_of(place).rglob(".*") if path.is_file()]


def test_a_killed_share_resumes_and_the_other_is_not_disturbed(place: Place, tmp_path: Path) -> None:
    long = ("--set", "epochs=6")
    killed = start(place, "--only", "1/2", *long)
    wait_for(lambda: (ablation_folder_of(place) / f"{BASELINE}-seed0" / LAST).exists(), killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert place("ablate", "--table", "3", *ONE_EPOCH, *long, "--only", "2/2").exit_code == 0
    assert finished_runs(place) >= {GRID, PGAN} and not list(ablation_folder_of(place).glob("table*"))
    done = epochs_of(place)[f"{BASELINE}-seed0"]
    again = place("ablate", "--table", "3", *ONE_EPOCH, *long, "--only", "1/2")
    assert again.exit_code == 0, again.output
    assert len(done) == 6 or f"resuming after epoch {done[-1]} of 6" in again.stderr or not done
    assert "not run yet" not in (ablation_folder_of(place) / TABLE).read_text()
    undisturbed = Place(place.toy, tmp_path / "undisturbed")
    assert undisturbed("ablate", "--table", "3", *ONE_EPOCH, *long).exit_code == 0
    assert_same_results(place, undisturbed)


def wait_for(happened: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def test_a_run_is_read_while_its_training_replaces_the_checkpoint(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment in every epoch, the last checkpoint is already renamed and the next one not yet written."""
    from reid.ablation import workspace

    place("ablate", "--table", "3", *ONE_EPOCH)
    last = ablation_folder_of(place) / f"{BASELINE}-seed0" / LAST
    read = workspace.read_metadata

    def replaced(path: Path, remedy: str) -> object:
        if path == last and last.exists():
            last.rename(last.with_name("previous.safetensors"))
        return read(path, remedy)

    monkeypatch.setattr(workspace, "read_metadata", replaced)
    listed = place("ablate", "--table", "3", *ONE_EPOCH, "--dry-run").stdout.splitlines()
    assert listed[0].endswith(f"{BASELINE}, seed 0: finished")
    assert read_json(ablation_folder_of(place) / f"{BASELINE}-seed0" / "recipe.json")["epochs"] == 1
