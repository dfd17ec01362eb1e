"""`runs` and `clean`, `train --name`, and which run and data set a command takes when none is named."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.locks import run_lock
from helpers.places.reid import ONE_EPOCH, Place, assert_error
from reid.runs import BEST, LAST, PREVIOUS

pytestmark = pytest.mark.usefixtures("tiny")


def typed(*words: str) -> Result:
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_two_settings_of_a_recipe_stand_side_by_side_under_their_names(place: Place) -> None:
    place.train("--recipe", "pgan_small", "--name", "wide", "--set", "margin=0.5")
    place.train("--recipe", "pgan_small")
    assert {best.parent.name for best in place.runs.glob(f"folder/*/{BEST}")} == {"wide", "pgan_small"}
    assert_error(place("train", "--name", "a/b"), 2, "a/b", "cannot name a run")


def test_runs_lists_what_the_files_say(place: Place) -> None:
    none = f"{place.runs}: no runs yet; `python cli.py train --runs {place.runs}` makes one\n"
    assert typed("runs", "--runs", str(place.runs)).stdout == none
    best = place.train("--recipe", "pgan_small", "--name", "first")
    (place.runs / "folder/first/extra").write_bytes(bytes(3_000_000))
    place("evaluate", "--run", "first")
    (row,) = json.loads(typed("runs", "--runs", str(place.runs), "--json").stdout)
    metrics = json.loads((best.parent / "test/metrics.json").read_text())
    assert (row["dataset"], row["name"], row["epochs"], row["planned"]) == ("folder", "first", 1, 1)
    assert (row["test"], row["score"], row["cmc1"]) == (
        "test",
        metrics["scores"]["trained"]["mAP"],
        metrics["scores"]["trained"]["cmc1"],
    )
    size = sum(path.stat().st_size for path in best.parent.rglob("*") if path.is_file())
    assert row["megabytes"] == pytest.approx(size / 1e6, abs=0.05) and row["megabytes"] > 3
    table = typed("runs", "--runs", str(place.runs)).stdout
    assert "first" in table and "1 of 1" in table


def test_clean_shows_first_and_removes_only_what_a_finished_run_does_not_need(place: Place) -> None:
    best = place.train("--recipe", "pgan_small", "--set", "epochs=2")
    run = best.parent
    before = {path.name: path.stat().st_size for path in run.iterdir()}
    assert {LAST, PREVIOUS} <= set(before)
    shown = typed("clean", "--runs", str(place.runs))
    assert {path.name for path in run.iterdir()} == set(before) and "can go; --yes removes them" in shown.stdout
    removed = json.loads(typed("clean", "--runs", str(place.runs), "--yes", "--json").stdout)
    assert {Path(row["file"]).name for row in removed["files"]} == {LAST, PREVIOUS}
    assert {path.name for path in run.iterdir()} == set(before) - {LAST, PREVIOUS}
    assert place("evaluate").exit_code == 0  # the best checkpoint is there
    again = place("train", *ONE_EPOCH, "--recipe", "pgan_small", "--set", "epochs=2")
    assert "already trained, 2 epochs" in again.stderr and not (run / LAST).exists()
    assert_error(place("train", *ONE_EPOCH, "--recipe", "pgan_small", "--set", "epochs=3"), 1, "recipe.epochs")
    assert "nothing to clean" in typed("clean", "--runs", str(place.runs)).stdout


def test_clean_keeps_an_unfinished_training_and_one_that_is_being_written(place: Place) -> None:
    best = place.train("--recipe", "pgan_small", "--set", "epochs=2")
    finished = (best.parent / LAST).read_bytes()
    (best.parent / LAST).write_bytes((best.parent / PREVIOUS).read_bytes())  # killed after the first epoch
    assert "nothing to clean" in typed("clean", "--runs", str(place.runs), "--yes").stdout
    (best.parent / LAST).write_bytes(finished)
    with run_lock(best.parent):
        result = typed("clean", "--runs", str(place.runs), "--yes")
    assert "another run" in result.stderr and (best.parent / LAST).exists() and (best.parent / PREVIOUS).exists()
    assert_error(typed("clean", "--runs", str(place.runs), "--run", "folder/absent"), 1, "absent: no such run")


def test_the_log_has_a_line_an_epoch_with_the_time_and_the_error_at_the_end(place: Place) -> None:
    best = place.train("--recipe", "pgan_small", "--set", "epochs=2")
    lines = (best.parent / "train.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d  ", line) for line in lines)
    epochs = [line for line in lines if "epoch " in line]
    assert len(epochs) == 2
    for number, line in enumerate(epochs, start=1):
        assert re.search(rf"epoch {number}/2: loss .*images_per_second \S+, \d+\.\d GiB memory, \d+ s left$", line), (
            line
        )
    place("train", *ONE_EPOCH, "--recipe", "pgan_small", "--set", "margin=0.9")
    assert "Error: " in (best.parent / "train.log").read_text().splitlines()[-1]


def test_without_a_name_commands_take_the_newest_run_of_any_data_set_with_its_roots(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATASET", raising=False)
    monkeypatch.delenv("VEHICLE_DATA", raising=False)
    place.train("--recipe", "pgan_small")
    newest = place.train("--recipe", "pgan_small", "--name", "newest").parent
    result = typed("evaluate", "--runs", str(place.runs), "--workers", "0", "--json")
    assert result.exit_code == 0, result.output
    assert f"{newest}: the newest run; choose another with --run" in result.stderr
    assert json.loads(result.stdout)["recipe_name"] == "newest"
    by_name = typed("evaluate", "--runs", str(place.runs), "--run", "pgan_small", "--workers", "0", "--json")
    assert json.loads(by_name.stdout)["recipe_name"] == "pgan_small"
    by_path = typed("evaluate", "--run", str(newest.parent / "pgan_small"), "--workers", "0", "--json")
    assert json.loads(by_path.stdout)["recipe_name"] == "pgan_small"


def test_a_path_is_never_taken_for_the_local_run_of_its_last_name(place: Place, tmp_path: Path) -> None:
    place.train("--recipe", "pgan_small")
    assert_error(
        place("evaluate", "--run", str(tmp_path / "elsewhere/pgan_small")), 1, "elsewhere/pgan_small", "no trained"
    )
    place("evaluate", "--run", "pgan_small")
    for other in ("pgan_small", str(place.runs / "folder/pgan_small")):
        result = CliRunner().invoke(
            main,
            ["report", "--dataset", "folder", "--data-root", str(place.toy.dataset.root), "--runs", str(place.runs),
             "--run", "pgan_small", "--compare", other],
        )  # fmt: skip
        assert_error(result, 1, "compared with itself")
